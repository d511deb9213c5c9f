// Operations on what a path leads to.
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "client-preload/fs/attributes.h"
#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/path_walk.h"
#include "client-preload/fs/set_attributes.h"
#include "client-preload/fs/view_walk.h"

namespace benchfs {
namespace {

struct User {
  std::uint32_t uid;
  std::uint32_t gid;
};
User user(bool effective) {
  return {static_cast<std::uint32_t>(sys::call(effective ? SYS_geteuid : SYS_getuid)),
          static_cast<std::uint32_t>(sys::call(effective ? SYS_getegid : SYS_getgid))};
}

bool in_group(const User& user, std::uint32_t gid) {
  if (gid == user.gid) return true;
  std::array<gid_t, 1024> groups;
  const long n = sys::call(SYS_getgroups, groups.size(), sys::pointer(groups.data()));
  for (long i = 0; i < n; ++i)
    if (groups[static_cast<std::size_t>(i)] == gid) return true;
  return false;
}

// As the kernel decides.
bool permits(const wire::Attributes& attributes, std::uint32_t wanted, const User& user) {
  if (user.uid == 0)
    return (wanted & X_OK) == 0 || S_ISDIR(attributes.mode) || (attributes.mode & 0111) != 0;
  int shift = 0;
  if (user.uid == attributes.uid) {
    shift = 6;
  } else if (in_group(user, attributes.gid)) {
    shift = 3;
  }
  return (attributes.mode >> shift & wanted) == wanted;
}

}  // namespace

Result<wire::Attributes> HostFileSystem::attributes_of(const Path& path, bool follow) {
  TRY_OK(core_.ready());
  if (const auto shown = view_attributes(core_, path, follow)) return *shown;
  PathWalk walk(core_, path);
  TRY(auto attributes, walk.run(wire::Stat{}, wire_follow(follow)));
  add_access_here(core_, attributes);
  return attributes;
}

Result<struct stat> HostFileSystem::stat(const Path& path, bool follow) {
  TRY(const auto attributes, attributes_of(path, follow));
  return to_stat(attributes, device_of(core_.host.instance()));
}

Error HostFileSystem::refused_on(const Path& path, bool follow) {
  const auto there = attributes_of(path, follow);
  return there.ok() ? Error(EROFS) : there.error();
}

Error HostFileSystem::refused_new(const Path& path) {
  const auto there = attributes_of(path, false);
  if (there.ok()) return Error(EEXIST);
  return there.error() == Error(ENOENT) ? Error(EROFS) : there.error();
}

Result<struct statx> HostFileSystem::extended_stat(const Path& path, bool follow, unsigned mask) {
  TRY(auto attributes, attributes_of(path, follow));
  if ((mask & STATX_BTIME) != 0 && attributes.born == 0) {  // it came from the view
    PathWalk walk(core_, path);
    TRY(attributes, walk.run(wire::Stat{}, wire_follow(follow)));
    add_access_here(core_, attributes);
  }
  return to_statx(attributes, device_of(core_.host.instance()));
}

Status HostFileSystem::access(const Path& path, int mode, bool follow, bool effective) {
  if ((mode & ~(R_OK | W_OK | X_OK)) != 0) return Error(EINVAL);
  TRY(const auto attributes, attributes_of(path, follow));
  if ((mode & W_OK) != 0 && core_.read_only()) return Error(EROFS);
  if (!permits(attributes, static_cast<std::uint32_t>(mode), user(effective))) return Error(EACCES);
  return Done{};
}

Status HostFileSystem::change_mode(const Path& path, mode_t mode, bool follow) {
  return set_attributes(core_, path, follow, mode_request(mode));
}

Status HostFileSystem::change_owner(const Path& path, uid_t uid, gid_t gid, bool follow) {
  return set_attributes(core_, path, follow, owner_request(uid, gid));
}

Status HostFileSystem::set_times(const Path& path, const struct timespec times[2], bool follow) {
  TRY(const auto request, times_request(times));
  return set_attributes(core_, path, follow, request);
}

Status HostFileSystem::truncate(const Path& path, off_t size) {
  if (size < 0) return Error(EINVAL);
  TRY_OK(core_.ready());
  if (core_.read_only()) return refused_on(path, true);
  PathWalk walk(core_, path);
  const wire::Truncate message{.where = {}, .size = static_cast<std::uint64_t>(size)};
  TRY([[maybe_unused]] const auto done, walk.run(message, wire::WhereFlag::follow));
  return Done{};
}

}  // namespace benchfs
