// Surveys: the hosts that this rank is asking which of its inodes they have open (handlers/
// open_state.h). What depends on the answer waits here.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/task.h"

namespace benchfs {

class Surveys {
 public:
  bool any() const { return !waiters_.empty(); }
  bool under_way(std::uint32_t host) const { return any() && waiters_.contains(host); }
  // False: one is under way already.
  bool begin(std::uint32_t host) { return waiters_.try_emplace(host).second; }
  void end(std::uint32_t host) {
    const auto found = waiters_.find(host);
    const std::vector<Completion*> waiters = std::move(found->second);
    waiters_.erase(found);
    for (Completion* waiter : waiters) waiter->finish(0);
  }
  Task<int> wait(EventLoop& loop, std::uint32_t host) {
    while (under_way(host)) {
      Completion over(loop);
      waiters_[host].push_back(&over);
      co_await over;
    }
    co_return 0;
  }

 private:
  absl::flat_hash_map<std::uint32_t, std::vector<Completion*>> waiters_;
};

}  // namespace benchfs
