// Leases: which hosts may read what of this rank without asking, and the recalls under way.
//
// From the moment something is changed until every host that held a lease on it has dropped it, no
// new lease on it is given, this rank's own view does not show it, and no answer leaves that knows
// of it: who changed or saw it waits (Watch). So a change is seen everywhere or nowhere.
//
// Plain memory on the loop's thread; rpc/recalls.cc sends what is queued here.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "common/lease_messages.h"
#include "daemon/loop/completion.h"
#include "daemon/loop/task.h"

namespace benchfs {

class Leases {
 public:
  // Keys of one rank that may be leased at a time; then the oldest are recalled.
  static constexpr std::size_t keys_max = std::size_t{1} << 18;

  // What was changed in one turn of the loop, on its way back from the hosts that held it.
  // Together, so that nobody hears of one half of a change while others still hold the other.
  struct Recall {
    std::vector<wire::LeaseKey> keys{};
    std::uint32_t missing = 0;           // of keys and hosts, that have not dropped them yet
    std::vector<Completion*> waiters{};  // finished when none is
  };
  using Recalls = std::vector<std::shared_ptr<Recall>>;

  // Collects what an answer has to wait for while it exists: the recalls of what was changed, or
  // read while it was being recalled. It cannot tell who did it; with several requests under way
  // one may wait for the recalls of another.
  class Watch {
   public:
    explicit Watch(Leases& leases);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { end(); }
    Recalls end();  // nothing is collected from now on

   private:
    friend class Leases;
    Leases* leases_;
    Watch* previous_;
    Watch* next_;
    Recalls recalls_;
  };

  // Called when keys wait to be recalled from a host, once until take() has given all of them: it
  // is to begin with that in a later turn of the loop.
  std::function<void(std::uint32_t host)> on_recall;

  // Nothing is leased or being recalled: the calls below need not be made.
  bool idle() const { return held_.empty() && recalling_.empty() && !any_cooling_; }
  // This is changed or locked. True: it must not be shown yet. `cools`: see Cooling.
  bool changing(const wire::LeaseKey& key, bool cools = true);
  // No other host has a lease on it.
  bool held_by_none_but(const wire::LeaseKey& key, std::uint32_t host) const;
  // This is read, to be told to somebody.
  void reading(const wire::LeaseKey& key) const {
    if (!recalling_.empty()) look(key);
  }
  bool recalling(const wire::LeaseKey& key) const {
    return !recalling_.empty() && recalling_.contains(key);
  }

  // True: the host has a lease on it now.
  bool give(const wire::LeaseKey& key, std::uint32_t host);

  // For who sends the recalls of a host: up to `max` keys, none when all were taken.
  std::vector<wire::LeaseKey> take(std::uint32_t host, std::size_t max);
  void dropped(const std::vector<wire::LeaseKey>& keys);  // by one host
  // Between the two every answer waits: all hosts are to drop all they hold.
  void begin_everything() { everything_ = std::make_shared<Recall>(Recall{.missing = 1}); }
  void end_everything();
  // It holds nothing any more, and what it may still have is void by its epoch.
  void host_died(std::uint32_t host);

  // What a host is told with its leases and recalls.
  struct Host {
    std::uint64_t epoch = 0;
    std::uint64_t number = 0;    // of the last recall
    std::int64_t told_ns = 0;    // CLOCK_MONOTONIC, when it last heard that its leases are good
    bool recalled_from = false;  // on_recall was called
    std::deque<wire::LeaseKey> queue{};
  };
  Host& host(std::uint32_t host);

  std::size_t keys() const { return held_.size(); }
  std::size_t recalls() const { return recalling_.size(); }

  // Until none of the recalls misses anybody.
  static Task<int> settled(EventLoop& loop, Recalls recalls);
  Task<int> settled(EventLoop& loop, wire::LeaseKey key);

 private:
  using Holders = absl::InlinedVector<std::uint32_t, 2>;
  // A key that was recalled is leased again when it was asked for twice without a change: what is
  // changed as often as it is read is not worth the messages.
  struct Cooling {
    wire::LeaseKey key{};
    bool asked = false;
  };
  Cooling& cooling_of(const wire::LeaseKey& key);

  void look(const wire::LeaseKey& key) const;
  void recall(const wire::LeaseKey& key, bool cools = true);
  void recall_oldest();
  void drop(const wire::LeaseKey& key);

  absl::flat_hash_map<wire::LeaseKey, Holders> held_;
  std::deque<wire::LeaseKey> order_;  // of held_, oldest first, with some that are no longer held
  absl::flat_hash_map<wire::LeaseKey, std::shared_ptr<Recall>> recalling_;
  std::shared_ptr<Recall> gathering_;   // of this turn
  std::shared_ptr<Recall> everything_;  // null: nothing to wait for
  absl::flat_hash_map<std::uint32_t, Host> hosts_;
  std::array<Cooling, 4096> cooling_{};
  bool any_cooling_ = false;
  Watch* watches_ = nullptr;
};

}  // namespace benchfs
