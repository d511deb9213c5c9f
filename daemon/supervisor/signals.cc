#include "daemon/supervisor/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/sys.h"
#include "common/text.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

// The kernel's word that the parent has ended: nobody else sends this one.
int parent_signal() { return SIGRTMIN; }

}  // namespace

Signals::Signals(const SignalRules& rules) : rules_(rules), parent_(::getppid()) {
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCONT, SIGUSR1, SIGUSR2, parent_signal()})
    ::sigaddset(&watched, signal);
  // Launchers hand on what they ignored themselves; an ignored signal never becomes readable, and
  // with SIGCHLD ignored the worker's end could not be read. Only a hang-up stays ignored: that is
  // what nohup is for.
  struct sigaction hang_up {};
  ::sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler == SIG_IGN) ::sigdelset(&watched, SIGHUP);
  for (int signal = 1; signal < 32; ++signal)
    if (signal == SIGCHLD || ::sigismember(&watched, signal) == 1) ::signal(signal, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  ::sigprocmask(SIG_SETMASK, &watched, nullptr);
  signals_.reset(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw StartFailure(exit_code::other, "No signalfd: " + describe(Error::last()));
  if (parent_ <= 1) return;  // started by init, or from outside of this pid namespace
  ::prctl(PR_SET_PDEATHSIG, parent_signal());
  parent_fd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, parent_, 0)));
  if (parent_ended()) ::raise(parent_signal());  // before anybody watched
}

bool Signals::parent_ended() const { return parent_ > 1 && ::getppid() != parent_; }

Request Signals::next(const char*& name) {
  signalfd_siginfo info{};
  if (sys::read(signals_.get(), &info, sizeof info) != sizeof info) return Request::none;
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal == parent_signal()) {
    name = "the end of the parent process";
    // It comes for the thread that started us; the process may well go on.
    return parent_ended() ? Request::parent_ended : Request::none;
  }
  name = ::sigabbrev_np(signal);
  if (name == nullptr) name = "?";
  switch (signal) {
    case SIGTERM:
    case SIGINT:
      return rules_.service_step ? Request::drain : Request::stop;
    case SIGHUP:
      return rules_.service_step ? Request::none : Request::stop;
    case SIGCONT:
      // mpirun, told to end, sends its ranks SIGCONT, one second later SIGTERM and then kills them:
      // that second is for us. From anybody else it only ends a suspension.
      if (rules_.under_mpirun && !rules_.service_step &&
          static_cast<pid_t>(info.ssi_pid) == parent_)
        return Request::stop_here;
      return Request::none;
    default:
      return Request::none;
  }
}

}  // namespace benchfs
