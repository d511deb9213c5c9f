#include <charconv>
#include <cstring>

#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/open_file.h"

namespace benchfs {
namespace {

constexpr std::size_t path_max = 4096;

std::string kernel_working_directory() {
  char path[path_max] = {};
  const long n = sys::call(SYS_getcwd, sys::pointer(path), sizeof path);
  return n > 1 && path[0] == '/' ? std::string(path) : std::string();
}

std::string path_of_descriptor(int fd) {
  char link[40] = "/proc/self/fd/";
  *std::to_chars(link + 14, link + sizeof link - 1, fd).ptr = '\0';
  char path[path_max];
  const long n =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::pointer(link), sys::pointer(path), sizeof path);
  return n > 0 && path[0] == '/' ? std::string(path, static_cast<std::size_t>(n)) : std::string();
}

Path root_path(std::string_view rest) { return {.inode = root_inode, .text = std::string(rest)}; }

}  // namespace

std::optional<Path> HostFileSystem::locate(int dirfd, const char* name) {
  if (name == nullptr || *name == '\0' || core_.off()) return {};
  if (*name == '/') {
    if (const auto rest = core_.locate_absolute(name)) return root_path(*rest);
    return {};
  }
  if (dirfd == AT_FDCWD) {
    if (core_.working_directory.is_ours())
      return Path{.inode = core_.working_directory.inode(), .text = name};
    if (!core_.mount.may_enter(name)) return {};
    const std::string base = kernel_working_directory();
    if (base.empty()) return {};
    if (const auto rest = core_.mount.below(AT_FDCWD, base, name)) return root_path(*rest);
    return {};
  }
  if (const auto directory = core_.descriptors.find(dirfd))
    return Path{.inode = directory->inode(), .text = name};
  if (!core_.mount.may_enter(name)) return {};
  const std::string base = path_of_descriptor(dirfd);
  if (base.empty()) return {};
  if (const auto rest = core_.mount.below(dirfd, base, name)) return root_path(*rest);
  return {};
}

}  // namespace benchfs
