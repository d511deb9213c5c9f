#include "cli/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/failure.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {

Signals::Signals() {
  // With SIGCHLD ignored the kernel would reap our children itself.
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN)
      ::sigaddset(&watched, number);
  }
  ::sigprocmask(SIG_BLOCK, &watched, &original_mask_);
  fd_.reset(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw Failure(exit_code::no_servers, "No signalfd: " + describe(Error::last()));
}

std::optional<Signals::Received> Signals::next() {
  signalfd_siginfo info{};
  if (sys::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
    return std::nullopt;
  return Received{.number = static_cast<int>(info.ssi_signo),
                  .from_terminal = info.ssi_code == SI_KERNEL};
}

}  // namespace benchfs::cli
