// Opening: a slot of the host's table, the servers' consent, a placeholder descriptor.
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

// A slot for what can be opened without a request: a directory, of which no server keeps count, or
// a file for reading; or that there is nothing to open. None: a server is to be asked.
std::optional<Result<std::uint32_t>> HostFileSystem::open_in_view(const Path& path, int flags) {
  if (makes_inode(flags) || (flags & O_TRUNC) != 0) return {};
  const auto found = view_attributes(core_, path, follows(flags));
  if (!found.has_value()) return {};
  if (!found->ok()) return found->error();
  const wire::Attributes& attributes = **found;
  const bool is_file = S_ISREG(attributes.mode) && (flags & O_DIRECTORY) == 0;
  if (!S_ISDIR(attributes.mode) && !is_file) return {};
  const bool reads = (flags & O_PATH) == 0;
  if (reads && (flags & O_ACCMODE) != O_RDONLY) return {};
  if (reads && core_.host.uid() != 0 && (attributes.mode & S_IRUSR) == 0) return {};
  if (is_file) return open_file_in_view(attributes.inode, flags);
  const auto index = core_.descriptors.take_slot();
  if (!index.ok()) return index.error();
  core_.host.table().slots[*index].entry.store(0);
  fill_slot(*index, attributes.inode, attributes.mode, flags);
  return *index;
}

std::optional<Result<std::uint32_t>> HostFileSystem::open_file_in_view(std::uint64_t inode,
                                                                       int flags) {
  const auto shown = shown_inode(core_, inode);
  if (!shown.has_value()) return {};
  const ShownFile file{.inode = inode,
                       .size = shown->size(),
                       .accessed = kept_access(shown->accessed, shown->modified, shown->changed),
                       .stored = shown->stored(),
                       .foreign = core_.host.local(home_rank(inode)) == nullptr};
  const auto index = core_.descriptors.take_slot(&file);
  if (!index.ok()) return index.error();
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see count_unasked() of the servers
  const auto still = shown_inode(core_, inode);
  const bool entered = core_.host.table().slots[*index].entry.load() != 0;
  if (entered && still.has_value() && still->extent == shown->extent) {
    fill_slot(*index, inode, shown->mode, flags);
    return *index;
  }
  core_.descriptors.give_up_slot(*index);
  return {};
}

// A slot that is filled, here or by the host's server, held by this process.
Result<std::uint32_t> HostFileSystem::open_slot(const Path& path, int flags, mode_t mode) {
  if (auto shown = open_in_view(path, flags)) return *shown;
  TRY(const std::uint32_t slot, core_.descriptors.take_slot());
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
  core_.descriptors.give_up_slot(slot);
  return reply.error();
}

Result<int> HostFileSystem::new_placeholder(bool close_on_exec) {
  const int flags = O_RDONLY | O_DIRECTORY | (close_on_exec ? O_CLOEXEC : 0);
  int fd = sys::openat(core_.host.placeholder.get_lately(), ".", flags);
  if (fd == -EBADF || fd == -ENOTDIR) fd = sys::openat(core_.host.placeholder.get(), ".", flags);
  if (fd == -EMFILE && core_.privates.reachable()) {  // the numbers short may be our own
    core_.cache.drop_all();
    fd = sys::openat(core_.host.placeholder.get(), ".", flags);
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
  Fd placeholder;
  if (creates) {
    TRY(const int fd, new_placeholder(close_on_exec));
    placeholder.reset(fd);
  }
  TRY(const std::uint32_t slot, open_slot(path, flags, mode));
  if (!creates) {
    const auto fd = new_placeholder(close_on_exec);
    if (!fd.ok()) {
      core_.descriptors.give_up_slot(slot);
      return fd.error();
    }
    placeholder.reset(*fd);
  }
  const auto position = static_cast<off_t>(core_.host.table().position(slot));
  if (sys::lseek(placeholder.get(), position, SEEK_SET) != position) {
    core_.descriptors.give_up_slot(slot);
    return Error(EIO);
  }
  core_.descriptors.opened(placeholder.get(), slot);
  return placeholder.release();
}

Status HostFileSystem::change_directory(const Path& path) {
  TRY_OK(core_.ready());
  TRY(const std::uint32_t slot, open_slot(path, O_PATH | O_DIRECTORY, 0));
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
