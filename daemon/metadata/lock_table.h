// LockTable: the locks of one file that are decided at its home, and who waits for them. Plain
// memory: nothing here waits or sends.
//
// The rules are Linux's. A lock is given if nobody else holds what conflicts, whoever waits; those
// that wait are looked at in the order in which they came, whenever a lock is given up. Byte ranges
// are changed in place (upgrades keep what was held until the new lock is there); a lock of the
// whole file is given up before its kind is changed.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "common/lock_ranges.h"
#include "common/wire.h"

namespace benchfs {

// Names a wait: the server that waits, and its number for it.
struct LockWaitId {
  std::uint64_t rank;
  std::uint64_t ticket;
  friend bool operator==(const LockWaitId&, const LockWaitId&) = default;
  template <class H>
  friend H AbslHashValue(H h, const LockWaitId& id) {
    return H::combine(std::move(h), id.rank, id.ticket);
  }
};

struct LockWait {
  LockWaitId id;
  wire::LockOwner owner;
  LockRange range;
  std::int64_t since;  // ns since the epoch, by the home's clock
};

struct LockConflict {
  wire::LockOwner owner;
  LockRange range;  // all of the lock in the way
};

class LockTable {
 public:
  explicit LockTable(wire::LockSpace space) : whole_(space == wire::LockSpace::whole) {}

  // The first lock of another owner that `range` conflicts with.
  std::optional<LockConflict> conflict(const wire::LockOwner& owner, const LockRange& range) const;
  // Every other owner of a lock that conflicts.
  std::vector<wire::LockOwner> conflicting(const wire::LockOwner& owner,
                                           const LockRange& range) const;

  // Sets, changes or gives up. False: there is a conflict (and a lock of the whole file that was to
  // be changed is lost). Afterwards grant().
  bool lock(const wire::LockOwner& owner, const LockRange& range);
  // Sets what another home, or this one before it was restarted, had granted.
  void restore(const wire::LockOwner& owner, const LockRange& range) { set(owner, range); }

  void wait(const LockWait& wait) { waits_.push_back(wait); }
  // False: there is no such wait.
  bool withdraw(const LockWaitId& id);
  // Gives locks to those who wait and can have them, in their order. Returns whose waits ended so.
  std::vector<LockWaitId> grant();

  void drop(const wire::LockOwner& owner);
  // Everything of a host. Returns its waits.
  std::vector<LockWaitId> drop_host(std::uint32_t host);

  const LockWait* find(const LockWaitId& id) const;
  const std::deque<LockWait>& waits() const { return waits_; }
  std::vector<wire::LockOwner> owners() const;
  // Of one owner, sorted.
  LockRanges held(const wire::LockOwner& owner) const;
  bool empty() const { return holders_.empty() && waits_.empty(); }

 private:
  struct Holder {
    wire::LockOwner owner;
    LockRanges ranges;  // never empty
  };
  void set(const wire::LockOwner& owner, const LockRange& range);
  static bool conflicts(const LockRange& held, const LockRange& wanted) {
    return wanted.kind != wire::LockKind::unlocked && held.overlaps(wanted) &&
           (held.kind == wire::LockKind::exclusive || wanted.kind == wire::LockKind::exclusive);
  }

  bool whole_;
  std::vector<Holder> holders_;  // in the order in which they came
  std::deque<LockWait> waits_;   // likewise
};

}  // namespace benchfs
