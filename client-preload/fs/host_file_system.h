// HostFileSystem: FileSystem against the servers of this host. Its methods are in the files named
// after what they do.
#pragma once

#include "client-preload/fs/core.h"
#include "client-preload/fs/file_system.h"

namespace benchfs {

class HostFileSystem final : public FileSystem {
 public:
  explicit HostFileSystem(const Settings& settings) : core_(settings) {}

  // locate.cc
  std::optional<Path> locate(int dirfd, const char* name) override;

  // inode_operations.cc
  Result<struct stat> stat(const Path& path, bool follow) override;
  Result<struct statx> extended_stat(const Path& path, bool follow, unsigned mask) override;
  Status access(const Path& path, int mode, bool follow, bool effective) override;
  Status change_mode(const Path& path, mode_t mode, bool follow) override;
  Status change_owner(const Path& path, uid_t uid, gid_t gid, bool follow) override;
  Status set_times(const Path& path, const struct timespec times[2], bool follow) override;
  Status truncate(const Path& path, off_t size) override;

  // xattr_operations.cc
  Result<std::size_t> get_xattr(const Path& path, std::string_view name, std::span<std::byte> out,
                                bool follow) override;
  Result<std::size_t> list_xattrs(const Path& path, std::span<std::byte> out, bool follow) override;
  Status set_xattr(const Path& path, std::string_view name, std::span<const std::byte> value,
                   int flags, bool follow) override;
  Status remove_xattr(const Path& path, std::string_view name, bool follow) override;

  // open.cc
  Result<int> open(const Path& path, int flags, mode_t mode) override;
  Status change_directory(const Path& path) override;

  // name_operations.cc
  Status make_directory(const Path& path, mode_t mode) override;
  Status remove_directory(const Path& path) override;
  Status unlink(const Path& path) override;
  Status rename(const Path& from, const Path& to, unsigned flags) override;
  Status link(const Path& from, const Path& to, bool follow) override;
  Status symlink(std::string_view target, const Path& path) override;
  Result<std::string> read_link(const Path& path) override;

  // canonical.cc
  Result<std::string> canonical(const Path& path) override;
  Result<std::string> path_of(std::uint64_t inode) override;

  // instance_operations.cc
  Result<struct statvfs> statistics() override;
  std::uint64_t requests_sent() const override;
  Result<std::vector<std::optional<wire::StatusReply>>> status() override;
  Status stop_servers() override;
  Result<std::uint32_t> ranks() override;
  Result<std::vector<std::byte>> ask_rank(std::uint32_t rank, wire::Op op,
                                          std::span<const std::byte> body) override;

  // process.cc
  Status change_directory(const std::shared_ptr<File>& directory) override;
  bool working_directory_is_ours() override;
  Result<std::string> working_directory() override;
  void left_by_chdir() override;
  std::shared_ptr<File> find(int fd) override;
  void not_ours(int fd) override;
  bool closing(int fd) override;
  void duplicated(int fd, int copy) override;
  Status sending(int fd) override;
  bool is_private(int fd) override;
  void move_private(int fd) override;
  std::vector<int> private_descriptors() override;
  std::vector<int> our_descriptors() override;
  void umask_changed(mode_t mask) override;
  void before_fork() override;
  void after_fork_parent(pid_t child) override;
  void after_fork_child() override;
  Status before_exec() override;
  void exec_failed() override;

 private:
  std::optional<Status> try_rename(const Path& from, const Path& to, unsigned flags);
  Result<wire::Attributes> attributes_of(const Path& path, bool follow);
  // What a change is answered where nothing may be changed: of what is there, of what is to be
  // made.
  Error refused_on(const Path& path, bool follow);
  Error refused_new(const Path& path);
  Result<int> flags_read_only(const Path& path, int flags);
  std::optional<Result<wire::Attributes>> openable_in_view(const Path& path, int flags);
  std::uint32_t open_in_view(DescriptorTable::Changes& changes, const wire::Attributes& shown,
                             int flags);
  std::uint32_t open_file_in_view(DescriptorTable::Changes& changes, std::uint64_t inode,
                                  int flags);
  void fill_slot(std::uint32_t slot, std::uint64_t inode, std::uint32_t mode, int flags);
  Result<std::uint32_t> ask_for_slot(const Path& path, int flags, mode_t mode);
  Result<std::uint32_t> open_directory(const Path& path);
  Result<int> new_descriptor(bool close_on_exec);
  Result<std::string> absolute(std::uint64_t directory, std::string_view name);

  Core core_;
};

}  // namespace benchfs
