// What makes, removes, renames and reads names.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <string>
#include <string_view>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

template <class Libc>
int make_directory(int dirfd, const char* name, mode_t mode, Libc libc) {
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) { return fs.make_directory(path, mode); }, libc);
}

template <class Libc>
int unlink_at(int dirfd, const char* name, int flags, Libc libc) {
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((flags & ~AT_REMOVEDIR) != 0) return Error(EINVAL);
        return flags != 0 ? fs.remove_directory(path) : fs.unlink(path);
      },
      libc);
}

int fail(int error) {
  errno = error;
  return -1;
}

bool is_there(int dirfd, const std::string& name, int flags) {
  struct stat status {};
  return ::fstatat(dirfd, name.c_str(), &status, flags) == 0;
}

// The directory that the last component of a name is in; false, with errno: there is none.
bool has_parent(int dirfd, std::string_view name) {
  if (name.empty()) {
    errno = ENOENT;
    return false;
  }
  std::size_t end = name.find_last_not_of('/');
  if (end == std::string_view::npos) return true;  // the root
  end = name.find_last_of('/', end);
  return is_there(dirfd, end == std::string_view::npos ? "." : std::string(name.substr(0, end + 1)),
                  0);
}

// Two names. One in the mount and one outside, or two that leave it, are on different filesystems
// as far as we can tell; mv(1) copies then. Linux looks both names up before it says so: `missing`
// returns whether that failed, with errno.
template <class Missing, class Ours, class Libc>
int route_both(int from_dirfd, const char* from, int to_dirfd, const char* to, Missing missing,
               Ours ours, Libc libc) {
  if (FileSystem* fs = active()) {
    const auto source = locate(*fs, from_dirfd, from, Links::keep);
    const auto target = locate(*fs, to_dirfd, to, Links::keep);
    if (source && target) {
      const Status status = ours(*fs, *source, *target);
      return !status.ok() && status.error().code() == left_mount ? fail(EXDEV) : to_c(status);
    }
    // A null name is libc's to complain about.
    if ((source || target) && from != nullptr && to != nullptr)
      return missing() ? -1 : fail(EXDEV);
  }
  return libc();
}

template <class Libc>
int rename_at(int from_dirfd, const char* from, int to_dirfd, const char* to, unsigned flags,
              Libc libc) {
  return route_both(
      from_dirfd, from, to_dirfd, to,
      [&] { return !has_parent(from_dirfd, from) || !has_parent(to_dirfd, to); },
      [&](FileSystem& fs, const Path& source, const Path& target) {
        return fs.rename(source, target, flags);
      },
      libc);
}

template <class Libc>
int link_at(int from_dirfd, const char* from, int to_dirfd, const char* to, int flags, Libc libc) {
  if (means_descriptor(from, flags)) {
    if (const auto source = file(from_dirfd)) {
      FileSystem& fs = *active();
      const auto target = locate(fs, to_dirfd, to, Links::keep);
      if (!target) return fail(EXDEV);
      return to_c(fs.link(Path{.inode = source->inode(), .text = {}}, *target, false));
    }
    return libc();
  }
  return route_both(
      from_dirfd, from, to_dirfd, to,
      [&] {
        const bool follow = (flags & AT_SYMLINK_FOLLOW) != 0;
        if (!is_there(from_dirfd, from, follow ? 0 : AT_SYMLINK_NOFOLLOW)) return true;
        if (!has_parent(to_dirfd, to)) return true;
        if (!is_there(to_dirfd, to, AT_SYMLINK_NOFOLLOW)) return false;
        errno = EEXIST;
        return true;
      },
      [&](FileSystem& fs, const Path& source, const Path& target) -> Status {
        if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return Error(EINVAL);
        return fs.link(source, target, (flags & AT_SYMLINK_FOLLOW) != 0);
      },
      libc);
}

template <class Libc>
ssize_t read_link(int dirfd, const char* name, char* out, std::size_t capacity, Libc libc) {
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Result<std::size_t> {
        if (capacity == 0 || capacity > static_cast<std::size_t>(INT_MAX)) return Error(EINVAL);
        TRY(const std::string target, fs.read_link(path));
        const std::size_t size = std::min(target.size(), capacity);
        std::memcpy(out, target.data(), size);
        return size;
      },
      libc);
}

template <class Libc>
char* resolve(const char* name, char* out, Libc libc) {
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) -> Result<char*> {
        TRY(const std::string resolved, fs.canonical(path));
        if (resolved.size() >= PATH_MAX) return Error(ENAMETOOLONG);
        char* const text =
            out != nullptr ? out : static_cast<char*>(std::malloc(resolved.size() + 1));
        if (text == nullptr) return Error(ENOMEM);
        std::memcpy(text, resolved.c_str(), resolved.size() + 1);
        return text;
      },
      libc);
}

// Devices, pipes and sockets belong to a kernel; a regular file is made by open.
template <class Libc>
int make_node(int dirfd, const char* name, mode_t mode, Libc libc) {
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        if ((mode & S_IFMT) != 0 && !S_ISREG(mode)) return Error(EPERM);
        TRY(const int fd, fs.open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode & 07777));
        close_descriptor(fd);
        return Done{};
      },
      libc);
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

int mkdir(const char* name, mode_t mode) {
  return make_directory(AT_FDCWD, name, mode,
                        [&](int, const char* elsewhere) { return LIBC(mkdir)(elsewhere, mode); });
}

