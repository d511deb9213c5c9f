#include "spank-plugin/directories.h"

#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "common/fd.h"

namespace benchfs::spank {
namespace {

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr unsigned depth_max = 64;  // each level holds a descriptor

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// Opens the directory `name` in `parent`. One that its owner has made unreadable is opened anyway.
Result<Directory> open_directory(int parent, const char* name) {
  int fd = ::openat(parent, name, directory_flags);
  if (fd < 0 && errno == EACCES) {
    struct stat found {};
    if (::fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0) return Error::last();
    if (!S_ISDIR(found.st_mode)) return Error(ENOTDIR);
    if (::fchmodat(parent, name, 0700, 0) != 0) return Error::last();
    fd = ::openat(parent, name, directory_flags);
  }
  if (fd < 0) return Error::last();
  Directory directory(::fdopendir(fd));
  if (directory == nullptr) {
    const Error error = Error::last();
    ::close(fd);
    return error;
  }
  return directory;
}

// Removing a tree keeps a descriptor open per level. What lies deeper than depth_max is moved to
// the top and removed from there.
struct Removal {
  int top;
  dev_t device;
  unsigned moved = 0;
  int error = 0;  // the first failure; the rest is removed all the same
  unsigned removed = 0;

  void failed(int code) {
    if (code != ENOENT && error == 0) error = code;
  }

  void remove(int parent, const char* name, unsigned depth) {
    if (::unlinkat(parent, name, 0) == 0) {
      ++removed;
      return;
    }
    if (errno != EISDIR && errno != EPERM) return failed(errno);  // EPERM: POSIX's EISDIR
    if (depth >= depth_max) return move_up(parent, name);
    {
      auto directory = open_directory(parent, name);
      if (!directory.ok()) return failed(directory.error().code());
      clear(directory->get(), depth + 1);
    }
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0)
      ++removed;
    else if (errno != ENOTEMPTY || moved == 0)
      failed(errno);
  }

  void move_up(int parent, const char* name) {
    const std::string here = ".benchfs-deep-" + std::to_string(moved);
    if (::renameat(parent, name, top, here.c_str()) != 0) return failed(errno);
    ++moved;
  }

  void clear(DIR* directory, unsigned depth) {
    struct stat found {};
    if (::fstat(::dirfd(directory), &found) != 0) return failed(errno);
    if (found.st_dev != device) return failed(EXDEV);
    // A directory may skip entries while others are removed from it: so again until nothing is
    // left.
    for (unsigned before = ~removed; before != removed && error == 0;) {
      before = removed;
      ::rewinddir(directory);
      while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") remove(::dirfd(directory), entry->d_name, depth);
      }
    }
  }
};

std::string problem_with(const std::string& path, const std::string& why) {
  return path + ": " + why;
}

// A directory that only root can change.
bool is_of_root(const struct stat& found, uid_t root) {
  return S_ISDIR(found.st_mode) && found.st_uid == root && (found.st_mode & 022) == 0;
}

// The same, or like /tmp: others may add to it, but not replace what is root's.
bool keeps_what_is_of_root(const struct stat& found, uid_t root) {
  return S_ISDIR(found.st_mode) && (found.st_uid == root || found.st_uid == 0) &&
         ((found.st_mode & 022) == 0 || (found.st_mode & S_ISVTX) != 0);
}

}  // namespace

Status make_private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::last();
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return Error::last();
  if (!S_ISDIR(found.st_mode) || found.st_uid != ::geteuid() || (found.st_mode & 077) != 0)
    return Error(EPERM);
  return Done{};
}

std::string make_job_directory(const std::string& base, const std::string& name, uid_t uid,
                               gid_t gid, uid_t root) {
  const auto failed = [&](const std::string& path) {
    return problem_with(path, std::strerror(errno));
  };
  const std::size_t slash = base.rfind('/');
  const std::string above = base.substr(0, slash == 0 ? 1 : slash);
  struct stat found {};
  const Fd parent(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || ::fstat(parent.get(), &found) != 0) return failed(above);
  if (!keeps_what_is_of_root(found, root))
    return problem_with(
        above, "must be root's and not writable by others (or sticky): data= in plugstack.conf");

  const char* base_name = base.c_str() + slash + 1;
  if (::mkdirat(parent.get(), base_name, 0755) != 0 && errno != EEXIST) return failed(base);
  const Fd directory(::openat(parent.get(), base_name, directory_flags));
  if (!directory || ::fstat(directory.get(), &found) != 0) return failed(base);
  if (!is_of_root(found, root))
    return problem_with(base, "must be a directory of root that nobody else can write to");

  const std::string path = base + "/" + name;
  if (::mkdirat(directory.get(), name.c_str(), 0700) != 0 && errno != EEXIST) return failed(path);
  const Fd own(::openat(directory.get(), name.c_str(), directory_flags));
  if (!own || ::fstat(own.get(), &found) != 0) return failed(path);
  if (found.st_uid == uid && (found.st_mode & 07777) == 0700) return {};
  // Only what was made just now is still root's. Anything else is not given away.
  if (found.st_uid != root) return problem_with(path, "is left over from a job of another user");
  if (::fchown(own.get(), uid, gid) != 0 || ::fchmod(own.get(), 0700) != 0) return failed(path);
  return {};
}

Result<uid_t> directory_owner(const std::string& base, const std::string& name) {
  const Fd directory(::open(base.c_str(), directory_flags));
  if (!directory) return Error::last();
  struct stat found {};
  if (::fstatat(directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return Error::last();
  if (!S_ISDIR(found.st_mode)) return Error(ENOTDIR);
  return found.st_uid;
}

Status clear_directory(const std::string& path) {
  TRY(const Directory directory, open_directory(AT_FDCWD, path.c_str()));
  struct stat found {};
  const int top = ::dirfd(directory.get());
  if (::fstat(top, &found) != 0) return Error::last();
  Removal removal{.top = top, .device = found.st_dev};
  removal.clear(directory.get(), 0);
  if (removal.error != 0) return Error(removal.error);
  return Done{};
}

Status run_as_user(uid_t uid, gid_t gid, std::uint32_t timeout_s,
                   const std::function<bool()>& work) {
  const pid_t child = ::fork();
  if (child < 0) return Error::last();
  if (child == 0) {
    int code = 1;
    // No exception may pass: the frames above are a copy of Slurm's.
    try {
      const bool same = ::geteuid() == uid && ::getegid() == gid;
      if (same || (::setgroups(0, nullptr) == 0 && ::setgid(gid) == 0 && ::setuid(uid) == 0))
        code = work() ? 0 : 1;
    } catch (...) {
    }
    ::_exit(code);
  }
  const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd event{.fd = ended.get(), .events = POLLIN, .revents = 0};
  const std::int64_t deadline = sys::now_ns() + timeout_s * std::int64_t{1000000000};
  bool in_time = false;
  for (std::int64_t left = deadline - sys::now_ns(); left > 0 && !in_time;
       left = deadline - sys::now_ns()) {
    const int events = ::poll(&event, 1, static_cast<int>(left / 1000000) + 1);
    if (events < 0 && errno != EINTR) break;
    in_time = events > 0;
  }
  if (!in_time) {
    // Not awaited: it may hang in a filesystem that does not answer, and our parent reaps it.
    ::kill(child, SIGKILL);
    return Error(ETIMEDOUT);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return Error::last();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Status(Done{}) : Status(Error(EIO));
}

}  // namespace benchfs::spank
