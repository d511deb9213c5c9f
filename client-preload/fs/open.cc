// Opening: a slot of the host's table, the servers' consent, a descriptor.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client-preload/fs/host_file_system.h"
#include "client-preload/fs/open_file.h"
#include "client-preload/fs/open_flags.h"
#include "client-preload/fs/path_walk.h"
#include "client-preload/fs/view_walk.h"

namespace benchfs {
namespace {

Error error_of(long result) { return Error(static_cast<int>(-result)); }

// What the kernel makes of the flags before it looks at the name.
Result<int> understood(int flags) {
  constexpr int by_path = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if ((flags & O_PATH) != 0) return flags & by_path;
  if ((flags & O_CREAT) != 0 && (flags & O_DIRECTORY) != 0) return Error(EINVAL);
  if ((flags & tmpfile_bit) != 0 && ((flags & O_DIRECTORY) == 0 || (flags & O_ACCMODE) == O_RDONLY))
    return Error(EINVAL);
  return flags;
}

bool makes_inode(int flags) { return (flags & (O_CREAT | tmpfile_bit)) != 0; }

bool follows(int flags) {
  const bool exclusive = (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0;
  return (flags & O_NOFOLLOW) == 0 && !exclusive;
}

std::uint32_t kept_flags(int flags) {
  const int kept = (flags & ~opening_flags) | ((flags & O_PATH) != 0 ? 0 : kernel_largefile);
  return static_cast<std::uint32_t>(kept);
}

}  // namespace

void HostFileSystem::fill_slot(std::uint32_t index, std::uint64_t inode, std::uint32_t mode,
                               int flags) {
  OpenSlot& slot = core_.host.table().slots[index];
  slot.flags.store(kept_flags(flags));
  slot.type = mode & S_IFMT;
  slot.inode.store(inode, std::memory_order_release);
}

// What can be opened without a request: a directory, of which no server keeps count, or a file for
// reading; or why there is nothing to open. None: a server is to be asked.
std::optional<Result<wire::Attributes>> HostFileSystem::openable_in_view(const Path& path,
                                                                         int flags) {
  if (makes_inode(flags) || (flags & O_TRUNC) != 0) return {};
  auto found = view_attributes(core_, path, follows(flags));
  if (!found.has_value() || !found->ok()) return found;
  const std::uint32_t mode = (*found)->mode;
  const bool is_file = S_ISREG(mode) && (flags & O_DIRECTORY) == 0;
  if (!S_ISDIR(mode) && !is_file) return {};
  const bool reads = (flags & O_PATH) == 0;
  if (reads && (flags & O_ACCMODE) != O_RDONLY) return {};
  if (reads && core_.host.uid() != 0 && (mode & S_IRUSR) == 0) return {};
  return found;
}

// A slot of it that is filled; 0: a server is to be asked.
std::uint32_t HostFileSystem::open_in_view(DescriptorTable::Changes& changes,
                                           const wire::Attributes& shown, int flags) {
  if (S_ISREG(shown.mode)) return open_file_in_view(changes, shown.inode, flags);
  const std::uint32_t index = changes.take_slot();
  if (index == 0) return 0;
  core_.host.table().slots[index].entry.store(0);
  fill_slot(index, shown.inode, shown.mode, flags);
  return index;
}

std::uint32_t HostFileSystem::open_file_in_view(DescriptorTable::Changes& changes,
                                                std::uint64_t inode, int flags) {
  const auto shown = shown_inode(core_, inode);
  if (!shown.has_value()) return 0;
  const ShownFile file{.inode = inode,
                       .size = shown->size(),
                       .accessed = kept_access(shown->accessed, shown->modified, shown->changed),
                       .stored = shown->stored(),
                       .foreign = core_.host.local(home_rank(inode)) == nullptr};
  const std::uint32_t index = changes.take_slot(&file);
  if (index == 0) return 0;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see count_unasked() of the servers
  const auto still = shown_inode(core_, inode);
  const bool entered = core_.host.table().slots[index].entry.load() != 0;
  if (entered && still.has_value() && still->extent == shown->extent) {
    fill_slot(index, inode, shown->mode, flags);
    return index;
  }
  changes.give_up_slot(index);
  return 0;
}

// A slot that the host's server fills, held by this process.
Result<std::uint32_t> HostFileSystem::ask_for_slot(const Path& path, int flags, mode_t mode) {
  const std::uint32_t slot = DescriptorTable::Changes(core_.descriptors).take_slot();
  if (slot == 0) return Error(ENFILE);
  core_.host.table().slots[slot].flags.store(kept_flags(flags));
  wire::Open message{};
  message.flags = static_cast<std::uint32_t>(flags);
  message.mode = mode & 07777;
  if (makes_inode(flags)) message.mode &= ~static_cast<std::uint32_t>(core_.creation_mask.get());
  message.gid = static_cast<std::uint32_t>(sys::call(SYS_getegid));
  message.slot = slot;
  std::uint32_t where = wire_follow(follows(flags));
  if ((flags & O_DIRECTORY) != 0) where |= wire::WhereFlag::directory;
  PathWalk walk(core_, path);
  const auto reply = walk.run(message, where);
  if (reply.ok()) return slot;
  DescriptorTable::Changes(core_.descriptors).give_up_slot(slot);
  return reply.error();
}

Result<int> HostFileSystem::new_descriptor(bool close_on_exec) {
  const int command = close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD;
  int fd = sys::fcntl(core_.host.common_opening.get_lately(), command, 0);
  if (fd == -EBADF) {
    core_.host.common_opening.close();
    TRY_OK(core_.host.open_common());
    fd = sys::fcntl(core_.host.common_opening.get(), command, 0);
  }
  if (fd == -EMFILE && core_.privates.reachable()) {  // the numbers short may be our own
    core_.cache.drop_all();
    fd = sys::fcntl(core_.host.common_opening.get(), command, 0);
  }
  if (fd < 0) return error_of(fd);
  return fd;
}

// Of an opening where nothing may be changed; EROFS if it would.
Result<int> HostFileSystem::flags_read_only(const Path& path, int flags) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  if ((flags & O_PATH) != 0 || (!writes && !makes_inode(flags))) return flags;
  const auto there = attributes_of(path, follows(flags));
  if (!there.ok())
    return there.error() == Error(ENOENT) && makes_inode(flags) ? Error(EROFS) : there.error();
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return Error(EEXIST);
  if ((flags & tmpfile_bit) != 0) return Error(EROFS);
  if (S_ISDIR(there->mode)) return Error(EISDIR);
  if (writes) return Error(EROFS);
  return flags & ~O_CREAT;
}

Result<int> HostFileSystem::open(const Path& path, int given, mode_t mode) {
  TRY(int flags, understood(given));
  TRY_OK(core_.ready());
  if (core_.read_only()) {
    TRY(flags, flags_read_only(path, flags));
  }
  const bool creates = makes_inode(flags);
  // Running out of numbers must not leave a new file behind; where nothing is made, a name that is
  // not there (the many tries along a search path) should cost no descriptor.
  const bool close_on_exec = (flags & O_CLOEXEC) != 0;
  const auto shown = openable_in_view(path, flags);
  if (shown.has_value() && !shown->ok()) return shown->error();
  Fd descriptor;
  if (creates || shown.has_value()) {
    TRY(const int fd, new_descriptor(close_on_exec));
    descriptor.reset(fd);
  }
  if (shown.has_value()) {
    DescriptorTable::Changes changes(core_.descriptors);
    if (const std::uint32_t slot = open_in_view(changes, **shown, flags); slot != 0) {
      changes.opened(descriptor.get(), slot);
      return descriptor.release();
    }
  }
  TRY(const std::uint32_t slot, ask_for_slot(path, flags, mode));
  if (!descriptor) {
    const auto fd = new_descriptor(close_on_exec);
    if (!fd.ok()) {
      DescriptorTable::Changes(core_.descriptors).give_up_slot(slot);
      return fd.error();
    }
    descriptor.reset(*fd);
  }
  DescriptorTable::Changes(core_.descriptors).opened(descriptor.get(), slot);
  return descriptor.release();
}

// A slot for a use that is no descriptor.
Result<std::uint32_t> HostFileSystem::open_directory(const Path& path) {
  constexpr int flags = O_PATH | O_DIRECTORY;
  if (const auto shown = openable_in_view(path, flags)) {
    TRY(const wire::Attributes directory, *shown);
    DescriptorTable::Changes changes(core_.descriptors);
    if (const std::uint32_t slot = open_in_view(changes, directory, flags); slot != 0) return slot;
  }
  return ask_for_slot(path, flags, 0);
}

Status HostFileSystem::change_directory(const Path& path) {
  TRY_OK(core_.ready());
  TRY(const std::uint32_t slot, open_directory(path));
  OpenFile* const file = core_.descriptors.use_slot(slot);
  if (file == nullptr) return Error(EIO);
  const Path itself{.inode = file->inode(), .text = {}};
  if (const Status allowed = access(itself, X_OK, true, true); !allowed.ok()) {
    core_.descriptors.end_use(*file);
    return allowed;
  }
  return core_.working_directory.change(*file);
}

}  // namespace benchfs
