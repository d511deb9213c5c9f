// RenameTicket: the right to move a directory to another parent, which one server has at a time.
//
// Two such moves at once could each be harmless and together make a cycle. Rank 0 lends the right;
// while others wait for it, it asks the holder whether it still has it, so that it is not lost with
// a holder that dies.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <deque>
#include <optional>

#include "common/result.h"
#include "common/wire.h"
#include "daemon/loop/completion.h"
#include "daemon/loop/event_loop.h"

namespace benchfs {

class Server;

class RenameTicket {
 public:
  RenameTicket(Server& server, std::uint64_t first_id) : server_(server), last_id_(first_id) {}

  // Waits for it; the number is to be given back. EIO: rank 0 does not answer.
  Task<Result<std::uint64_t>> take();
  void give(std::uint64_t id);
  // 0: not held here. `id` 0 asks for any.
  std::uint64_t held(std::uint64_t id) const;

  // At rank 0.
  Task<Status> lend(std::uint32_t holder, std::uint64_t id);
  void take_back(std::uint32_t holder, std::uint64_t id);
  // This process does not know what its predecessor lent: it asks before it lends.
  void after_restart() { forgotten_ = true; }

 private:
  struct Claim {
    std::uint32_t holder;
    std::uint64_t id;
    friend bool operator==(const Claim&, const Claim&) = default;
  };
  struct Waiter {
    Claim claim;
    Completion* turn;
  };
  Task<int> tell_given(std::uint64_t id);
  Task<int> find_holder();
  Task<int> watch_holder();
  void next();

  Server& server_;
  std::uint64_t last_id_;
  absl::flat_hash_set<std::uint64_t> held_;

  std::optional<Claim> holder_;
  std::deque<Waiter> waiting_;
  bool forgotten_ = false;
  bool watching_ = false;
  Completion* waker_ = nullptr;
  EventLoop::Timer timer_;
};

}  // namespace benchfs
