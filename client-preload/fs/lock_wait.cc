#include "client-preload/fs/lock_wait.h"

#include <fcntl.h>

#include "client-preload/fs/core.h"

namespace benchfs {

// The server has locked byte 2 · ticket of this file, for as long as the wait lasts. The kernel
// wakes us when it unlocks it or dies, and treats signals as in any wait for a lock: a handler with
// SA_RESTART does not end it.
Status wait_for_lock(Core& core, std::uint32_t home, std::uint64_t ticket) {
  const std::uint32_t server = core.host.server_for(home);
  TRY(const int file, core.host.wait_file(home));
  struct flock byte {};
  byte.l_type = F_RDLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = static_cast<off_t>(ticket * 2);
  byte.l_len = 1;
  const int woken = sys::fcntl(file, F_SETLKW, sys::pointer(&byte));
  if (woken == 0) {
    byte.l_type = F_UNLCK;
    sys::fcntl(file, F_SETLK, sys::pointer(&byte));
  }
  const wire::EndLockWait message{.ticket = ticket};
  const auto ended = core.ask(server, message);
  if (ended.ok()) return Done{};  // a signal may have come, but the lock was first
  if (ended.error() != Error(EINTR) || woken == -EINTR) return ended.error();
  // Withdrawn without a signal: the connection was made anew, or the file is not what it was.
  return Error(woken == 0 || woken == -EBADF ? ESTALE : ENOLCK);
}

}  // namespace benchfs
