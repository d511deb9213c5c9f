// Permissions, owners, times, limits; what needs a kernel's inode.
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include <array>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

template <class Libc>
int access_at(int dirfd, const char* name, int mode, int flags, Libc libc) {
  return route_at(
      dirfd, name, flags,
      [&](FileSystem& fs, const Path& path) -> Status {
        constexpr int known = AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH;
        if ((mode & ~(R_OK | W_OK | X_OK)) != 0 || (flags & ~known) != 0) return Error(EINVAL);
        return fs.access(path, mode, links_of(flags) == Links::follow, (flags & AT_EACCESS) != 0);
      },
      libc);
}

template <class Libc>
int change_mode_at(int dirfd, const char* name, mode_t mode, int flags, Libc libc) {
  return route(
      dirfd, name, links_of(flags),
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((flags & ~AT_SYMLINK_NOFOLLOW) != 0) return Error(EINVAL);
        if (flags != 0) {
          TRY(const struct stat status, fs.stat(path, false));
          if (S_ISLNK(status.st_mode)) return Error(EOPNOTSUPP);  // as libc and the kernel say
        }
        return fs.change_mode(path, mode & 07777, flags == 0);
      },
      libc);
}

template <class Libc>
int change_owner_at(int dirfd, const char* name, uid_t uid, gid_t gid, int flags, Libc libc) {
  return route_at(
      dirfd, name, flags,
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return Error(EINVAL);
        return fs.change_owner(path, uid, gid, links_of(flags) == Links::follow);
      },
      libc);
}

bool valid(const struct timespec& time) {
  return time.tv_nsec == UTIME_NOW || time.tv_nsec == UTIME_OMIT ||
         (time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000);
}
// Then there is nothing to do, and the kernel does not even look at the file.
bool omitted(const struct timespec* times) {
  return times != nullptr && times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT;
}

template <class Libc>
int set_times_at(int dirfd, const char* name, const struct timespec* times, int flags, Libc libc) {
  if (omitted(times)) return 0;
  return route_at(
      dirfd, name, flags,
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return Error(EINVAL);
        if (times != nullptr && (!valid(times[0]) || !valid(times[1]))) return Error(EINVAL);
        return fs.set_times(path, times, links_of(flags) == Links::follow);
      },
      libc);
}

Status set_times_of(File& file, const struct timespec* times) {
  if (omitted(times)) return Done{};
  if ((file.flags() & O_PATH) != 0) return Error(EBADF);
  if (times == nullptr) {
    constexpr struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    return file.set_times(now);
  }
  if (!valid(times[0]) || !valid(times[1])) return Error(EINVAL);
  return file.set_times(times);
}

// The older calls' times in nanoseconds; null stays null (now).
class Times {
 public:
  explicit Times(const struct timeval* from) : given_(from != nullptr) {
    if (!given_) return;
    for (std::size_t i = 0; i < 2; ++i) {
      // Out of range must not turn into UTIME_NOW or UTIME_OMIT.
      const bool sane = from[i].tv_usec >= 0 && from[i].tv_usec < 1'000'000;
      times_[i] = {from[i].tv_sec, sane ? from[i].tv_usec * 1000 : -1};
    }
  }
  explicit Times(const struct utimbuf* from) : given_(from != nullptr) {
    if (given_) times_ = {{{from->actime, 0}, {from->modtime, 0}}};
  }
  const struct timespec* get() const { return given_ ? times_.data() : nullptr; }

 private:
  bool given_;
  std::array<struct timespec, 2> times_{};
};

