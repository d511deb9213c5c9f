// Locks of files: flock(2), and the byte ranges of fcntl(2). The file's home decides; the host's
// table remembers what was granted.
#include <fcntl.h>
#include <sys/file.h>

#include "client-preload/fs/core.h"
#include "client-preload/fs/lock_wait.h"
#include "client-preload/fs/open_file.h"
#include "common/placement.h"

namespace benchfs {
namespace {

struct Range {
  std::uint64_t start;
  std::uint64_t last;
};

// What fcntl_setlk makes of l_start and l_len, with the same errors.
Result<Range> range_of(const struct flock& range, std::int64_t base) {
  std::int64_t start = 0;
  std::int64_t last = INT64_MAX;
  if (__builtin_add_overflow(base, range.l_start, &start)) return Error(EOVERFLOW);
  if (start < 0) return Error(EINVAL);
  if (range.l_len > 0) {
    if (__builtin_add_overflow(start, range.l_len - 1, &last)) return Error(EOVERFLOW);
  } else if (range.l_len < 0) {
    last = start - 1;
    start += range.l_len;
    if (start < 0) return Error(EINVAL);
  }
  return Range{static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(last)};
}

Result<wire::LockKind> kind_of(short type) {
  switch (type) {
    case F_RDLCK:
      return wire::LockKind::shared;
    case F_WRLCK:
      return wire::LockKind::exclusive;
    case F_UNLCK:
      return wire::LockKind::unlocked;
    default:
      return Error(EINVAL);
  }
}

}  // namespace

wire::Lock OpenFile::lock_message(wire::LockSpace space, wire::LockOwnerKind owner) const {
  return {.inode = inode(),
          .start = 0,
          .last = wire::lock_last_max,
          .slot = position_,
          .owner = {.id = 0, .host = 0, .kind = owner},
          .ticket = 0,
          .rank = 0,
          .space = space,
          .kind = wire::LockKind::unlocked,
          .flags = 0};
}

Status OpenFile::set_lock(const wire::Lock& message) {
  TRY_OK(core_.ready());
  for (;;) {
    TRY(const wire::LockReply reply, core_.ask(home_rank(inode()), message));
    if (reply.state == wire::LockState::granted) return Done{};
    const Status ended = wait_for_lock(core_, home_rank(inode()), reply.ticket);
    if (ended.ok() || ended.error() != Error(ESTALE)) return ended;
  }
}

Status OpenFile::lock_whole(int operation) {
  wire::Lock message = lock_message(wire::LockSpace::whole, wire::LockOwnerKind::description);
  switch (operation & ~LOCK_NB) {
    case LOCK_SH:
      message.kind = wire::LockKind::shared;
      break;
    case LOCK_EX:
      message.kind = wire::LockKind::exclusive;
      break;
    case LOCK_UN:
      break;
    default:
      return Error(EINVAL);
  }
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  if ((operation & LOCK_NB) == 0) message.flags = wire::lock_wait;
  return set_lock(message);
}

Status OpenFile::lock_range(int command, struct flock& range) {
  const std::uint32_t now = status_flags();
  if ((now & O_PATH) != 0) return Error(EBADF);
  const bool of_description =
      command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
  const bool tests = command == F_GETLK || command == F_OFD_GETLK;
  wire::Lock message =
      lock_message(wire::LockSpace::ranges, of_description ? wire::LockOwnerKind::description
                                                           : wire::LockOwnerKind::process);
  std::int64_t base = 0;
  if (range.l_whence == SEEK_CUR) {
    base = static_cast<std::int64_t>(slot().offset.load());
  } else if (range.l_whence == SEEK_END) {
    TRY(const struct stat status, stat());
    base = status.st_size;
  } else if (range.l_whence != SEEK_SET) {
    return Error(EINVAL);
  }
  TRY(const Range bytes, range_of(range, base));
  TRY(message.kind, kind_of(range.l_type));
  message.start = bytes.start;
  message.last = bytes.last;
  if (tests && message.kind == wire::LockKind::unlocked) return Error(EINVAL);
  if (!tests) {
    const std::uint32_t access = now & O_ACCMODE;
    if (message.kind == wire::LockKind::shared && access == O_WRONLY) return Error(EBADF);
    if (message.kind == wire::LockKind::exclusive && access == O_RDONLY) return Error(EBADF);
  }
  if (of_description && range.l_pid != 0) return Error(EINVAL);
  if (!tests) {
    if (command == F_SETLKW || command == F_OFD_SETLKW) message.flags = wire::lock_wait;
    return set_lock(message);
  }
  message.flags = wire::lock_test;
  TRY_OK(core_.ready());
  TRY(const wire::LockReply found, core_.ask(home_rank(inode()), message));
  if (found.kind == wire::LockKind::unlocked) {
    range.l_type = F_UNLCK;
    return Done{};
  }
  range.l_type = found.kind == wire::LockKind::shared ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(found.start);
  range.l_len =
      found.last >= wire::lock_last_max ? 0 : static_cast<off_t>(found.last - found.start + 1);
  range.l_pid = found.pid;
  return Done{};
}

void OpenFile::give_up_locks(const wire::Lock& message, std::uint64_t owner) {
  const HeldBy by{.inode = message.inode,
                  .owner = owner,
                  .owner_kind = message.owner.kind,
                  .space = message.space};
  bool held = false;
  {
    const Guard guard(core_.descriptors.lock());  // no signal may find the table's lock taken
    held = core_.host.table().locks.holds(core_.host.self(), by);
  }
  // Should it fail, the home is gone, and the lock with it.
  if (held) static_cast<void>(set_lock(message).ok());
}

void OpenFile::give_up_locks(bool last_use) {
  give_up_locks(lock_message(wire::LockSpace::ranges, wire::LockOwnerKind::process),
                core_.host.self());
  if (!last_use || slot().refs.load() != 1) return;
  for (const auto space : {wire::LockSpace::whole, wire::LockSpace::ranges})
    give_up_locks(lock_message(space, wire::LockOwnerKind::description), position_);
}

}  // namespace benchfs
