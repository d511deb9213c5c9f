#include "client-preload/fs/open_file.h"

#include "client-preload/fs/attributes.h"
#include "client-preload/fs/core.h"
#include "client-preload/fs/open_flags.h"
#include "client-preload/fs/set_attributes.h"
#include "client-preload/fs/view_walk.h"
#include "common/placement.h"

namespace benchfs {

void OpenFile::become(std::uint32_t slot, std::uint64_t position) {
  slot_ = slot;
  position_ = position;
  const OpenSlot& source = core_.host.table().slots[slot];
  entry_ = source.entry.load();
  chunks_.inode = source.inode.load(std::memory_order_acquire);
  chunks_.first_rank = stripe_rank(chunks_.inode, 0, core_.host.ranks());
  chunks_touched_.store(0);
  listing_end_.store(0);
  uses_ = 0;
}

OpenSlot& OpenFile::slot() const { return core_.host.table().slots[slot_]; }
SizeEntry& OpenFile::entry() const { return core_.host.table().entries[entry_]; }
std::uint32_t OpenFile::status_flags() const {
  return slot().flags.load(std::memory_order_relaxed);
}

Status OpenFile::may_read() const {
  const std::uint32_t now = status_flags();
  if ((now & O_PATH) != 0 || (now & O_ACCMODE) == O_WRONLY) return Error(EBADF);
  if (is_directory()) return Error(EISDIR);
  return Done{};
}

Status OpenFile::may_write() const {
  const std::uint32_t now = status_flags();
  if ((now & O_PATH) != 0 || (now & O_ACCMODE) == O_RDONLY) return Error(EBADF);
  return Done{};
}

int OpenFile::flags() const { return static_cast<int>(status_flags()); }

Status OpenFile::set_flags(int flags) {
  std::atomic<std::uint32_t>& word = slot().flags;
  std::uint32_t seen = word.load();
  if ((seen & O_PATH) != 0) return Error(EBADF);
  const auto settable = static_cast<std::uint32_t>(settable_flags);
  while (!word.compare_exchange_weak(
      seen, (seen & ~settable) | (static_cast<std::uint32_t>(flags) & settable))) {
  }
  return Done{};
}

Result<struct stat> OpenFile::stat() {
  TRY_OK(core_.ready());
  if (const auto shown = view_attributes(core_, inode()))
    return to_stat(*shown, device_of(core_.host.instance()));
  const wire::Stat message{.where = {.inode = inode(), .path_bytes = 0, .flags = 0}};
  TRY(auto attributes, core_.ask(home_rank(inode()), message));
  add_access_here(core_, attributes);
  return to_stat(attributes, device_of(core_.host.instance()));
}

Status OpenFile::truncate(off_t size) {
  if (size < 0) return Error(EINVAL);
  const std::uint32_t now = status_flags();
  if ((now & O_PATH) != 0) return Error(EBADF);
  if (is_directory() || (now & O_ACCMODE) == O_RDONLY) return Error(EINVAL);
  TRY_OK(core_.ready());
  const wire::Truncate message{
      .where = {.inode = inode(), .path_bytes = 0, .flags = wire::WhereFlag::opened},
      .size = static_cast<std::uint64_t>(size)};
  TRY([[maybe_unused]] const auto done, core_.ask(home_rank(inode()), message));
  return Done{};
}

Status OpenFile::sync_chunks() {
  TRY(const std::uint64_t size, size_for(UINT64_MAX));
  const std::uint32_t generation = entry().generation.load(std::memory_order_acquire);
  touched_chunks(size);
  return core_.io.sync(chunks_, stamp(generation), size);
}

Status OpenFile::sync(bool) {
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  TRY_OK(core_.ready());
  const auto has_chunks = [this] { return !is_directory() && entry().stored.load() == in_chunks; };
  const bool had_chunks = has_chunks();
  if (had_chunks) {
    TRY_OK(sync_chunks());
  }
  const wire::SyncInode message{.inode = inode()};
  TRY([[maybe_unused]] const auto done, core_.ask(home_rank(inode()), message));
  return !had_chunks && has_chunks() ? sync_chunks() : Status(Done{});  // it grew meanwhile
}

Status OpenFile::change_mode(mode_t mode) {
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  return set_attributes(core_, inode(), mode_request(mode));
}

Status OpenFile::change_owner(uid_t uid, gid_t gid) {
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  return set_attributes(core_, inode(), owner_request(uid, gid));
}

Status OpenFile::set_times(const struct timespec times[2]) {
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  TRY(const auto request, times_request(times));
  return set_attributes(core_, inode(), request);
}

}  // namespace benchfs
