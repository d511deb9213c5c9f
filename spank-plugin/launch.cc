#include "spank-plugin/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "common/sys.h"

namespace benchfs::spank {
namespace {

constexpr int order_fd = 3;
constexpr char order_leave = 'l';
constexpr int end_wait_ms = 5000;  // for srun to end its step after SIGTERM
constexpr int cannot_execute = 127;

// Everything below runs in a child of what may be a process of many threads, which may have our own
// preloaded library in it: system calls only, made directly.

int poll_once(pollfd* events, unsigned count, int milliseconds) {
  const timespec timeout{.tv_sec = milliseconds / 1000,
                         .tv_nsec = (milliseconds % 1000) * 1000000L};
  return static_cast<int>(sys::call(SYS_ppoll, sys::pointer(events), static_cast<long>(count),
                                    milliseconds < 0 ? 0 : sys::pointer(&timeout), 0, 8));
}

[[noreturn]] void leave(int code) {
  sys::call(SYS_exit_group, code);
  __builtin_unreachable();
}

void set_mask(std::uint64_t mask) {
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer(&mask), 0, 8);
}

// srun blocks signals in its threads and slurmstepd handles some: neither is for the program.
void reset_signals() {
  struct KernelAction {
    long handler, flags, restorer;
    std::uint64_t mask;
  } plain{};
  for (int signal = 1; signal < 65; ++signal)
    sys::call(SYS_rt_sigaction, signal, sys::pointer(&plain), 0, 8);
  set_mask(0);
}

pid_t plain_fork() { return static_cast<pid_t>(sys::call(SYS_clone, SIGCHLD)); }

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

[[noreturn]] void mind(const char* const* argv, const char* const* environment, int null,
                       int output, int order) {
  sys::call(SYS_setsid);
  set_mask(~0ULL);  // it looks like our starter, and must not die of what is sent to that
  // `order` is out of the way of the four numbers that are set here.
  sys::call(SYS_dup3, null, 0, 0);
  sys::call(SYS_dup3, output, 1, 0);
  sys::call(SYS_dup3, output, 2, 0);
  sys::call(SYS_dup3, order, order_fd, O_CLOEXEC);
  sys::call(SYS_close_range, order_fd + 1, ~0U, 0);
  sys::call(SYS_chdir, sys::pointer("/"));

  const pid_t program = plain_fork();
  if (program < 0) leave(cannot_execute);
  if (program == 0) {
    reset_signals();
    sys::call(SYS_execve, sys::pointer(argv[0]), sys::pointer(argv), sys::pointer(environment));
    leave(cannot_execute);
  }
  const int ended = static_cast<int>(sys::call(SYS_pidfd_open, program, 0));
  pollfd events[] = {{.fd = ended, .events = POLLIN, .revents = 0},
                     {.fd = order_fd, .events = POLLIN, .revents = 0}};
  while (poll_once(events, 2, -1) <= 0) {
  }
  if (events[0].revents == 0) {
    char said = 0;
    if (sys::read(order_fd, &said, 1) == 1 && said == order_leave) leave(0);
    sys::call(SYS_kill, program, SIGTERM);
    if (poll_once(events, 1, end_wait_ms) <= 0) sys::call(SYS_kill, program, SIGKILL);
  }
  int status = 0;
  sys::call(SYS_wait4, program, sys::pointer(&status), 0, 0);
  leave(exit_code_of(status));
}

std::vector<const char*> pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> result;
  result.reserve(strings.size() + 1);
  for (const std::string& string : strings) result.push_back(string.c_str());
  result.push_back(nullptr);
  return result;
}

}  // namespace

Result<Launch> Launch::start(const std::vector<std::string>& command,
                             const std::vector<std::string>& environment, int output) {
  const std::vector<const char*> argv = pointers(command);
  const std::vector<const char*> variables = pointers(environment);
  const Fd null(sys::openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC));
  int order[2];
  if (const long made = sys::call(SYS_pipe2, sys::pointer(order), O_CLOEXEC); made < 0)
    return Error(static_cast<int>(-made));
  Fd order_read(order[0]);
  Fd order_write(order[1]);
  // Above the numbers the child gives to the program.
  constexpr int lowest = 16;
  const Fd null_high(sys::fcntl(null.get(), F_DUPFD_CLOEXEC, lowest));
  const Fd output_high(sys::fcntl(output, F_DUPFD_CLOEXEC, lowest));
  const Fd order_high(sys::fcntl(order_read.get(), F_DUPFD_CLOEXEC, lowest));
  if (!null_high || !output_high || !order_high) return Error(EMFILE);

  const pid_t minder = plain_fork();
  if (minder < 0) return Error(-minder);
  if (minder == 0)
    mind(argv.data(), variables.data(), null_high.get(), output_high.get(), order_high.get());
  Fd ended(static_cast<int>(sys::call(SYS_pidfd_open, minder, 0)));
  return Launch(minder, std::move(ended), std::move(order_write));
}

void Launch::reap() {
  int status = 0;
  while (sys::call(SYS_wait4, minder_, sys::pointer(&status), 0, 0) == -EINTR) {
  }
  exit_code_ = exit_code_of(status);
  minder_ = -1;
}

bool Launch::wait(int milliseconds) {
  if (minder_ < 0) return true;
  pollfd event{.fd = minder_ended_.get(), .events = POLLIN, .revents = 0};
  if (poll_once(&event, 1, milliseconds) <= 0) return false;
  reap();
  return true;
}

void Launch::let_go() {
  if (minder_ < 0) return;
  sys::write(order_.get(), &order_leave, 1);
  order_.reset();
  reap();
}

Launch::~Launch() {
  if (!order_) return;  // moved from, or let go
  order_.reset();       // the minder takes the end of the pipe for an order to end the program
  if (minder_ >= 0) reap();
}

}  // namespace benchfs::spank