Result<long> limit(int name) {
  switch (name) {
    case _PC_LINK_MAX:
      return 65000;
    case _PC_MAX_CANON:
      return 255;
    case _PC_MAX_INPUT:
      return 255;
    case _PC_NAME_MAX:
      return 255;
    case _PC_PATH_MAX:
      return 4096;
    case _PC_PIPE_BUF:
      return 4096;
    case _PC_CHOWN_RESTRICTED:
      return 1;
    case _PC_NO_TRUNC:
      return 1;
    case _PC_VDISABLE:
      return 0;
    case _PC_FILESIZEBITS:
      return 64;
    case _PC_REC_MIN_XFER_SIZE:
      return 4096;
    case _PC_REC_XFER_ALIGN:
      return 4096;
    case _PC_ALLOC_SIZE_MIN:
      return 4096;
    case _PC_2_SYMLINKS:
      return 1;
    // What has no limit, or is not offered, is -1 with errno untouched.
    case _PC_SYNC_IO:
    case _PC_ASYNC_IO:
    case _PC_PRIO_IO:
    case _PC_SOCK_MAXBUF:
    case _PC_REC_INCR_XFER_SIZE:
    case _PC_REC_MAX_XFER_SIZE:
    case _PC_SYMLINK_MAX:
      return -1;
    default:
      return Error(EINVAL);
  }
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

int access(const char* name, int mode) {
  return access_at(AT_FDCWD, name, mode, 0,
                   [&](int, const char* elsewhere) { return LIBC(access)(elsewhere, mode); });
}

int faccessat(int dirfd, const char* name, int mode, int flags) {
  return access_at(dirfd, name, mode, flags, [&](int directory, const char* elsewhere) {
    return LIBC(faccessat)(directory, elsewhere, mode, flags);
  });
}

int euidaccess(const char* name, int mode) {
  return access_at(AT_FDCWD, name, mode, AT_EACCESS,
                   [&](int, const char* elsewhere) { return LIBC(euidaccess)(elsewhere, mode); });
}
int eaccess(const char*, int) BENCHFS_ALIAS(euidaccess);

int chmod(const char* name, mode_t mode) {
  return change_mode_at(AT_FDCWD, name, mode, 0,
                        [&](int, const char* elsewhere) { return LIBC(chmod)(elsewhere, mode); });
}

int lchmod(const char* name, mode_t mode) {
  return change_mode_at(AT_FDCWD, name, mode, AT_SYMLINK_NOFOLLOW,
                        [&](int, const char* elsewhere) { return LIBC(lchmod)(elsewhere, mode); });
}

int fchmodat(int dirfd, const char* name, mode_t mode, int flags) {
  return change_mode_at(dirfd, name, mode, flags, [&](int directory, const char* elsewhere) {
    return LIBC(fchmodat)(directory, elsewhere, mode, flags);
  });
}

int fchmod(int fd, mode_t mode) {
  return on_file(
      fd, [&](File& file) { return file.change_mode(mode & 07777); },
      [&] { return LIBC(fchmod)(fd, mode); });
}

int chown(const char* name, uid_t uid, gid_t gid) {
  return change_owner_at(AT_FDCWD, name, uid, gid, 0, [&](int, const char* elsewhere) {
    return LIBC(chown)(elsewhere, uid, gid);
  });
}

int lchown(const char* name, uid_t uid, gid_t gid) {
  return change_owner_at(
      AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW,
      [&](int, const char* elsewhere) { return LIBC(lchown)(elsewhere, uid, gid); });
}

int fchown(int fd, uid_t uid, gid_t gid) {
  return on_file(
      fd, [&](File& file) { return file.change_owner(uid, gid); },
      [&] { return LIBC(fchown)(fd, uid, gid); });
}

int fchownat(int dirfd, const char* name, uid_t uid, gid_t gid, int flags) {
  return change_owner_at(dirfd, name, uid, gid, flags, [&](int directory, const char* elsewhere) {
    return LIBC(fchownat)(directory, elsewhere, uid, gid, flags);
  });
}

int futimens(int fd, const struct timespec times[2]) {
  return on_file(
      fd, [&](File& file) { return set_times_of(file, times); },
      [&] { return LIBC(futimens)(fd, times); });
}

int utimensat(int dirfd, const char* name, const struct timespec times[2], int flags) {
  if (perhaps_null(name) == nullptr) return LIBC(utimensat)(dirfd, name, times, flags);  // refused
  return set_times_at(dirfd, name, times, flags, [&](int directory, const char* elsewhere) {
    return LIBC(utimensat)(directory, elsewhere, times, flags);
  });
}

int utime(const char* name, const struct utimbuf* times) {
  const Times given(times);
  return set_times_at(AT_FDCWD, name, given.get(), 0,
                      [&](int, const char* elsewhere) { return LIBC(utime)(elsewhere, times); });
}

int utimes(const char* name, const struct timeval times[2]) {
  const Times given(times);
  return set_times_at(AT_FDCWD, name, given.get(), 0,
                      [&](int, const char* elsewhere) { return LIBC(utimes)(elsewhere, times); });
}

int lutimes(const char* name, const struct timeval times[2]) {
  const Times given(times);
  return set_times_at(AT_FDCWD, name, given.get(), AT_SYMLINK_NOFOLLOW,
                      [&](int, const char* elsewhere) { return LIBC(lutimes)(elsewhere, times); });
}

int futimes(int fd, const struct timeval times[2]) {
  const Times given(times);
  return on_file(
      fd, [&](File& file) { return set_times_of(file, given.get()); },
      [&] { return LIBC(futimes)(fd, times); });
}

int futimesat(int dirfd, const char* name, const struct timeval times[2]) {
  if (name == nullptr) return futimes(dirfd, times);
  const Times given(times);
  return set_times_at(dirfd, name, given.get(), 0, [&](int directory, const char* elsewhere) {
    return LIBC(futimesat)(directory, elsewhere, times);
  });
}

long pathconf(const char* name, int option) {
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) -> Result<long> {
        TRY([[maybe_unused]] const auto exists, fs.stat(path, true));
        return limit(option);
      },
      [&](int, const char* elsewhere) { return LIBC(pathconf)(elsewhere, option); });
}

long fpathconf(int fd, int option) {
  return on_file(
      fd, [&](File&) { return limit(option); }, [&] { return LIBC(fpathconf)(fd, option); });
}

// The kernel watches inodes, and ours are none of its.
int inotify_add_watch(int fd, const char* name, uint32_t mask) {
  return refuse(AT_FDCWD, name, Links::follow, ENOSYS, [&](int, const char* elsewhere) {
    return LIBC(inotify_add_watch)(fd, elsewhere, mask);
  });
}

int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char* name) {
  return refuse(dirfd, name, Links::follow, ENOSYS, [&](int directory, const char* elsewhere) {
    return LIBC(fanotify_mark)(fd, flags, mask, directory, elsewhere);
  });
}

int name_to_handle_at(int dirfd, const char* name, struct file_handle* handle, int* mount,
                      int flags) {
  return refuse(dirfd, name, Links::keep, EOPNOTSUPP, [&](int directory, const char* elsewhere) {
    return LIBC(name_to_handle_at)(directory, elsewhere, handle, mount, flags);
  });
}

BENCHFS_EXPORTS_END
