// Extended attributes.
#include <fcntl.h>
#include <sys/xattr.h>

#include <span>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

// An operation on what a name leads to, by `ours(FileSystem&, const Path&, bool follow)`.
template <class Ours, class Libc>
auto on_name(const char* name, Links links, Ours ours, Libc libc) {
  return route(
      AT_FDCWD, name, links,
      [&](FileSystem& fs, const Path& path) { return ours(fs, path, links == Links::follow); },
      [&](int, const char* elsewhere) { return libc(elsewhere); });
}

// The same operation on an open file.
template <class Ours, class Libc>
auto on_descriptor(int fd, Ours ours, Libc libc) {
  return on_file(
      fd,
      [&](File& file) -> decltype(ours(*active(), Path{}, true)) {
        if ((file.flags() & O_PATH) != 0) return Error(EBADF);
        return ours(*active(), Path{.inode = file.inode(), .text = {}}, true);
      },
      libc);
}

auto getting(const char* key, void* value, std::size_t size) {
  return [=](FileSystem& fs, const Path& path, bool follow) -> Result<std::size_t> {
    if (key == nullptr || (value == nullptr && size != 0)) return Error(EFAULT);
    return fs.get_xattr(path, key, {static_cast<std::byte*>(value), size}, follow);
  };
}

auto setting(const char* key, const void* value, std::size_t size, int flags) {
  return [=](FileSystem& fs, const Path& path, bool follow) -> Status {
    if (key == nullptr || (value == nullptr && size != 0)) return Error(EFAULT);
    return fs.set_xattr(path, key, {static_cast<const std::byte*>(value), size}, flags, follow);
  };
}

auto listing(char* list, std::size_t size) {
  return [=](FileSystem& fs, const Path& path, bool follow) -> Result<std::size_t> {
    if (list == nullptr && size != 0) return Error(EFAULT);
    return fs.list_xattrs(path, std::as_writable_bytes(std::span(list, size)), follow);
  };
}

auto removing(const char* key) {
  return [=](FileSystem& fs, const Path& path, bool follow) -> Status {
    if (key == nullptr) return Error(EFAULT);
    return fs.remove_xattr(path, key, follow);
  };
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

ssize_t getxattr(const char* name, const char* key, void* value, size_t size) {
  return on_name(name, Links::follow, getting(key, value, size), [&](const char* elsewhere) {
    return LIBC(getxattr)(elsewhere, key, value, size);
  });
}

ssize_t lgetxattr(const char* name, const char* key, void* value, size_t size) {
  return on_name(name, Links::keep, getting(key, value, size), [&](const char* elsewhere) {
    return LIBC(lgetxattr)(elsewhere, key, value, size);
  });
}

ssize_t fgetxattr(int fd, const char* key, void* value, size_t size) {
  return on_descriptor(fd, getting(key, value, size),
                       [&] { return LIBC(fgetxattr)(fd, key, value, size); });
}

int setxattr(const char* name, const char* key, const void* value, size_t size, int flags) {
  return on_name(name, Links::follow, setting(key, value, size, flags), [&](const char* elsewhere) {
    return LIBC(setxattr)(elsewhere, key, value, size, flags);
  });
}

int lsetxattr(const char* name, const char* key, const void* value, size_t size, int flags) {
  return on_name(name, Links::keep, setting(key, value, size, flags), [&](const char* elsewhere) {
    return LIBC(lsetxattr)(elsewhere, key, value, size, flags);
  });
}

int fsetxattr(int fd, const char* key, const void* value, size_t size, int flags) {
  return on_descriptor(fd, setting(key, value, size, flags),
                       [&] { return LIBC(fsetxattr)(fd, key, value, size, flags); });
}

ssize_t listxattr(const char* name, char* list, size_t size) {
  return on_name(name, Links::follow, listing(list, size),
                 [&](const char* elsewhere) { return LIBC(listxattr)(elsewhere, list, size); });
}

ssize_t llistxattr(const char* name, char* list, size_t size) {
  return on_name(name, Links::keep, listing(list, size),
                 [&](const char* elsewhere) { return LIBC(llistxattr)(elsewhere, list, size); });
}

ssize_t flistxattr(int fd, char* list, size_t size) {
  return on_descriptor(fd, listing(list, size), [&] { return LIBC(flistxattr)(fd, list, size); });
}

int removexattr(const char* name, const char* key) {
  return on_name(name, Links::follow, removing(key),
                 [&](const char* elsewhere) { return LIBC(removexattr)(elsewhere, key); });
}

int lremovexattr(const char* name, const char* key) {
  return on_name(name, Links::keep, removing(key),
                 [&](const char* elsewhere) { return LIBC(lremovexattr)(elsewhere, key); });
}

int fremovexattr(int fd, const char* key) {
  return on_descriptor(fd, removing(key), [&] { return LIBC(fremovexattr)(fd, key); });
}

BENCHFS_EXPORTS_END
