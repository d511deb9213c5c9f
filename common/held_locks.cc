#include "common/held_locks.h"

#include <algorithm>
#include <tuple>

namespace benchfs {

std::uint32_t HeldLocks::take() {
  if (free_head != 0) {
    const std::uint32_t index = free_head;
    free_head = entries[index].next.load();
    return index;
  }
  return high + 1 < held_locks_max ? ++high : 0;
}

void HeldLocks::link(std::uint32_t index) {
  auto& bucket = buckets[bucket_of(entries[index].inode)];
  entries[index].next.store(bucket.load());
  bucket.store(index);
  used.fetch_add(1);
}

void HeldLocks::unlink(std::uint32_t index) {
  std::atomic<std::uint32_t>* from = &buckets[bucket_of(entries[index].inode)];
  while (from->load() != index) from = &entries[from->load()].next;
  from->store(entries[index].next.load());
  entries[index].inode = 0;
  entries[index].next.store(free_head);
  free_head = index;
  used.fetch_sub(1);
}

bool HeldLocks::holds(ProcessId self, const HeldBy& by) {
  if (!any(by.inode)) return false;
  const RobustGuard guard(lock, self);
  for (std::uint32_t i = buckets[bucket_of(by.inode)].load(); i != 0; i = entries[i].next.load())
    if (is_of(entries[i], by)) return true;
  return false;
}

Status HeldLocks::set(ProcessId self, const HeldBy& by, const LockRange& range) {
  const RobustGuard guard(lock, self);
  LockRanges ranges;
  std::vector<std::uint32_t> old;
  for (std::uint32_t i = buckets[bucket_of(by.inode)].load(); i != 0; i = entries[i].next.load()) {
    const HeldLock& entry = entries[i];
    if (!is_of(entry, by)) continue;
    old.push_back(i);
    ranges.push_back({entry.start, entry.last, entry.kind});
  }
  std::ranges::sort(ranges, {}, &LockRange::start);
  set_range(ranges, range);
  std::vector<std::uint32_t> fresh;
  for (const LockRange& each : ranges) {
    const std::uint32_t index = take();
    if (index == 0) {
      for (const std::uint32_t taken : fresh) unlink(taken);
      return Error(ENOLCK);
    }
    HeldLock& entry = entries[index];
    entry.inode = by.inode;
    entry.owner = by.owner;
    entry.owner_kind = by.owner_kind;
    entry.space = by.space;
    entry.start = each.start;
    entry.last = each.last;
    entry.kind = each.kind;
    entry.ticket = 0;
    link(index);
    fresh.push_back(index);
  }
  for (const std::uint32_t index : old) unlink(index);
  return Done{};
}

Status HeldLocks::begin_wait(ProcessId self, const HeldBy& by, const LockRange& range,
                             std::uint32_t rank, std::uint64_t ticket) {
  const RobustGuard guard(lock, self);
  const std::uint32_t index = take();
  if (index == 0) return Error(ENOLCK);
  HeldLock& entry = entries[index];
  entry.inode = by.inode;
  entry.owner = by.owner;
  entry.owner_kind = by.owner_kind;
  entry.space = by.space;
  entry.start = range.start;
  entry.last = range.last;
  entry.kind = range.kind;
  entry.ticket = ticket;
  entry.rank = rank;
  link(index);
  return Done{};
}

void HeldLocks::end_wait(ProcessId self, std::uint64_t inode, std::uint32_t rank,
                         std::uint64_t ticket) {
  const RobustGuard guard(lock, self);
  for (std::uint32_t i = buckets[bucket_of(inode)].load(); i != 0; i = entries[i].next.load()) {
    if (entries[i].ticket != ticket || entries[i].rank != rank || entries[i].inode != inode)
      continue;
    return unlink(i);
  }
}

void HeldLocks::forget_waits(ProcessId self, std::uint32_t rank) {
  const RobustGuard guard(lock, self);
  for (std::uint32_t i = 1; i <= high && i < held_locks_max; ++i)
    if (entries[i].inode != 0 && entries[i].ticket != 0 && entries[i].rank == rank) unlink(i);
}

std::vector<wire::LockWaitOf> HeldLocks::waits_of(ProcessId self, std::uint64_t process) {
  std::vector<wire::LockWaitOf> waits;
  const RobustGuard guard(lock, self);
  for (std::uint32_t i = 1; i <= high && i < held_locks_max; ++i) {
    const HeldLock& entry = entries[i];
    if (entry.inode == 0 || entry.ticket == 0 || entry.owner != process ||
        entry.owner_kind != wire::LockOwnerKind::process)
      continue;
    waits.push_back({.inode = entry.inode, .ticket = entry.ticket, .rank = entry.rank});
  }
  return waits;
}

std::vector<HeldBy> HeldLocks::holders(ProcessId self) {
  std::vector<HeldBy> found;
  if (used.load() == 0) return found;
  const RobustGuard guard(lock, self);
  for (std::uint32_t i = 1; i <= high && i < held_locks_max; ++i) {
    const HeldLock& entry = entries[i];
    if (entry.inode == 0 || entry.ticket != 0) continue;
    const HeldBy by{.inode = entry.inode,
                    .owner = entry.owner,
                    .owner_kind = entry.owner_kind,
                    .space = entry.space};
    found.push_back(by);
  }
  const auto order = [](const HeldBy& by) {
    return std::tuple(by.inode, by.owner, by.owner_kind, by.space);
  };
  std::ranges::sort(found, {}, order);
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::vector<wire::HeldLockOf> HeldLocks::page(ProcessId self, std::uint64_t& cursor,
                                              std::size_t most) {
  std::vector<wire::HeldLockOf> found;
  const RobustGuard guard(lock, self);
  for (std::uint64_t i = std::max<std::uint64_t>(cursor, 1); i <= high && i < held_locks_max; ++i) {
    const HeldLock& entry = entries[i];
    if (entry.inode == 0 || entry.ticket != 0) continue;
    if (found.size() == most) {
      cursor = i;
      return found;
    }
    found.push_back({.inode = entry.inode,
                     .start = entry.start,
                     .last = entry.last,
                     .owner = entry.owner,
                     .owner_kind = entry.owner_kind,
                     .space = entry.space,
                     .kind = entry.kind,
                     .reserved = 0});
  }
  cursor = 0;
  return found;
}

}  // namespace benchfs
