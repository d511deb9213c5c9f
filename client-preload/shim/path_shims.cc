// What makes, removes, renames and reads names.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
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

std::string without_slashes(std::string text) {
  const std::size_t end = text.find_last_not_of('/');
  if (end != std::string::npos) text.erase(end + 1);
  return text;
}

// One of two names, of which one lies in the mount and one outside: before that is said, the kernel
// looks the names up.
class Side {
 public:
  Side(FileSystem& fs, std::optional<Path> path, int dirfd, const char* name)
      : fs_(fs), path_(std::move(path)), dirfd_(dirfd), name_(name) {}

  int error(int flags) const { return look(name_, path_ ? path_->text : std::string(), flags); }
  int error_of_parent() const {
    if (*name_ == '\0') return ENOENT;
    return look(parent(name_).c_str(), path_ ? parent(path_->text) : std::string(), 0);
  }
  // As what is to be made: EEXIST, or why it cannot be, or 0.
  int error_as_new() const {
    const std::string bare = without_slashes(name_);
    const int there = look(bare.c_str(), path_ ? without_slashes(path_->text) : std::string(),
                           AT_SYMLINK_NOFOLLOW);
    if (there == 0) return EEXIST;
    if (there != ENOENT || bare != name_) return there;
    return error_of_parent();
  }

 private:
  static std::string parent(std::string name) {
    name = without_slashes(std::move(name));
    const std::size_t slash = name.rfind('/');
    return slash == std::string::npos ? "." : name.substr(0, slash + 1) + ".";
  }
  int look(const char* name, std::string text, int flags) const {
    struct stat status {};
    if (!path_) return LIBC(fstatat)(dirfd_, name, &status, flags) == 0 ? 0 : errno;
    const auto found = fs_.stat(Path{.inode = path_->inode, .text = std::move(text)},
                                (flags & AT_SYMLINK_NOFOLLOW) == 0);
    return found.ok() || found.error().code() == left_mount ? 0 : found.error().code();
  }

  FileSystem& fs_;
  std::optional<Path> path_;  // none: outside
  int dirfd_;
  const char* name_;
};

int error_of_rename(const Side& from, const Side& to) {
  if (const int error = from.error_of_parent()) return error;
  if (const int error = to.error_of_parent()) return error;
  return EXDEV;
}

int error_of_link(const Side& from, const Side& to, int from_flags) {
  if (const int error = from.error(from_flags)) return error;
  if (const int error = to.error_as_new()) return error;
  return EXDEV;
}

// Two names. One in the mount and one outside, or two that leave it, are on different filesystems
// as far as we can tell; mv(1) copies then. `apart(from, to)`: what is said in the first case.
template <class Ours, class Apart, class Libc>
int route_both(int from_dirfd, const char* from, int from_flags, int to_dirfd, const char* to,
               Ours ours, Apart apart, Libc libc) {
  from = perhaps_null(from);
  to = perhaps_null(to);
  if (FileSystem* fs = active()) {
    const auto source = locate_at(*fs, from_dirfd, from, from_flags);
    const auto target = locate(*fs, to_dirfd, to, Links::keep);
    for (const char* const name : {from, to})
      if (name != nullptr && ::strnlen(name, PATH_MAX) == PATH_MAX && (source || target))
        return fail(ENAMETOOLONG);
    if (source && to == nullptr) return fail(EFAULT);
    if (source && target) {
      const Status status = ours(*fs, *source, *target);
      return !status.ok() && status.error().code() == left_mount ? fail(EXDEV) : to_c(status);
    }
    // A null or empty name is libc's to complain about, but Linux looks the source up first.
    const bool names = from != nullptr && to != nullptr && (*to != '\0' || source) &&
                       (*from != '\0' || means_descriptor(from, from_flags));
    if ((source || target) && names)
      return fail(apart(Side(*fs, source, from_dirfd, from), Side(*fs, target, to_dirfd, to)));
  }
  return libc();
}

template <class Libc>
int rename_at(int from_dirfd, const char* from, int to_dirfd, const char* to, unsigned flags,
              Libc libc) {
  return route_both(
      from_dirfd, from, AT_SYMLINK_NOFOLLOW, to_dirfd, to,
      [&](FileSystem& fs, const Path& source, const Path& target) {
        return fs.rename(source, target, flags);
      },
      error_of_rename, libc);
}

