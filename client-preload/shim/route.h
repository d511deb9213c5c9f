// Decides whether a call is for BenchFS, and turns results into the C convention.
//
// Everything here is called from any thread, from signal handlers and between fork and exec. The
// not-ours way through it allocates nothing, locks nothing and leaves no destructor behind, so that
// libc's call is the last thing a shim does.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "client-preload/fs/file_system.h"
#include "common/result.h"

namespace benchfs::shim {

inline constexpr std::uintptr_t switched_off = 1;
extern std::atomic<std::uintptr_t> instance;  // 0: not asked yet; switched_off; else a FileSystem*
FileSystem* start();

// Null when BenchFS is off, or while the calling thread is making it (an allocator or a locale may
// open files of its own then; those go to libc).
inline FileSystem* active() {
  const std::uintptr_t seen = instance.load(std::memory_order_acquire);
  if (seen > switched_off) [[likely]]
    return reinterpret_cast<FileSystem*>(seen);
  return seen == 0 ? start() : nullptr;
}

// What the kernel answers 0x7ffff000 for: no call moves more.
inline constexpr std::size_t transfer_max = 0x7ffff000;

// Success leaves errno alone, as POSIX asks.
inline int to_c(const Status& status) {
  if (status.ok()) return 0;
  errno = status.error().code();
  return -1;
}
template <class T>
T to_c(Result<T> result) {
  if (result.ok()) return *std::move(result);
  errno = result.error().code();
  if constexpr (std::is_pointer_v<T>) {
    return nullptr;
  } else {
    return static_cast<T>(-1);
  }
}
inline ssize_t to_c(const Result<std::size_t>& result) {
  if (result.ok()) return static_cast<ssize_t>(*result);
  errno = result.error().code();
  return -1;
}

// `ours(File&)` if fd is a descriptor of ours, else `libc()`. Inlined, so that the arguments of a
// call that is not ours stay in registers.
template <class Ours, class Libc>
[[gnu::always_inline]] inline auto on_file(int fd, Ours ours, Libc libc) -> decltype(libc()) {
  if (FileSystem* fs = active()) {
    if (const auto file = fs->find(fd)) [[unlikely]]
      return static_cast<decltype(libc())>(to_c(ours(*file)));
  }
  return libc();
}
inline std::shared_ptr<File> file(int fd) {
  FileSystem* fs = active();
  return fs != nullptr ? fs->find(fd) : nullptr;
}
// The calls that have no meaning on our files.
template <class Libc>
auto refuse(int fd, int error, Libc libc) -> decltype(libc()) {
  return on_file(
      fd, [&](File&) { return Status(Error(error)); }, libc);
}

// libc declares many pointers to be non-null, and the compiler believes it of our definitions too,
// so that checks vanish; but null ones do come, and are EFAULT.
template <class T>
[[gnu::always_inline]] inline T* perhaps_null(T* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

enum class Links { follow, keep };  // what a name's last component may be, if it is one of these:
// /dev/stdin, /dev/fd/N, /proc/self/fd/N lead to the placeholder; the open file is meant.
std::optional<Path> locate(FileSystem& fs, int dirfd, const char* name, Links links);

inline Links links_of(int flags) {
  return (flags & AT_SYMLINK_NOFOLLOW) != 0 ? Links::keep : Links::follow;
}
// Whether an *at call with AT_EMPTY_PATH is about the descriptor itself.
inline bool means_descriptor(const char* name, int flags) {
  name = perhaps_null(name);
  return (flags & AT_EMPTY_PATH) != 0 && (name == nullptr || *name == '\0');
}
// As locate(), with AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW understood: an empty name is the open
// file, however it was opened, or the working directory.
std::optional<Path> locate_at(FileSystem& fs, int dirfd, const char* name, int flags);

// `ours(FileSystem&, const Path&)` if the name lies in the mount, else `libc(dirfd, name)`. When
// the walk leaves the mount, libc gets the absolute name outside.
template <class Ours, class Libc>
auto run_in_mount(FileSystem& fs, const char* name, const Path& path, Ours ours, Libc libc)
    -> decltype(libc(AT_FDCWD, "")) {
  using Outcome = decltype(ours(fs, path));
  name = perhaps_null(name);
  const bool too_long = name != nullptr && ::strnlen(name, PATH_MAX) == PATH_MAX;
  Outcome result = too_long ? Outcome(Error(ENAMETOOLONG)) : ours(fs, path);
  if (result.ok() || result.error().code() != left_mount)
    return static_cast<decltype(libc(AT_FDCWD, ""))>(to_c(std::move(result)));
  const std::string outside = outside_path();
  return libc(AT_FDCWD, outside.c_str());
}
template <class Ours, class Libc>
auto route(int dirfd, const char* name, Links links, Ours ours, Libc libc)
    -> decltype(libc(dirfd, name)) {
  if (FileSystem* fs = active()) {
    if (const auto path = locate(*fs, dirfd, name, links))
      return run_in_mount(*fs, name, *path, ours, libc);
  }
  return libc(dirfd, name);
}
// As above, by locate_at().
template <class Ours, class Libc>
auto route_at(int dirfd, const char* name, int flags, Ours ours, Libc libc)
    -> decltype(libc(dirfd, name)) {
  if (FileSystem* fs = active()) {
    if (const auto path = locate_at(*fs, dirfd, name, flags))
      return run_in_mount(*fs, name, *path, ours, libc);
  }
  return libc(dirfd, name);
}
template <class Libc>
auto refuse(int dirfd, const char* name, Links links, int error, Libc libc)
    -> decltype(libc(dirfd, name)) {
  return route(
      dirfd, name, links,
      [&](FileSystem& fs, const Path& path) -> Status {
        TRY([[maybe_unused]] const auto exists, fs.stat(path, links == Links::follow));
        return Error(error);
      },
      libc);
}

// The kernel gave `fd` to a file that is not ours. Keeps errno.
void passed(int fd);
// The one way our own code closes an application's descriptor: accounts, and switches streams.
int close_descriptor(int fd);

// Guards the library's small registries (streams, spawn actions, popen); held across fork.
std::mutex& registries();

}  // namespace benchfs::shim
