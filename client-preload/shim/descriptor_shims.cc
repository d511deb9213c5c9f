// What makes, copies, closes and controls descriptors.
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>

#include "client-preload/shim/descriptors.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "client-preload/shim/streams.h"
#include "common/sys.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

bool is_open(int fd) { return sys::fcntl(fd, F_GETFD) >= 0; }

// The kernel made `copy`.
int copied(FileSystem& fs, int fd, int copy) {
  if (copy < 0) return copy;
  if (fs.find(fd) != nullptr) {
    fs.duplicated(fd, copy);
  } else {
    fs.not_ours(copy);
  }
  if (copy <= STDERR_FILENO) streams::changed(copy);
  return copy;
}

template <class Libc>
int duplicate(int fd, Libc libc) {
  FileSystem* fs = active();
  if (fs == nullptr) return libc();
  if (fs->is_private(fd)) {
    errno = EBADF;
    return -1;
  }
  return copied(*fs, fd, libc());
}

// dup2 and dup3 close `to` only if they succeed, so what would fail is left to the kernel to say.
template <class Libc>
int duplicate_onto(int from, int to, Libc libc) {
  FileSystem* fs = active();
  if (fs == nullptr || from == to || to < 0) return libc();
  if (fs->is_private(from)) {
    errno = EBADF;
    return -1;
  }
  if (!is_open(from)) return libc();
  if (fs->is_private(to)) fs->move_private(to);
  fs->closing(to);
  const int copy = libc();
  if (copy >= 0) return copied(*fs, from, copy);
  if (to <= STDERR_FILENO) streams::changed(to);
  return copy;
}

Result<int> control_file(File& file, int fd, int command, long argument) {
  const bool for_all = command == F_GETFD || command == F_SETFD || command == F_GETFL;
  if (!for_all && (file.flags() & O_PATH) != 0) return Error(EBADF);
  switch (command) {
    case F_GETFL:
      return file.flags();
    case F_SETFL: {
      TRY_OK(file.set_flags(static_cast<int>(argument)));
      return 0;
    }
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: {
      auto* const range = reinterpret_cast<struct flock*>(argument);
      if (range == nullptr) return Error(EFAULT);
      TRY_OK(file.lock_range(command, *range));
      return 0;
    }
    case F_GETFD:
    case F_SETFD:
    case F_GETOWN:
    case F_SETOWN: {
      const int result = sys::fcntl(fd, command, argument);
      if (result < 0) return Error(-result);
      return result;
    }
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
      return Error(EBADF);
    default:
      return Error(EINVAL);
  }
}

Result<int> control_device(File& file, int fd, unsigned long request, void* argument) {
  if ((file.flags() & O_PATH) != 0) return Error(EBADF);
  switch (request) {
    case FIOCLEX:
    case FIONCLEX: {
      const long flags = request == FIOCLEX ? FD_CLOEXEC : 0;
      const int result = sys::fcntl(fd, F_SETFD, flags);
      if (result < 0) return Error(-result);
      return 0;
    }
    case FIONBIO: {
      const int set = *static_cast<const int*>(argument) != 0 ? O_NONBLOCK : 0;
      TRY_OK(file.set_flags((file.flags() & ~O_NONBLOCK) | set));
      return 0;
    }
    case FIONREAD: {
      if (file.is_directory()) return Error(ENOTTY);
      TRY(const struct stat status, file.stat());
      TRY(const off_t at, file.seek(0, SEEK_CUR));
      *static_cast<int*>(argument) = static_cast<int>(status.st_size - at);
      return 0;
    }
    case FICLONE:
    case FICLONERANGE:
    case FIDEDUPERANGE:
    case FS_IOC_FIEMAP:
      return Error(EOPNOTSUPP);
    default:
      return Error(ENOTTY);
  }
}

// Every descriptor that a message passes on.
template <class Use>
void for_passed(const msghdr* message, Use use) {
  if (message == nullptr || message->msg_controllen == 0) return;
  FileSystem* fs = active();
  if (fs == nullptr) return;
  auto* const mutable_message = const_cast<msghdr*>(message);  // CMSG_NXTHDR's prototype
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr;
       part = CMSG_NXTHDR(mutable_message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      use(*fs, fd);
    }
  }
}

// What arrives may be one of ours: what was known of its number is void.
void look_at_received(const msghdr* message) {
  for_passed(message, [](FileSystem& fs, int fd) {
    fs.closing(fd);
    if (fd <= STDERR_FILENO) streams::changed(fd);
  });
}

Status get_ready_to_send(const msghdr* message) {
  Status ready = Done{};
  for_passed(message, [&](FileSystem& fs, int fd) {
    if (ready.ok()) ready = fs.sending(fd);
  });
  return ready;
}