template <class Libc>
int link_at(int from_dirfd, const char* from, int to_dirfd, const char* to, int flags, Libc libc) {
  const int from_flags =
      (flags & AT_EMPTY_PATH) | ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW);
  return route_both(
      from_dirfd, from, from_flags, to_dirfd, to,
      [&](FileSystem& fs, const Path& source, const Path& target) -> Status {
        if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return Error(EINVAL);
        return fs.link(source, target, (flags & AT_SYMLINK_FOLLOW) != 0);
      },
      [&](const Side& source, const Side& target) {
        return error_of_link(source, target, from_flags);
      },
      libc);
}

// An empty name: the symbolic link that was opened with O_PATH.
template <class Libc>
ssize_t read_link(int dirfd, const char* name, char* out, std::size_t capacity, Libc libc) {
  name = perhaps_null(name);
  out = perhaps_null(out);
  const bool opened = name != nullptr && *name == '\0' && dirfd != AT_FDCWD;
  return route_at(
      dirfd, name, AT_SYMLINK_NOFOLLOW | (opened ? AT_EMPTY_PATH : 0),
      [&](FileSystem& fs, const Path& path) -> Result<std::size_t> {
        if (capacity == 0 || capacity > static_cast<std::size_t>(INT_MAX)) return Error(EINVAL);
        const auto read = fs.read_link(path);
        if (!read.ok())
          return opened && read.error() == Error(EINVAL) ? Error(ENOENT) : read.error();
        const std::string& target = *read;
        if (out == nullptr) return Error(EFAULT);
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
        if (path.text.ends_with('/')) {  // open(2) would say otherwise
          const Path bare{.inode = path.inode, .text = without_slashes(path.text)};
          TRY([[maybe_unused]] const auto there, fs.stat(bare, false));
          return Error(EEXIST);
        }
        TRY(const int fd, fs.open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode & 07777));
        close_descriptor(fd);
        return Done{};
      },
      libc);
}

// The path of a Unix socket's address; empty: none.
std::string socket_path(const sockaddr* address, socklen_t length) {
  constexpr std::size_t head = offsetof(sockaddr_un, sun_path);
  if (address == nullptr || length <= head || address->sa_family != AF_UNIX) return {};
  const char* const path = reinterpret_cast<const char*>(address) + head;
  return {path, ::strnlen(path, std::min<std::size_t>(length, sizeof(sockaddr_un)) - head)};
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
  target = perhaps_null(target);
  return route(
      dirfd, name, Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        if (target == nullptr) return Error(EFAULT);
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

// A socket's name is a kernel's inode.
int bind(int socket, const sockaddr* address, socklen_t length) {
  const std::string name = socket_path(address, length);
  if (name.empty()) return LIBC(bind)(socket, address, length);
  return route(
      AT_FDCWD, name.c_str(), Links::keep,
      [&](FileSystem& fs, const Path& path) -> Status {
        const auto there = fs.stat(path, false);
        if (there.ok()) return Error(EADDRINUSE);
        return there.error() == Error(ENOENT) ? Error(EPERM) : there.error();
      },
      [&](int, const char* elsewhere) {
        if (elsewhere == name) return LIBC(bind)(socket, address, length);
        sockaddr_un outside{};
        outside.sun_family = AF_UNIX;
        if (std::strlen(elsewhere) >= sizeof outside.sun_path) return fail(ENAMETOOLONG);
        std::strcpy(outside.sun_path, elsewhere);
        return LIBC(bind)(socket, reinterpret_cast<const sockaddr*>(&outside), sizeof outside);
      });
}

// As libc makes it, out of inode, device and project.
key_t ftok(const char* name, int project) {
  struct stat status {};
  if (::stat(name, &status) != 0) return -1;
  return static_cast<key_t>((status.st_ino & 0xffff) | ((status.st_dev & 0xff) << 16) |
                            ((static_cast<unsigned>(project) & 0xff) << 24));
}

BENCHFS_EXPORTS_END
