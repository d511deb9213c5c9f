// HeldLocks: which locks the processes of this host hold, and what they wait for. Part of the
// host's table.
//
// A file's home decides about its locks; this is the host's memory of what it was granted, written
// by its servers before the client learns of it. So a close knows without asking whether there is a
// lock to give up, the leader gives up what the dead held, and a home that was restarted is told.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "common/lock_ranges.h"
#include "common/process.h"
#include "common/result.h"
#include "common/robust_lock.h"
#include "common/wire.h"

namespace benchfs {

inline constexpr std::uint32_t held_locks_max = 65536;  // of a host, entry 0 unused
inline constexpr std::uint32_t held_lock_buckets = 4096;

struct alignas(64) HeldLock {
  std::uint64_t inode;  // 0: free
  std::uint64_t owner;  // ProcessId, or position of an open slot
  std::uint64_t start;
  std::uint64_t last;
  std::uint64_t ticket;  // of a wait; 0: the lock is held
  wire::LockOwnerKind owner_kind;
  std::uint32_t rank;               // of a wait: the server that waits for it
  std::atomic<std::uint32_t> next;  // in its bucket, or of the free list
  wire::LockSpace space;
  wire::LockKind kind;
  std::uint16_t reserved;
  std::uint64_t reserved_too;
};
static_assert(sizeof(HeldLock) == 64);

// What one owner has of one file.
struct HeldBy {
  std::uint64_t inode;
  std::uint64_t owner;
  wire::LockOwnerKind owner_kind;
  wire::LockSpace space;
  friend bool operator==(const HeldBy&, const HeldBy&) = default;
};

struct HeldLocks {
  RobustLock lock;
  std::uint32_t free_head, high;
  std::atomic<std::uint32_t> used;
  std::atomic<std::uint32_t> orphans;  // counts closes that may have left a lock without an owner
  std::uint32_t reserved[10];
  std::array<std::atomic<std::uint32_t>, held_lock_buckets> buckets;
  std::array<HeldLock, held_locks_max> entries;

  // Whether anybody here may have locked the inode: one look, for every close.
  bool any(std::uint64_t inode) const { return buckets[bucket_of(inode)].load() != 0; }
  bool holds(ProcessId self, const HeldBy& by);
  // For one more change of a range, which may split one. False: ENOLCK.
  bool has_room() const { return used.load() + 4 < held_locks_max; }

  // The home has granted it (or, unlocked, taken it back).
  Status set(ProcessId self, const HeldBy& by, const LockRange& range);
  // A process waits for a lock; before its home is asked, so that who looks for a circle of waits
  // sees each wait that is queued.
  Status begin_wait(ProcessId self, const HeldBy& by, const LockRange& range, std::uint32_t rank,
                    std::uint64_t ticket);
  void end_wait(ProcessId self, std::uint64_t inode, std::uint32_t rank, std::uint64_t ticket);

  // Those of a server that was started anew.
  void forget_waits(ProcessId self, std::uint32_t rank);

  std::vector<wire::LockWaitOf> waits_of(ProcessId self, std::uint64_t process);
  // Who holds locks, each once for each file and space.
  std::vector<HeldBy> holders(ProcessId self);
  // Held locks from entry `cursor` on, `most` at most; sets `cursor` to where to go on, 0: the end.
  std::vector<wire::HeldLockOf> page(ProcessId self, std::uint64_t& cursor, std::size_t most);

  static std::uint32_t bucket_of(std::uint64_t inode) {
    return static_cast<std::uint32_t>((inode * 0x9e3779b97f4a7c15ull) >> 52);
  }

 private:
  // All under the lock. A process killed in between leaves at worst an entry too many.
  std::uint32_t take();
  void link(std::uint32_t index);
  void unlink(std::uint32_t index);
  bool is_of(const HeldLock& entry, const HeldBy& by) const {
    return entry.inode == by.inode && entry.owner == by.owner &&
           entry.owner_kind == by.owner_kind && entry.space == by.space && entry.ticket == 0;
  }
};
static_assert(held_lock_buckets == 1 << 12);

}  // namespace benchfs
