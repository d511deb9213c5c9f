#include "daemon/supervisor/worker_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/text.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

// In the child of a fork: system calls only.
[[noreturn]] void become_worker(int control, pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != supervisor) ::_exit(0);  // died before the line above
  // Launchers and terminals signal the whole group. What is to happen then is the supervisor's
  // business, and it says so by the control channel.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    ::signal(signal, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::fcntl(control, F_SETFD, 0);
  char number[16];
  std::snprintf(number, sizeof number, "%d", control);
  ::execl("/proc/self/exe", "benchfsd_mpi", "--worker", number, static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

WorkerProcess::WorkerProcess(Fd control) {
  const pid_t self = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become_worker(control.get(), self);
  if (pid_ < 0)
    throw StartFailure(exit_code::other,
                       "The worker cannot be started: " + describe(Error::last()));
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) {
    const Error error = Error::last();
    kill();
    throw StartFailure(exit_code::other, "The worker cannot be watched: " + describe(error));
  }
}

bool WorkerProcess::reap() {
  if (ended_ || pid_ <= 0) return ended_;
  pid_t got;
  do got = ::waitpid(pid_, &status_, WNOHANG);
  while (got < 0 && errno == EINTR);
  ended_ = got != 0;
  return ended_;
}

std::string WorkerProcess::how() const {
  if (WIFSIGNALED(status_)) {
    const int signal = WTERMSIG(status_);
    return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  }
  if (WEXITSTATUS(status_) == 127) return "the program could not be executed";
  return "exit code " + std::to_string(WEXITSTATUS(status_));
}

void WorkerProcess::kill() noexcept {
  if (ended_ || pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  pid_t got;
  do got = ::waitpid(pid_, &status_, 0);
  while (got < 0 && errno == EINTR);
  ended_ = true;
}

}  // namespace benchfs
