#include "client-preload/fs/descriptor_table.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "client-preload/fs/core.h"
#include "client-preload/fs/open_file.h"

namespace benchfs {
namespace {

// Whether a file position could be a slot's, before any server was asked.
bool looks_like_slot(off_t position) { return position >> 42 == 1; }

// The numbers in /proc/self/fd.
std::vector<int> open_numbers() {
  std::vector<int> numbers;
  const Fd directory(sys::openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return numbers;
  alignas(8) char page[4096];
  for (;;) {
    const long n = sys::call(SYS_getdents64, directory.get(), sys::pointer(page), sizeof page);
    if (n <= 0) return numbers;
    for (long at = 0; at < n;) {
      unsigned short length = 0;  // linux_dirent64: inode, offset, length, type, name
      std::memcpy(&length, page + at + 16, sizeof length);
      const char* const name = page + at + 19;
      int number = -1;
      std::from_chars(name, name + std::strlen(name), number);
      if (number >= 0 && number != directory.get()) numbers.push_back(number);
      at += length;
    }
  }
}

}  // namespace

DescriptorTable::DescriptorTable(Core& core)
    : core_(core), cells_(numbers_max), slots_(open_slots) {}

DescriptorTable::~DescriptorTable() {
  for (OpenFile* const file : all_) {
    const auto last = std::move(file->self_);
  }
}

std::shared_ptr<OpenFile> DescriptorTable::find(int fd) {
  if (fd < 0) return nullptr;
  if (!cached(fd)) return identify(fd);
  Cell& cell = cells_[static_cast<std::size_t>(fd)];
  OpenFile* const seen = cell.file.load(std::memory_order_acquire);
  if (seen == foreign()) return nullptr;
  if (seen != nullptr) {
    std::shared_ptr<OpenFile> file = seen->self_;
    if (cell.file.load(std::memory_order_acquire) == seen) {
      if (cell.seen.just_checked()) [[likely]]
        return file;
      const auto position = static_cast<off_t>(position_of(cell, *seen));
      if (sys::lseek(fd, 0, SEEK_CUR) == position) [[likely]] {
        cell.seen.note();
        return file;
      }
    }
  }
  return identify(fd);
}

std::uint64_t DescriptorTable::position_of(const Cell& cell, const OpenFile& file) {
  return cell.settled.load(std::memory_order_relaxed) ? file.position_
                                                      : HostTable::common_position;
}

// What a copy of the common opening stands for; null: it was made behind our back.
OpenFile* DescriptorTable::common_file(int fd) {
  if (!cached(fd)) return nullptr;
  const Cell& cell = cells_[static_cast<std::size_t>(fd)];
  OpenFile* const file = cell.file.load();
  return file != foreign() && !cell.settled.load() ? file : nullptr;
}

std::shared_ptr<OpenFile> DescriptorTable::identify(int fd) {
  if (core_.off() || core_.privates.contains(fd)) return nullptr;
  off_t position = sys::lseek(fd, 0, SEEK_CUR);
  if (position == -EBADF) {
    closing(fd);  // closed behind our back, if it was ours
    return nullptr;
  }
  constexpr auto common = static_cast<off_t>(HostTable::common_position);
  if (position != common && core_.connected() && common_file(fd) != nullptr) {
    sys::lseek(core_.host.common_opening.get(), common, SEEK_SET);  // moved behind our back?
    position = sys::lseek(fd, 0, SEEK_CUR);
  }
  struct stat status {};
  if (!looks_like_slot(position) || sys::call(SYS_fstat, fd, sys::pointer(&status)) < 0 ||
      !S_ISDIR(status.st_mode) || status.st_nlink != 0) {
    not_ours(fd);
    return nullptr;
  }
  if (!core_.ready().ok() || !core_.host.is_placeholder(status.st_dev, status.st_ino))
    return nullptr;
  const bool is_known = core_.host.known_record() != nullptr;
  Changes changes(*this);
  changes.rings_for_releases_ = sweep();
  position = sys::lseek(fd, 0, SEEK_CUR);  // another thread may have settled it meanwhile
  OpenFile* file = position == common ? common_file(fd) : nullptr;
  if (file == nullptr) {
    const std::uint32_t slot = core_.host.table().slot_at(static_cast<std::uint64_t>(position));
    if (slot != 0) file = file_of_slot(slot);
    changes.rings_for_releases_ |= set_cell(fd, file, true);
  }
  changes.rings_leader_ = !is_known;
  return file != nullptr ? file->self_ : nullptr;
}

// The file of a live slot, which this process holds from now on.
OpenFile* DescriptorTable::file_of_slot(std::uint32_t slot) {
  HostTable& table = core_.host.table();
  if (OpenFile* const known = slots_[slot].load()) return known;
  ProcessRecord* const record = core_.host.record();
  const std::uint64_t position = table.position(slot);
  if (record == nullptr) return nullptr;
  if (!table.holds(*record, slot)) {
    if (!table.hold(*record, slot)) return nullptr;
    if (table.slot_at(position) != slot) {  // closed and given out again meanwhile
      if (table.drop_slot(core_.host.self(), *record, slot) != 0) table.release_help.store(1);
      return nullptr;
    }
  }
  OpenFile* file = nullptr;
  if (!free_.empty()) {
    file = free_.back();
    free_.pop_back();
  } else {
    auto made = std::make_shared<OpenFile>(core_);
    file = made.get();
    file->self_ = std::move(made);
    all_.push_back(file);
    // So that giving a file back allocates nothing.
    free_.reserve(all_.size());
    closing_.reserve(all_.size());
  }
  file->become(slot, position);
  slots_[slot].store(file);
  return file;
}

bool DescriptorTable::set_cell(int fd, OpenFile* file, bool settled) {
  if (file != nullptr && file != foreign()) ++file->uses_;
  if (!cached(fd)) {  // counted by nobody: the file stays until the process ends
    return false;
  }
  Cell& cell = cells_[static_cast<std::size_t>(fd)];
  cell.seen.forget();
  cell.settled.store(settled, std::memory_order_relaxed);
  OpenFile* const old = cell.file.exchange(file, std::memory_order_acq_rel);
  if (fd > highest_.load(std::memory_order_relaxed)) highest_.store(fd);
  return old != nullptr && old != foreign() && end_use_locked(*old);
}

bool DescriptorTable::end_use_locked(OpenFile& file) {
  if (--file.uses_ > 0) return false;
  slots_[file.slot_].store(nullptr);
  if (file.self_.use_count() == 1) return retire(file);
  closing_.push_back(&file);  // a transfer of another thread goes on: the next change looks again
  return false;
}

bool DescriptorTable::retire(OpenFile& file) {
  if (const std::uint64_t chunks = file.chunks_touched_.exchange(0))
    core_.cache.drop(file.chunks_.inode, chunks);
  ProcessRecord* const record = core_.host.known_record();
  HostTable& table = core_.host.table();
  bool rings = record != nullptr && table.drop_slot(core_.host.self(), *record, file.slot_) != 0;
  free_.push_back(&file);
  if (table.locks.any(file.inode()) && table.slot_at(file.position_) == 0) {
    table.locks.orphans.fetch_add(1);  // in case two closed it at once, or a lock came late
    table.release_help.store(1);
    rings = true;
  }
  return rings;
}

bool DescriptorTable::sweep() {
  bool rings = false;
  for (std::size_t i = 0; i < closing_.size();) {
    OpenFile* const file = closing_[i];
    if (file->self_.use_count() > 1) {
      ++i;
      continue;
    }
    closing_[i] = closing_.back();
    closing_.pop_back();
    if (slots_[file->slot_].load() != nullptr) {  // found again by another descriptor meanwhile
      free_.push_back(file);
    } else {
      rings |= retire(*file);
    }
  }
  return rings;
}

DescriptorTable::Changes::Changes(DescriptorTable& table) : table_(table) { table_.lock_.lock(); }

DescriptorTable::Changes::~Changes() {
  table_.lock_.unlock();
  if (rings_for_releases_) table_.core_.host.ring_for_releases();
  if (rings_leader_) table_.core_.host.ring_leader();
}

std::uint32_t DescriptorTable::Changes::take_slot(const ShownFile* unasked) {
  Host& host = table_.core_.host;
  rings_leader_ |= host.known_record() == nullptr;
  ProcessRecord* const record = host.record();
  if (record == nullptr) return 0;
  const std::uint32_t slot = host.table().take_slot(host.self(), *record);
  if (slot != 0 && unasked != nullptr)
    host.table().open_unasked(host.self(), *unasked, host.table().slots[slot]);
  return slot;
}

void DescriptorTable::Changes::give_up_slot(std::uint32_t slot) {
  Host& host = table_.core_.host;
  ProcessRecord* const record = host.known_record();
  rings_for_releases_ |=
      record != nullptr && host.table().drop_slot(host.self(), *record, slot) != 0;
}

void DescriptorTable::Changes::opened(int fd, std::uint32_t slot) {
  rings_for_releases_ |= table_.sweep();
  OpenFile* const file = table_.file_of_slot(slot);
  // Of a number beyond the cells the kernel alone knows what it is.
  const bool settled = file != nullptr && !table_.cached(fd) &&
                       table_.settle(fd, table_.core_.host.table().position(slot)).ok();
  rings_for_releases_ |= table_.set_cell(fd, file, settled);
  if (table_.cached(fd)) table_.cells_[static_cast<std::size_t>(fd)].seen.note();
}

void DescriptorTable::not_ours(int fd) {
  if (fd < 0 || !cached(fd)) return;
  auto& cell = cells_[static_cast<std::size_t>(fd)].file;
  OpenFile* seen = cell.load(std::memory_order_acquire);
  if (seen == foreign()) return;
  if (seen == nullptr && cell.compare_exchange_strong(seen, foreign())) return;
  Changes changes(*this);
  changes.rings_for_releases_ = set_cell(fd, foreign());
}

bool DescriptorTable::closing(int fd) {
  if (fd < 0 || !cached(fd)) return false;
  auto& cell = cells_[static_cast<std::size_t>(fd)].file;
  OpenFile* seen = cell.load(std::memory_order_acquire);
  if (seen == nullptr) {
    if (core_.off() || !looks_like_slot(sys::lseek(fd, 0, SEEK_CUR))) return false;
    if (identify(fd) == nullptr) return false;
    seen = cell.load(std::memory_order_acquire);
  }
  if (seen == foreign() && cell.compare_exchange_strong(seen, nullptr)) return false;
  if (seen != nullptr && seen != foreign()) give_up_locks(*seen);
  Changes changes(*this);
  changes.rings_for_releases_ = sweep();
  changes.rings_for_releases_ |= set_cell(fd, nullptr);
  return true;
}

void DescriptorTable::give_up_locks(const OpenFile& file) {
  if (!core_.host.table().locks.any(file.inode())) [[likely]]
    return;
  const std::shared_ptr<OpenFile> kept = file.self_;
  bool last = false;
  {
    const Guard guard(lock_);
    last = kept->uses_ == 1;
  }
  kept->give_up_locks(last);
}

void DescriptorTable::duplicated(int fd, int copy) {
  const auto file = find(fd);
  if (file == nullptr) return not_ours(copy);
  Changes changes(*this);
  const bool is_common = common_file(fd) != nullptr;
  const bool settled = !is_common || (!cached(copy) && settle(copy, file->position_).ok());
  changes.rings_for_releases_ = set_cell(copy, file.get(), settled);
}

// An opening of its own takes the place of the common one. Locked.
Status DescriptorTable::settle(int fd, std::uint64_t position) {
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const int descriptor_flags = sys::fcntl(fd, F_GETFD);
  if (descriptor_flags < 0) return Error(-descriptor_flags);
  int opening = sys::openat(core_.host.placeholder.get(), ".", flags);
  if (opening == -EMFILE) {  // every number is in use, so it is given this one
    sys::close(fd);
    opening = sys::openat(core_.host.placeholder.get(), ".", flags);
    if (opening >= 0 && opening != fd) {  // another thread was given it
      sys::close(opening);
      return Error(EMFILE);
    }
  }
  if (opening < 0) return Error(-opening);
  sys::lseek(opening, static_cast<off_t>(position), SEEK_SET);
  if (cached(fd)) cells_[static_cast<std::size_t>(fd)].settled.store(true);
  if (opening == fd) {
    sys::fcntl(fd, F_SETFD, descriptor_flags);
    return Done{};
  }
  const int close_on_exec = (descriptor_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0;
  const long moved = sys::call(SYS_dup3, opening, fd, close_on_exec);
  sys::close(opening);
  if (moved < 0) return Error(static_cast<int>(-moved));
  return Done{};
}

Status DescriptorTable::sending(int fd) {
  const auto file = find(fd);
  if (file == nullptr) return Done{};
  const Guard guard(lock_);
  if (common_file(fd) != file.get()) return Done{};
  return settle(fd, file->position_);
}

std::vector<int> DescriptorTable::ours() {
  std::vector<int> numbers;
  for (int fd = 0; fd <= highest_.load(); ++fd) {
    const OpenFile* const file = cells_[static_cast<std::size_t>(fd)].file.load();
    if (file != nullptr && file != foreign()) numbers.push_back(fd);
  }
  return numbers;
}

HostSize DescriptorTable::host_size(std::uint64_t inode) {
  const Guard guard(lock_);
  return core_.host.table().host_size(core_.host.self(), inode, 0);
}

OpenFile* DescriptorTable::use_slot(std::uint32_t slot) {
  const Guard guard(lock_);
  OpenFile* const file = file_of_slot(slot);
  if (file != nullptr) ++file->uses_;
  return file;
}

void DescriptorTable::add_use(OpenFile& file) {
  const Guard guard(lock_);
  ++file.uses_;
}

void DescriptorTable::end_use(OpenFile& file) {
  Changes changes(*this);
  changes.rings_for_releases_ = end_use_locked(file);
}

// Runs once, before anybody else can use the table; what is rung for is found by the leader as
// well.
void DescriptorTable::adopt_inherited() {
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr || record->held.load() == 0) return;
  HostTable& table = core_.host.table();
  const Guard guard(lock_);
  for (const int fd : open_numbers()) {
    const off_t position = sys::lseek(fd, 0, SEEK_CUR);
    struct stat status {};
    if (!looks_like_slot(position) || sys::call(SYS_fstat, fd, sys::pointer(&status)) < 0 ||
        !core_.host.is_placeholder(status.st_dev, status.st_ino))
      continue;
    const std::uint32_t slot = table.slot_at(static_cast<std::uint64_t>(position));
    if (slot != 0) set_cell(fd, file_of_slot(slot), true);
  }
  // The rest was close-on-exec.
  for (std::uint32_t slot = 1; slot < open_slots && record->held.load() != 0; ++slot) {
    if (record->slots[slot / 64].load(std::memory_order_relaxed) == 0) {
      slot |= 63;
      continue;
    }
    if (table.holds(*record, slot) && slots_[slot].load() == nullptr &&
        record->working_slot.load() != slot) {
      const std::uint64_t inode = table.slots[slot].inode.load();
      if (table.drop_slot(core_.host.self(), *record, slot) != 0) table.release_help.store(1);
      if (table.locks.any(inode)) table.locks.orphans.fetch_add(1);
    }
  }
}

void DescriptorTable::forked() {
  // Transfers of the parent's other threads do not go on here; what they were using is not reused.
  closing_.clear();
}

void DescriptorTable::hold_all() {
  ProcessRecord* const record = core_.host.record();
  if (record == nullptr) return;
  for (OpenFile* const file : all_)
    if (slots_[file->slot_].load() == file) core_.host.table().hold(*record, file->slot_);
}

Status DescriptorTable::before_exec() {
  HostTable& table = core_.host.table();
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr) return Done{};
  const Guard guard(lock_);
  for (int fd = 0; fd <= highest_.load(); ++fd) {
    const OpenFile* const file = common_file(fd);
    if (file == nullptr) continue;
    const int flags = sys::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) continue;
    TRY_OK(settle(fd, file->position_));
  }
  if (table.locks.used.load() == 0) return Done{};
  std::vector<std::uint32_t> kept;
  std::vector<const OpenFile*> closed;
  for (int fd = 0; fd <= highest_.load(); ++fd) {
    const OpenFile* const file = cells_[static_cast<std::size_t>(fd)].file.load();
    if (file == nullptr || file == foreign() || !table.locks.any(file->inode())) continue;
    if ((sys::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
      kept.push_back(file->slot_);
    else
      closed.push_back(file);
  }
  for (const OpenFile* const file : closed) {
    const std::uint32_t slot = file->slot_;
    if (std::ranges::find(kept, slot) != kept.end() || record->working_slot.load() == slot ||
        table.slots[slot].refs.load() < 2 || !table.holds(*record, slot))
      continue;
    if (table.drop_slot(core_.host.self(), *record, slot) != 0) table.release_help.store(1);
    left_.push_back(file->position_);
  }
  return Done{};
}

void DescriptorTable::exec_failed() {
  HostTable& table = core_.host.table();
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr) return;
  const Guard guard(lock_);
  for (const std::uint64_t position : std::exchange(left_, {}))
    if (const std::uint32_t slot = table.slot_at(position); slot != 0) table.hold(*record, slot);
}

void DescriptorTable::release_all() {
  Changes changes(*this);
  for (int fd = 0; fd <= highest_.load(); ++fd)
    changes.rings_for_releases_ |= set_cell(fd, nullptr);
  changes.rings_for_releases_ |= sweep();
}

}  // namespace benchfs
