// Names for inodes: the way back from a directory to the mount point.
#include <sys/stat.h>

#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/path_walk.h"
#include "client-preload/fs/thread_own.h"
#include "client-preload/fs/view_walk.h"

namespace benchfs {
namespace {

constexpr int depth_max = 4096;
constexpr int symlinks_max = 40;

bool names_no_entry(std::string_view text) {
  text = text.substr(0, text.find_last_not_of('/') + 1);
  const std::string_view last = text.substr(text.rfind('/') + 1);
  return last.empty() || last == "." || last == "..";
}

// The last answer of this thread: programs ask for their working directory again and again. It is
// right as long as the views lead that way.
struct Known {
  std::uint64_t directory = 0;
  std::string below;  // the mount point, with a slash before each name
};
thread_local ThreadOwn<Known> known;

bool still_right(Core& core, const Known& last) {
  return walk_in_view(core, root_inode, last.below + "/.").inode == last.directory;
}

}  // namespace

Result<std::string> HostFileSystem::path_of(const std::uint64_t directory) {
  TRY_OK(core_.ready());
  Known& last = known.get();
  if (last.directory == directory && still_right(core_, last))
    return core_.mount.path() + last.below;
  std::string below;
  std::uint64_t inode = directory;
  for (int depth = 0; inode != root_inode; ++depth) {
    if (depth == depth_max) return Error(ELOOP);
    Request request;
    TRY(const auto reply, core_.ask(request, home_rank(inode), wire::NameOf{.inode = inode}));
    const auto name = request.body().subspan(sizeof reply);
    below.insert(0, reinterpret_cast<const char*>(name.data()), name.size());
    below.insert(0, "/");
    if (below.size() > wire::path_bytes_max) return Error(ENAMETOOLONG);
    inode = reply.parent;
  }
  last = {.directory = directory, .below = below};
  return core_.mount.path() + below;
}

Result<std::string> HostFileSystem::absolute(std::uint64_t directory, std::string_view name) {
  TRY(std::string path, path_of(directory));
  path.append("/").append(name);
  return path;
}

Result<std::string> HostFileSystem::canonical(const Path& path) {
  TRY_OK(core_.ready());
  Path here = path;
  for (int links = 0; links <= symlinks_max; ++links) {
    if (names_no_entry(here.text)) {
      TRY(const struct stat status, stat(here, true));
      return path_of(status.st_ino);
    }
    PathWalk walk(core_, here);
    TRY(const auto found, walk.run(wire::Resolve{}, 0));
    if (found.consumed > walk.text().size()) return Error(EIO);
    std::string last(walk.text().substr(found.consumed));
    last.erase(0, std::min(last.find_first_not_of('/'), last.size()));
    const bool wants_directory = last.ends_with('/');
    last.erase(last.find_last_not_of('/') + 1);
    const Path itself{.inode = found.whole, .text = last};
    TRY(const struct stat status, stat(itself, false));
    if (!S_ISLNK(status.st_mode)) {
      if (wants_directory && !S_ISDIR(status.st_mode)) return Error(ENOTDIR);
      return absolute(found.whole, last);
    }
    TRY(std::string target, read_link(itself));
    if (wants_directory) target += '/';
    here = {.inode = found.whole, .text = std::move(target)};
    if (!here.text.starts_with('/')) continue;
    const auto rest = core_.locate_absolute(here.text.c_str());
    if (!rest) {  // the walk says so, and where to
      TRY([[maybe_unused]] const struct stat elsewhere, stat(itself, true));
      return Error(ELOOP);
    }
    here = {.inode = root_inode, .text = std::string(*rest)};
  }
  return Error(ELOOP);
}

}  // namespace benchfs
