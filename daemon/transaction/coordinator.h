// Coordinator: changes on several servers that this rank decides.
//
// A handler prepares a change, which may take a while, then commits it and answers in one stretch.
// What was committed is told to the ranks that agreed until each has acknowledged it.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/journal/blobs.h"
#include "daemon/loop/event_loop.h"
#include "daemon/transaction/steps.h"
#include "daemon/transaction/transaction.h"

namespace benchfs {

struct Transaction {
  wire::TransactionKind kind{};
  std::uint32_t uid = 0;
  std::vector<Step> steps;  // of all ranks; those of this rank may be filled in until commit()
  // Done when all is locked, before those ranks are asked that only make inodes.
  std::function<Task<Status>()> when_locked;

  // What prepare() found. After EAGAIN: which step's name holds what.
  std::size_t refused_step = 0;
  Entry found{};
  wire::Attributes attributes{};  // of the inode that another rank makes, or gives or takes a name

  TransactionId id;
  std::vector<LockKey> locks;          // at this rank
  std::vector<std::uint32_t> agreed;   // other ranks
  std::vector<std::uint32_t> unclear;  // other ranks that may have agreed
};

// After prepare(): things are not as they were; look again. A directory may have been split.
inline bool has_changed(const Status& status) {
  return !status.ok() && (status.error().code() == EAGAIN || status.error().code() == ESTALE);
}

class Coordinator {
 public:
  // `first_counter` is above all that this rank ever used.
  Coordinator(Server& server, std::uint64_t first_counter)
      : server_(server), counter_(first_counter) {}

  // Has all ranks agree: at the same time if none of them has to wait for a lock, else one after
  // the other, in the order of their numbers, this one among them; without a message and without a
  // wait if the steps are all of this rank and nothing has them locked. Nothing is left behind if
  // it fails. EAGAIN: a name does not hold what was expected: look again. `change` must live until
  // the task is done. After success commit() must follow before the next suspension.
  Task<Status> prepare(Transaction& change);
  // Does the steps of this rank; the other ranks are told from the top of the loop.
  void commit(Transaction& change, std::int64_t time);

  wire::OutcomeReply outcome(std::uint64_t counter) const;
  std::size_t size() const { return committed_.size(); }

  // A committed_blob after a restart: goes on telling. EBADMSG.
  Status restore(std::span<const std::byte> blob);

  struct Committed {
    wire::TransactionKind kind{};
    std::int64_t time = 0;
    std::vector<std::uint32_t> ranks;  // that have not acknowledged it
  };
  static std::string encode(std::uint64_t counter, const Committed& change);

 private:
  void begin(Transaction& change);
  bool asks_several(const Transaction& change) const;
  Task<Status> agree_at_once(Transaction& change);
  Task<Status> agree(Transaction& change);
  Task<Status> agree_here(Transaction& change, Patience patience);
  Task<Result<wire::Nothing>> ask(Transaction& change, std::uint32_t rank, bool at_once);
  void abandon(Transaction& change);
  Task<int> tell_abort(std::uint64_t counter, std::uint32_t rank);
  Task<int> tell_all(std::uint64_t counter);
  Task<int> tell(std::uint64_t counter, std::uint32_t rank, std::int64_t time);
  BlobKey blob_of(std::uint64_t counter) const;

  Server& server_;
  std::uint64_t counter_;
  absl::flat_hash_set<std::uint64_t> pending_;
  absl::flat_hash_map<std::uint64_t, Committed> committed_;
};

}  // namespace benchfs
