// stat and its variants, and statfs.
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

static_assert(sizeof(struct stat) == sizeof(struct stat64),
              "on 64-bit targets they are one layout");
static_assert(sizeof(struct statfs) == sizeof(struct statfs64));
static_assert(sizeof(struct statvfs) == sizeof(struct statvfs64));

namespace {

constexpr unsigned filesystem_magic = 0x42464853;  // "BFHS", f_type of statfs(2)
constexpr int known_flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT;

int status_at(int dirfd, const char* name, struct stat* out, int flags) {
  out = perhaps_null(out);
  return route_at(
      dirfd, name, flags,
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((flags & ~(known_flags | AT_STATX_SYNC_TYPE)) != 0) return Error(EINVAL);
        TRY(const struct stat status, fs.stat(path, links_of(flags) == Links::follow));
        if (out == nullptr) return Error(EFAULT);
        *out = status;
        return Done{};
      },
      [&](int directory, const char* elsewhere) {
        return LIBC(fstatat)(directory, elsewhere, out, flags);
      });
}

int status_of(int fd, struct stat* out) {
  out = perhaps_null(out);
  return on_file(
      fd,
      [&](File& file) -> Status {
        if (out == nullptr) return Error(EFAULT);
        TRY(*out, file.stat());
        return Done{};
      },
      [&] { return LIBC(fstat)(fd, out); });
}

struct statfs filesystem(const struct statvfs& from) {
  struct statfs out {};
  out.f_type = filesystem_magic;
  out.f_bsize = static_cast<__fsword_t>(from.f_bsize);
  out.f_frsize = static_cast<__fsword_t>(from.f_frsize);
  out.f_blocks = from.f_blocks;
  out.f_bfree = from.f_bfree;
  out.f_bavail = from.f_bavail;
  out.f_files = from.f_files;
  out.f_ffree = from.f_ffree;
  out.f_namelen = static_cast<__fsword_t>(from.f_namemax);
  out.f_fsid.__val[0] = static_cast<int>(from.f_fsid);
  out.f_fsid.__val[1] = static_cast<int>(from.f_fsid >> 32);
  return out;
}

// statfs of a name fails as a look-up of it does.
template <class Out, class Convert, class Libc>
int filesystem_at(const char* name, Out* out, Convert convert, Libc libc) {
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) -> Status {
        TRY([[maybe_unused]] const auto exists, fs.stat(path, true));
        TRY(const struct statvfs statistics, fs.statistics());
        *out = convert(statistics);
        return Done{};
      },
      libc);
}

template <class Out, class Convert, class Libc>
int filesystem_of(int fd, Out* out, Convert convert, Libc libc) {
  return on_file(
      fd,
      [&](File&) -> Status {
        TRY(const struct statvfs statistics, active()->statistics());
        *out = convert(statistics);
        return Done{};
      },
      libc);
}

struct statvfs as_is(const struct statvfs& from) {
  return from;
}

// The version of struct stat in the interface before glibc 2.33; there is one on 64-bit targets.
bool known_version(int version) {
  if (version == 0 || version == 1) return true;
  errno = EINVAL;
  return false;
}

template <class T>
struct stat* plain(T* status) {
  return reinterpret_cast<struct stat*>(status);
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

int stat(const char* name, struct stat* out) { return status_at(AT_FDCWD, name, out, 0); }
int stat64(const char* name, struct stat64* out) {
  return status_at(AT_FDCWD, name, plain(out), 0);
}

int lstat(const char* name, struct stat* out) {
  return status_at(AT_FDCWD, name, out, AT_SYMLINK_NOFOLLOW);
}
int lstat64(const char* name, struct stat64* out) {
  return status_at(AT_FDCWD, name, plain(out), AT_SYMLINK_NOFOLLOW);
}

int fstat(int fd, struct stat* out) { return status_of(fd, out); }
int fstat64(int fd, struct stat64* out) { return status_of(fd, plain(out)); }

int fstatat(int dirfd, const char* name, struct stat* out, int flags) {
  return status_at(dirfd, name, out, flags);
}
int fstatat64(int dirfd, const char* name, struct stat64* out, int flags) {
  return status_at(dirfd, name, plain(out), flags);
}

int __xstat(int version, const char* name, struct stat* out) {
  return known_version(version) ? status_at(AT_FDCWD, name, out, 0) : -1;
}
int __xstat64(int, const char*, struct stat64*) BENCHFS_ALIAS(__xstat);

int __lxstat(int version, const char* name, struct stat* out) {
  return known_version(version) ? status_at(AT_FDCWD, name, out, AT_SYMLINK_NOFOLLOW) : -1;
}
int __lxstat64(int, const char*, struct stat64*) BENCHFS_ALIAS(__lxstat);

int __fxstat(int version, int fd, struct stat* out) {
  return known_version(version) ? status_of(fd, out) : -1;
}
int __fxstat64(int, int, struct stat64*) BENCHFS_ALIAS(__fxstat);

int __fxstatat(int version, int dirfd, const char* name, struct stat* out, int flags) {
  return known_version(version) ? status_at(dirfd, name, out, flags) : -1;
}
int __fxstatat64(int, int, const char*, struct stat64*, int) BENCHFS_ALIAS(__fxstatat);

int statx(int dirfd, const char* name, int flags, unsigned mask, struct statx* out) {
  out = perhaps_null(out);
  return route_at(
      dirfd, name, flags,
      [&](FileSystem& fs, const Path& path) -> Status {
        const int sync = flags & AT_STATX_SYNC_TYPE;
        if ((flags & ~(known_flags | AT_STATX_SYNC_TYPE)) != 0 || sync == AT_STATX_SYNC_TYPE ||
            (mask & STATX__RESERVED) != 0)
          return Error(EINVAL);
        TRY(const struct statx status,
            fs.extended_stat(path, links_of(flags) == Links::follow, mask));
        if (out == nullptr) return Error(EFAULT);
        *out = status;
        return Done{};
      },
      [&](int directory, const char* elsewhere) {
        return LIBC(statx)(directory, elsewhere, flags, mask, out);
      });
}

int statfs(const char* name, struct statfs* out) {
  return filesystem_at(name, out, filesystem,
                       [&](int, const char* elsewhere) { return LIBC(statfs)(elsewhere, out); });
}
int statfs64(const char*, struct statfs64*) BENCHFS_ALIAS(statfs);
int __statfs(const char*, struct statfs*) BENCHFS_ALIAS(statfs);

int fstatfs(int fd, struct statfs* out) {
  return filesystem_of(fd, out, filesystem, [&] { return LIBC(fstatfs)(fd, out); });
}
int fstatfs64(int, struct statfs64*) BENCHFS_ALIAS(fstatfs);

int statvfs(const char* name, struct statvfs* out) {
  return filesystem_at(name, out, as_is,
                       [&](int, const char* elsewhere) { return LIBC(statvfs)(elsewhere, out); });
}
int statvfs64(const char*, struct statvfs64*) BENCHFS_ALIAS(statvfs);

int fstatvfs(int fd, struct statvfs* out) {
  return filesystem_of(fd, out, as_is, [&] { return LIBC(fstatvfs)(fd, out); });
}
int fstatvfs64(int, struct statvfs64*) BENCHFS_ALIAS(fstatvfs);

BENCHFS_EXPORTS_END