// As glibc makes it of fcntl's locks.
Status lock_section(File& file, int command, off_t length) {
  struct flock range {};
  range.l_whence = SEEK_CUR;
  range.l_len = length;
  switch (command) {
    case F_LOCK:
      range.l_type = F_WRLCK;
      return file.lock_range(F_SETLKW, range);
    case F_TLOCK:
      range.l_type = F_WRLCK;
      return file.lock_range(F_SETLK, range);
    case F_ULOCK:
      range.l_type = F_UNLCK;
      return file.lock_range(F_SETLK, range);
    case F_TEST: {
      range.l_type = F_RDLCK;
      TRY_OK(file.lock_range(F_GETLK, range));
      if (range.l_type == F_UNLCK || range.l_pid == sys::getpid()) return Done{};
      return Error(EACCES);
    }
    default:
      return Error(EINVAL);
  }
}

int control(int fd, int command, void* argument) {
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
    return duplicate(fd, [&] { return LIBC(fcntl)(fd, command, argument); });
  return on_file(
      fd,
      [&](File& file) { return control_file(file, fd, command, reinterpret_cast<long>(argument)); },
      [&] { return LIBC(fcntl)(fd, command, argument); });
}

}  // namespace

namespace benchfs::shim::descriptors {

int replace(int from, int to, int flags) {
  if (from == to) return to;
  return duplicate_onto(from, to, [&] { return LIBC(dup3)(from, to, flags); });
}

int status_flags(int fd) { return control(fd, F_GETFL, nullptr); }
int set_status_flags(int fd, int flags) {
  return control(fd, F_SETFL, reinterpret_cast<void*>(static_cast<long>(flags)));
}

int close_range(unsigned first, unsigned last, int flags) {
  FileSystem* fs = active();
  if (fs == nullptr || first > last || (flags & CLOSE_RANGE_CLOEXEC) != 0 ||
      (flags & ~static_cast<int>(CLOSE_RANGE_UNSHARE)) != 0)
    return LIBC(close_range)(first, last, flags);
  for (const int fd : fs->our_descriptors())
    if (static_cast<unsigned>(fd) >= first && static_cast<unsigned>(fd) <= last) fs->closing(fd);
  unsigned from = first;
  for (const int fd : fs->private_descriptors()) {
    const auto own = static_cast<unsigned>(fd);
    if (own < from) continue;
    if (own > last) break;
    if (own > from && LIBC(close_range)(from, own - 1, flags) != 0) return -1;
    from = own + 1;
  }
  if (from <= last && LIBC(close_range)(from, last, flags) != 0) return -1;
  for (unsigned fd = first; fd <= std::min<unsigned>(last, STDERR_FILENO); ++fd)
    streams::changed(static_cast<int>(fd));
  return 0;
}

}  // namespace benchfs::shim::descriptors

BENCHFS_EXPORTS_BEGIN

int close(int fd) { return close_descriptor(fd); }
int __close(int) BENCHFS_ALIAS(close);

int dup(int fd) {
  return duplicate(fd, [&] { return LIBC(dup)(fd); });
}

int dup2(int from, int to) {
  return duplicate_onto(from, to, [&] { return LIBC(dup2)(from, to); });
}
int __dup2(int, int) BENCHFS_ALIAS(dup2);

int dup3(int from, int to, int flags) {
  if ((flags & ~O_CLOEXEC) != 0) return LIBC(dup3)(from, to, flags);
  return duplicate_onto(from, to, [&] { return LIBC(dup3)(from, to, flags); });
}

int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return control(fd, command, argument);
}
int fcntl64(int, int, ...) BENCHFS_ALIAS(fcntl);
int __fcntl(int, int, ...) BENCHFS_ALIAS(fcntl);

int close_range(unsigned first, unsigned last, int flags) {
  return descriptors::close_range(first, last, flags);
}

void closefrom(int first) {
  descriptors::close_range(static_cast<unsigned>(std::max(first, 0)), ~0U, 0);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return on_file(
      fd, [&](File& file) { return control_device(file, fd, request, argument); },
      [&] { return LIBC(ioctl)(fd, request, argument); });
}

int flock(int fd, int operation) {
  return on_file(
      fd, [&](File& file) { return file.lock_whole(operation); },
      [&] { return LIBC(flock)(fd, operation); });
}

int lockf(int fd, int command, off_t length) {
  return on_file(
      fd, [&](File& file) { return lock_section(file, command, length); },
      [&] { return LIBC(lockf)(fd, command, length); });
}
int lockf64(int, int, off64_t) BENCHFS_ALIAS(lockf);

ssize_t recvmsg(int socket, msghdr* message, int flags) {
  const ssize_t result = LIBC(recvmsg)(socket, message, flags);
  if (result >= 0) look_at_received(message);
  return result;
}

int recvmmsg(int socket, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const int result = LIBC(recvmmsg)(socket, messages, count, flags, timeout);
  for (int i = 0; i < result; ++i) look_at_received(&messages[i].msg_hdr);
  return result;
}

ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  if (const Status ready = get_ready_to_send(message); !ready.ok()) return to_c(ready);
  return LIBC(sendmsg)(socket, message, flags);
}

int sendmmsg(int socket, mmsghdr* messages, unsigned count, int flags) {
  for (unsigned i = 0; i < count; ++i)
    if (const Status ready = get_ready_to_send(&messages[i].msg_hdr); !ready.ok())
      return to_c(ready);
  return LIBC(sendmmsg)(socket, messages, count, flags);
}

BENCHFS_EXPORTS_END