int mkdirat(int dirfd, const char* name, mode_t mode) {
  return make_directory(dirfd, name, mode, [&](int directory, const char* elsewhere) {
    return LIBC(mkdirat)(directory, elsewhere, mode);
  });
}

int rmdir(const char* name) {
  return unlink_at(AT_FDCWD, name, AT_REMOVEDIR,
                   [&](int, const char* elsewhere) { return LIBC(rmdir)(elsewhere); });
}

int unlink(const char* name) {
  return unlink_at(AT_FDCWD, name, 0,
                   [&](int, const char* elsewhere) { return LIBC(unlink)(elsewhere); });
}

int unlinkat(int dirfd, const char* name, int flags) {
  return unlink_at(dirfd, name, flags, [&](int directory, const char* elsewhere) {
    return LIBC(unlinkat)(directory, elsewhere, flags);
  });
}

int remove(const char* name) {
  return route(
      AT_FDCWD, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        const Status removed = fs.unlink(path);
        if (removed.ok() || (removed.error().code() != EISDIR && removed.error().code() != EPERM))
          return removed;
        return fs.remove_directory(path);
      },
      [&](int, const char* elsewhere) { return LIBC(remove)(elsewhere); });
}

int rename(const char* from, const char* to) {
  return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0, [&] { return LIBC(rename)(from, to); });
}

int renameat(int from_dirfd, const char* from, int to_dirfd, const char* to) {
  return rename_at(from_dirfd, from, to_dirfd, to, 0,
                   [&] { return LIBC(renameat)(from_dirfd, from, to_dirfd, to); });
}

int renameat2(int from_dirfd, const char* from, int to_dirfd, const char* to, unsigned flags) {
  return rename_at(from_dirfd, from, to_dirfd, to, flags,
                   [&] { return LIBC(renameat2)(from_dirfd, from, to_dirfd, to, flags); });
}

int link(const char* from, const char* to) {
  return link_at(AT_FDCWD, from, AT_FDCWD, to, 0, [&] { return LIBC(link)(from, to); });
}

int linkat(int from_dirfd, const char* from, int to_dirfd, const char* to, int flags) {
  return link_at(from_dirfd, from, to_dirfd, to, flags,
                 [&] { return LIBC(linkat)(from_dirfd, from, to_dirfd, to, flags); });
}

int symlinkat(const char* target, int dirfd, const char* name) {
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        const std::size_t length = std::strlen(target);
        if (length == 0) return Error(ENOENT);
        if (length >= PATH_MAX) return Error(ENAMETOOLONG);
        return fs.symlink(target, path);
      },
      [&](int directory, const char* elsewhere) {
        return LIBC(symlinkat)(target, directory, elsewhere);
      });
}

int symlink(const char* target, const char* name) { return symlinkat(target, AT_FDCWD, name); }

ssize_t readlink(const char* name, char* out, size_t capacity) {
  return read_link(AT_FDCWD, name, out, capacity, [&](int, const char* elsewhere) {
    return LIBC(readlink)(elsewhere, out, capacity);
  });
}

ssize_t readlinkat(int dirfd, const char* name, char* out, size_t capacity) {
  return read_link(dirfd, name, out, capacity, [&](int directory, const char* elsewhere) {
    return LIBC(readlinkat)(directory, elsewhere, out, capacity);
  });
}

[[noreturn]] void __chk_fail(void);

ssize_t __readlink_chk(const char* name, char* out, size_t size, size_t capacity) {
  if (size > capacity) __chk_fail();
  return readlink(name, out, size);
}

ssize_t __readlinkat_chk(int dirfd, const char* name, char* out, size_t size, size_t capacity) {
  if (size > capacity) __chk_fail();
  return readlinkat(dirfd, name, out, size);
}

char* realpath(const char* name, char* out) {
  return resolve(name, out,
                 [&](int, const char* elsewhere) { return LIBC(realpath)(elsewhere, out); });
}

char* __realpath_chk(const char* name, char* out, size_t capacity) {
  if (capacity < PATH_MAX) __chk_fail();
  return realpath(name, out);
}

char* canonicalize_file_name(const char* name) { return realpath(name, nullptr); }

int mknodat(int dirfd, const char* name, mode_t mode, dev_t device) {
  return make_node(dirfd, name, mode, [&](int directory, const char* elsewhere) {
    return LIBC(mknodat)(directory, elsewhere, mode, device);
  });
}

int mknod(const char* name, mode_t mode, dev_t device) {
  return mknodat(AT_FDCWD, name, mode, device);
}

int __xmknod(int, const char* name, mode_t mode, dev_t* device) {
  return mknodat(AT_FDCWD, name, mode, *device);
}

int __xmknodat(int, int dirfd, const char* name, mode_t mode, dev_t* device) {
  return mknodat(dirfd, name, mode, *device);
}

int mkfifoat(int dirfd, const char* name, mode_t mode) {
  return mknodat(dirfd, name, (mode & 07777) | S_IFIFO, 0);
}

int mkfifo(const char* name, mode_t mode) { return mkfifoat(AT_FDCWD, name, mode); }

// As libc makes it, out of inode, device and project.
key_t ftok(const char* name, int project) {
  struct stat status {};
  if (::stat(name, &status) != 0) return -1;
  return static_cast<key_t>((status.st_ino & 0xffff) | ((status.st_dev & 0xff) << 16) |
                            ((static_cast<unsigned>(project) & 0xff) << 24));
}

BENCHFS_EXPORTS_END
