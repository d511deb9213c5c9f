// FileLocks: the locks of all files at home on one rank, and the answers that those who wait for
// one are to get.
//
// Locks are not logged. After a restart the hosts say what they hold, and until all have done so
// nothing is granted (begin_recovery, end_recovery).
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/metadata/lock_table.h"

namespace benchfs {

struct InodeLocks {
  LockTable whole{wire::LockSpace::whole};
  LockTable ranges{wire::LockSpace::ranges};

  LockTable& of(wire::LockSpace space) { return space == wire::LockSpace::whole ? whole : ranges; }
  bool empty() const { return whole.empty() && ranges.empty(); }
};

class FileLocks {
 public:
  // Valid until the next suspension.
  InodeLocks* find(std::uint64_t inode);
  InodeLocks& of(std::uint64_t inode);
  void forget_if_empty(std::uint64_t inode);

  void wait(std::uint64_t inode, wire::LockSpace space, const LockWait& wait);
  // Suspends until the wait has ended, and forgets it: 0, or an errno. ESTALE: there is no such
  // wait. Who asks second for the same wait gets the answer, the first one ESTALE.
  Task<int> outcome(EventLoop& loop, LockWaitId id);
  // Ends the wait, if it still waits.
  void fail(std::uint64_t inode, const LockWaitId& id, int error);
  // After any change of an inode's locks: gives those who wait what they can have now.
  void grant(std::uint64_t inode);

  void drop(std::uint64_t inode, const wire::LockOwner& owner);
  // A host closed the inode, or is gone: what it held, and its waits (EBADF).
  void drop_host(std::uint64_t inode, std::uint32_t host);
  void drop_host(std::uint32_t host);

  // Forgets all locks and ends all waits with `error` (ESTALE: ask again).
  void end_all(int error);

  // Inodes that somebody waits for a lock of.
  std::vector<std::uint64_t> contended() const;

  // In between, settled() waits.
  void begin_recovery() { recovering_ = true; }
  void end_recovery();
  Task<int> settled(EventLoop& loop);

  // A wait that ends early when nobody waits for a lock any more.
  Task<int> nap(EventLoop& loop, std::int64_t duration_ns);
  bool watched = false;  // somebody looks now and then whether the owners in the way still live
  absl::flat_hash_map<std::uint32_t, std::int64_t> silent_since;  // hosts that do not answer

 private:
  struct Pending {
    std::uint64_t inode;
    std::optional<int> result;
    Completion* asked = nullptr;
  };
  void finish(const LockWaitId& id, int result);

  absl::flat_hash_map<std::uint64_t, std::unique_ptr<InodeLocks>> inodes_;
  absl::flat_hash_map<LockWaitId, Pending> pending_;
  std::uint32_t waiting_ = 0;  // of them, without a result
  bool recovering_ = false;
  std::vector<Completion*> unsettled_;
  Completion* nap_ = nullptr;
};

}  // namespace benchfs
