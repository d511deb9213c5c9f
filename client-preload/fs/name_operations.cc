// Operations on names.
#include <stdio.h>
#include <sys/stat.h>

#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/path_walk.h"

namespace benchfs {
namespace {

constexpr int renames_max = 64;

struct Name {
  std::uint64_t directory;
  std::string text;
  bool wants_directory;  // it was given with a trailing slash
};

// The directory of a path's last component, and that component.
Result<Name> resolve(Core& core, const Path& path) {
  PathWalk walk(core, path);
  TRY(const auto reply, walk.run(wire::Resolve{}, 0));
  if (reply.consumed > walk.text().size()) return Error(EIO);
  std::string_view last = walk.text().substr(reply.consumed);
  last.remove_prefix(std::min(last.find_first_not_of('/'), last.size()));
  Name name{.directory = reply.inode, .text = {}, .wants_directory = last.ends_with('/')};
  name.text = last.substr(0, last.find_last_not_of('/') + 1);
  if (name.text == "." || name.text == "..") return Error(EBUSY);
  if (name.text.empty()) return Error(ENOENT);
  return name;
}

// Nothing of it but slashes: the directory the path starts at.
bool is_start(const Path& path) { return path.text.find_first_not_of('/') == std::string::npos; }

}  // namespace

Status HostFileSystem::make_directory(const Path& path, mode_t mode) {
  TRY_OK(core_.ready());
  if (core_.read_only()) return refused_new(path);
  wire::MakeDirectory message{};
  message.mode = mode & 01777 & ~static_cast<std::uint32_t>(core_.creation_mask.get());
  message.gid = static_cast<std::uint32_t>(sys::call(SYS_getegid));
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto made, walk.run(message, wire::WhereFlag::directory));
  return Done{};
}

Status HostFileSystem::remove_directory(const Path& path) {
  TRY_OK(core_.ready_to_change());
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto done, walk.run(wire::RemoveDirectory{}, 0));
  return Done{};
}

Status HostFileSystem::unlink(const Path& path) {
  TRY_OK(core_.ready_to_change());
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto done, walk.run(wire::Unlink{}, 0));
  return Done{};
}

// None: one of the directories was split meanwhile, resolve again.
std::optional<Status> HostFileSystem::try_rename(const Path& from, const Path& to, unsigned flags) {
  // As the kernel does: both parents, then "." and "..", which are no names to rename.
  const bool exclusive = (flags & RENAME_NOREPLACE) != 0;
  const auto from_name = is_start(from) ? Result<Name>(Error(EBUSY)) : resolve(core_, from);
  if (!from_name.ok() && from_name.error() != Error(EBUSY)) return Status(from_name.error());
  const auto to_name = is_start(to) ? Result<Name>(Error(EBUSY)) : resolve(core_, to);
  if (!to_name.ok() && to_name.error() != Error(EBUSY)) return Status(to_name.error());
  if (!from_name.ok()) return Status(Error(EBUSY));
  if (!to_name.ok()) return Status(Error(exclusive ? EEXIST : EBUSY));
  const Name& source = *from_name;
  const Name& target = *to_name;
  const wire::Rename message{.from_directory = source.directory,
                             .to_directory = target.directory,
                             .from_bytes = static_cast<std::uint32_t>(source.text.size()),
                             .to_bytes = static_cast<std::uint32_t>(target.text.size()),
                             .flags = flags,
                             .slashes = (source.wants_directory ? wire::NameFlag::from_slash : 0u) |
                                        (target.wants_directory ? wire::NameFlag::to_slash : 0u)};
  const std::uint32_t rank = home_rank(source.directory);
  const auto connected = core_.host.channel(rank);
  if (!connected.ok()) return Status(connected.error());
  Channel* const channel = *connected;
  Request request;
  request.begin(*channel);
  request.add(wire::bytes_of(message));
  request.add(wire::bytes_of(source.text));
  request.add(wire::bytes_of(target.text));
  request.post(wire::Op::rename, rank);
  const Status done = request.wait();
  if (done.ok() && request.redirected()) return {};
  return done;
}

Status HostFileSystem::rename(const Path& from, const Path& to, unsigned flags) {
  TRY_OK(core_.ready_to_change());
  for (int tries = 0; tries < renames_max; ++tries)
    if (const auto done = try_rename(from, to, flags)) return *done;
  return Error(EIO);
}

Status HostFileSystem::link(const Path& from, const Path& to, bool follow) {
  TRY(const struct stat source, stat(from, follow));
  if (core_.read_only()) return refused_new(to);
  const wire::Link message{
      .where = {}, .inode = source.st_ino, .type = source.st_mode & S_IFMT, .reserved = 0};
  PathWalk walk(core_, to);
  TRY([[maybe_unused]] const auto done, walk.run(message, 0));
  return Done{};
}

Status HostFileSystem::symlink(std::string_view target, const Path& path) {
  if (target.empty()) return Error(ENOENT);
  if (target.size() > wire::path_bytes_max) return Error(ENAMETOOLONG);
  TRY_OK(core_.ready());
  if (core_.read_only()) return refused_new(path);
  wire::Symlink message{};
  message.target_bytes = static_cast<std::uint32_t>(target.size());
  message.gid = static_cast<std::uint32_t>(sys::call(SYS_getegid));
  PathWalk walk(core_, path);
  TRY([[maybe_unused]] const auto made, walk.run(message, 0, target));
  return Done{};
}

Result<std::string> HostFileSystem::read_link(const Path& path) {
  TRY_OK(core_.ready());
  PathWalk walk(core_, path);
  Request request;
  TRY([[maybe_unused]] const auto head, walk.run(request, wire::ReadLink{}, 0));
  const auto target = request.body().subspan(sizeof(wire::Nothing));
  return std::string(reinterpret_cast<const char*>(target.data()), target.size());
}

}  // namespace benchfs
