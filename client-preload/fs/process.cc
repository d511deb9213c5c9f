// What concerns the process: its descriptors, working directory, mask and forks.
#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/open_file.h"

namespace benchfs {

std::shared_ptr<File> HostFileSystem::find(int fd) { return core_.descriptors.find(fd); }
void HostFileSystem::not_ours(int fd) { core_.descriptors.not_ours(fd); }
bool HostFileSystem::closing(int fd) { return core_.descriptors.closing(fd); }
void HostFileSystem::duplicated(int fd, int copy) { core_.descriptors.duplicated(fd, copy); }
Status HostFileSystem::sending(int fd) { return core_.descriptors.sending(fd); }
std::vector<int> HostFileSystem::our_descriptors() { return core_.descriptors.ours(); }

bool HostFileSystem::is_private(int fd) { return core_.privates.contains(fd); }
std::vector<int> HostFileSystem::private_descriptors() { return core_.privates.all(); }
void HostFileSystem::move_private(int fd) {
  if (!core_.privates.contains(fd)) return;
  core_.cache.leave(fd);
  core_.host.leave(fd);
}

Status HostFileSystem::change_directory(const std::shared_ptr<File>& directory) {
  if (!directory->is_directory()) return Error(ENOTDIR);
  const Path itself{.inode = directory->inode(), .text = {}};
  TRY_OK(access(itself, 1, true, true));            // X_OK
  auto& file = static_cast<OpenFile&>(*directory);  // there is no other kind of File
  core_.descriptors.add_use(file);
  return core_.working_directory.change(file);
}

bool HostFileSystem::working_directory_is_ours() { return core_.working_directory.is_ours(); }
void HostFileSystem::left_by_chdir() { core_.working_directory.left(); }

Result<std::string> HostFileSystem::working_directory() {
  if (!core_.working_directory.is_ours()) return Error(ENOENT);
  return path_of(core_.working_directory.inode());
}

void HostFileSystem::umask_changed(mode_t mask) { core_.creation_mask.set(mask); }

void HostFileSystem::before_fork() { core_.before_fork(); }
void HostFileSystem::after_fork_parent(pid_t child) { core_.after_fork_parent(child); }
void HostFileSystem::after_fork_child() { core_.after_fork_child(); }

Status HostFileSystem::before_exec() {
  return core_.connected() ? core_.descriptors.before_exec() : Status(Done{});
}
void HostFileSystem::exec_failed() {
  if (core_.connected()) core_.descriptors.exec_failed();
}

}  // namespace benchfs
