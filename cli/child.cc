#include "cli/child.h"

#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "cli/failure.h"
#include "common/sys.h"

namespace benchfs::cli {
namespace {

// In the child: nothing but system calls until exec.
[[noreturn]] void become(const ChildPlan& plan, char** arguments, char** environment, pid_t parent,
                         int report) {
  if (plan.detached) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(exit_code::not_found);
    ::setsid();
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(plan.output >= 0 ? plan.output : nothing, STDOUT_FILENO);
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    if (nothing > STDERR_FILENO) ::close(nothing);
  }
  if (!plan.working_directory.empty() && ::chdir(plan.working_directory.c_str()) != 0) {
    const int code = errno;
    sys::write(report, &code, sizeof code);
    ::_exit(exit_code::not_found);
  }
  ::sigprocmask(SIG_SETMASK, &plan.signal_mask, nullptr);
  ::execvpe(plan.file.c_str(), arguments, environment);
  const int code = errno;
  sys::write(report, &code, sizeof code);
  ::_exit(exit_code::not_found);
}

}  // namespace

Result<Child> Child::start(ChildPlan plan) {
  std::vector<char*> arguments;
  for (std::string& argument : plan.arguments) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment = plan.environment.pointers();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::last();
  const Fd report(ends[0]);
  Fd report_in(ends[1]);

  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Error::last();
  if (pid == 0) become(plan, arguments.data(), environment.data(), parent, report_in.get());
  report_in.reset();
  int code = 0;
  ssize_t got = 0;
  do {
    got = sys::read(report.get(), &code, sizeof code);
  } while (got == -EINTR);
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (got == static_cast<ssize_t>(sizeof code) || !pidfd) {
    const Error error = got == static_cast<ssize_t>(sizeof code) ? Error(code) : Error::last();
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return error;
  }
  return Child(pid, std::move(pidfd));
}

void Child::send(int signal) const {
  if (!status_) ::kill(pid_, signal);  // not yet reaped, so the number is still its own
}

std::optional<int> Child::wait(std::int64_t deadline_ns) {
  if (status_) return status_;
  if (!wait_readable(pidfd_.get(), deadline_ns)) return std::nullopt;
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  status_ = reaped == pid_ ? status : 0;
  return status_;
}

int milliseconds_until(std::int64_t deadline_ns) {
  const std::int64_t rest_ns = deadline_ns - sys::now_ns();
  return static_cast<int>(std::clamp<std::int64_t>((rest_ns + 999'999) / 1'000'000, 0, INT_MAX));
}

bool wait_readable(int fd, std::int64_t deadline_ns) {
  for (;;) {
    pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&watched, 1, milliseconds_until(deadline_ns));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

int shell_code(int wait_status) {
  return WIFSIGNALED(wait_status) ? exit_code::killed + WTERMSIG(wait_status)
                                  : WEXITSTATUS(wait_status);
}

std::string describe_end(int wait_status) {
  if (WIFSIGNALED(wait_status))
    return "signal " + std::to_string(WTERMSIG(wait_status)) + " (" +
           ::strsignal(WTERMSIG(wait_status)) + ")";
  return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace benchfs::cli
