// BenchFS as a library: the operations the shims serve, typed, and usable without any preload.
//
// One FileSystem per process. It connects on first use, answers from any thread, survives fork
// (after the three fork calls below) and holds its own descriptors where the application can
// never be given them. Nothing here throws; failures are errnos as Linux would give them.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client-preload/fs/file.h"
#include "common/result.h"
#include "common/wire.h"

namespace benchfs {

// A place in the mount: an inode and a path below it, not yet walked (it may hold ".", "..",
// symlinks, repeated or trailing slashes). locate() makes one from what an application passes.
struct Path {
  std::uint64_t inode = 1;  // root
  std::string text;         // relative; empty: the inode itself
};

// The walk left the mount (a symlink out of it, ".." of the root): the operation was not done and
// is libc's to do, on outside_path(). No kernel call returns this number.
inline constexpr int left_mount = 3999;
// Of the calling thread's last operation that failed with left_mount. Absolute.
const std::string& outside_path();

struct Settings {  // from the environment (environment.h) or a tool's own options
  std::string mount_point = "/benchfs";
  std::string local_dir;   // the node-local job directory; empty: BenchFS is off
  bool read_only = false;  // every change is EROFS; the servers may want it so, too
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Cheap: connects to nothing.
  static std::unique_ptr<FileSystem> make(const Settings& settings);

  // Whether `name`, taken from `dirfd` as the *at calls do, lies in the mount: resolved by
  // component (cwd, dirfd, "." and ".." outside the mount; /benchfsX is not /benchfs). Empty: not
  // ours. Never reads through a null `name`. Under 20 ns for an absolute path elsewhere.
  virtual std::optional<Path> locate(int dirfd, const char* name) = 0;

  virtual Result<struct stat> stat(const Path& path, bool follow) = 0;
  // As statx(2). The birth time may cost a request: it is there when `mask` has STATX_BTIME.
  virtual Result<struct statx> extended_stat(const Path& path, bool follow, unsigned mask) = 0;
  // For the effective user, or the real one.
  virtual Status access(const Path& path, int mode, bool follow, bool effective) = 0;
  // A new descriptor of the application's: the lowest free number, a placeholder to the kernel.
  virtual Result<int> open(const Path& path, int flags, mode_t mode) = 0;
  virtual Status make_directory(const Path& path, mode_t mode) = 0;
  virtual Status remove_directory(const Path& path) = 0;
  virtual Status unlink(const Path& path) = 0;
  virtual Status rename(const Path& from, const Path& to, unsigned flags) = 0;
  virtual Status link(const Path& from, const Path& to, bool follow) = 0;
  virtual Status symlink(std::string_view target, const Path& path) = 0;
  virtual Result<std::string> read_link(const Path& path) = 0;
  virtual Status change_mode(const Path& path, mode_t mode, bool follow) = 0;
  // uid or gid -1: leave. Takes set-user-ID and set-group-ID bits away, as Linux does.
  virtual Status change_owner(const Path& path, uid_t uid, gid_t gid, bool follow) = 0;
  // Access and modification time; null: both now. UTIME_NOW and UTIME_OMIT are understood.
  virtual Status set_times(const Path& path, const struct timespec times[2], bool follow) = 0;
  virtual Status truncate(const Path& path, off_t size) = 0;
  // Extended attributes, user.* alone: EOPNOTSUPP (trusted.* without privilege: EPERM, ENODATA)
  // for other names. The length of the value or list; `out` empty: nothing but that. ERANGE: it is
  // longer than `out`. `flags`: XATTR_CREATE, XATTR_REPLACE.
  virtual Result<std::size_t> get_xattr(const Path& path, std::string_view name,
                                        std::span<std::byte> out, bool follow) = 0;
  virtual Result<std::size_t> list_xattrs(const Path& path, std::span<std::byte> out,
                                          bool follow) = 0;
  virtual Status set_xattr(const Path& path, std::string_view name,
                           std::span<const std::byte> value, int flags, bool follow) = 0;
  virtual Status remove_xattr(const Path& path, std::string_view name, bool follow) = 0;
  virtual Result<struct statvfs> statistics() = 0;
  // Absolute, symlinks resolved, below the mount point; what realpath(3) answers. left_mount when
  // it leads out.
  virtual Result<std::string> canonical(const Path& path) = 0;
  // The current absolute path of a directory's inode.
  virtual Result<std::string> path_of(std::uint64_t inode) = 0;

  // The working directory. The kernel's becomes a placeholder while ours is in the mount, so that
  // what bypasses us fails instead of landing elsewhere.
  virtual Status change_directory(const Path& path) = 0;
  virtual Status change_directory(const std::shared_ptr<File>& directory) = 0;
  virtual bool working_directory_is_ours() = 0;  // asks the kernel when it may have changed
  virtual Result<std::string> working_directory() = 0;
  virtual void left_by_chdir() = 0;  // the application's chdir to elsewhere succeeded

  // Descriptors. find() knows inherited and received ones too (fstat, then the position); null:
  // not ours. The answer for numbers seen before costs a table look-up.
  virtual std::shared_ptr<File> find(int fd) = 0;
  // The kernel gave this number to something that is not ours (a passed-on open, socket, pipe).
  virtual void not_ours(int fd) = 0;
  // Before the kernel closes or replaces `fd`: true if it was ours (then it is no longer).
  virtual bool closing(int fd) = 0;
  // After dup, dup2, dup3, F_DUPFD made `copy` of `fd`.
  virtual void duplicated(int fd, int copy) = 0;
  // Before `fd` is passed to another process. EMFILE: it cannot be.
  virtual Status sending(int fd) = 0;
  // One of the library's own descriptors, which the application must not touch (close: EBADF;
  // close_range and closefrom go around it; dup2 onto it: move_private first).
  virtual bool is_private(int fd) = 0;
  virtual void move_private(int fd) = 0;
  virtual std::vector<int> private_descriptors() = 0;  // ascending
  virtual std::vector<int> our_descriptors() = 0;      // the application's, known to be ours

  // The application set its file mode creation mask; until then the process's own is read once.
  virtual void umask_changed(mode_t mask) = 0;

  // Around fork. before_fork adds a reference to each inherited slot; exactly one of the others
  // follows in each process (child < 0: fork failed).
  virtual void before_fork() = 0;
  virtual void after_fork_parent(pid_t child) = 0;
  virtual void after_fork_child() = 0;

  // Around exec: what is kept gets ready to be found again (EMFILE: it cannot be), what is
  // close-on-exec is closed by the kernel, unseen: if others share such an open file, and with it a
  // lock, their last close must be the last one. exec_failed() also after a failure of the first.
  virtual Status before_exec() = 0;
  virtual void exec_failed() = 0;

  // Numbers for tests and `benchfs status`: requests this process sent.
  virtual std::uint64_t requests_sent() const = 0;

  // Tools. Counters of each rank (nullopt: it does not answer), and the order to end the instance.
  virtual Result<std::vector<std::optional<wire::StatusReply>>> status() = 0;
  virtual Status stop_servers() = 0;
  // Ranks of the instance, and the body of one's answer to a request with this body.
  virtual Result<std::uint32_t> ranks() = 0;
  virtual Result<std::vector<std::byte>> ask_rank(std::uint32_t rank, wire::Op op,
                                                  std::span<const std::byte> body) = 0;
};

}  // namespace benchfs
