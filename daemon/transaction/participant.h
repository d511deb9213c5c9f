// Participant: what this rank has agreed to do in changes that another rank coordinates.
//
// Having agreed, it keeps what is concerned locked until it hears the decision, and asks for it
// when it hears nothing.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/journal/blobs.h"
#include "daemon/loop/event_loop.h"
#include "daemon/transaction/steps.h"
#include "daemon/transaction/transaction.h"

namespace benchfs {

class Participant {
 public:
  explicit Participant(Server& server) : server_(server) {}

  // Locks what the steps concern and agrees, or says why not. Asked again, it answers the same.
  Task<Result<wire::PrepareReply>> prepare(wire::Prepare request, std::vector<Step> steps);
  // Does what was agreed, or forgets it. Asked again, it does nothing.
  void decide(TransactionId id, bool commit, std::int64_t time);

  std::size_t size() const { return prepared_.size(); }

  // A prepared_blob after a restart, before anything else is served: agreed as before, and asks
  // soon. EBADMSG.
  Status restore(std::span<const std::byte> blob);

 private:
  struct Prepared {
    TransactionId id;
    wire::TransactionKind kind{};
    std::uint32_t uid = 0;
    std::vector<Step> steps;
    std::vector<LockKey> locks;
    bool agreed = false;     // else it still waits for locks
    bool abandoned = false;  // told to forget it meanwhile
    std::int64_t ask_at_ns = 0;
    std::int64_t patience_ns = 0;
    std::vector<Completion*> others;  // the same question, asked again while it waits
  };
  Task<Result<wire::PrepareReply>> agree(Prepared& change, Patience patience);
  std::string encode(const Prepared& change) const;
  static BlobKey blob_of(TransactionId id) { return {prepared_blob, id.coordinator, id.counter}; }
  void drop(TransactionId id);
  void watch();
  Task<int> ask_when_silent();
  Task<int> ask_outcome(TransactionId id);

  Server& server_;
  absl::flat_hash_map<TransactionId, std::unique_ptr<Prepared>> prepared_;
  // Decided lately: a question that arrives late must not be agreed to once more.
  std::deque<TransactionId> past_;
  absl::flat_hash_set<TransactionId> past_set_;
  Completion* waker_ = nullptr;
  EventLoop::Timer timer_;
  bool watching_ = false;
};

}  // namespace benchfs
