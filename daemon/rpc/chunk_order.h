// ChunkOrder: requests of other ranks that change chunks, in the order of the connections they came
// by.
//
// A rank whose connection was lost asks again on another. What came by the old one may still be at
// work then; if it went on after the repeated request was answered, it would undo what was written
// since.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>

#include "daemon/loop/event_loop.h"
#include "daemon/loop/task.h"

namespace benchfs {

class ChunkOrder {
 public:
  // Waits until nothing is at work that came from `source` by another connection.
  Task<int> begin(EventLoop& loop, std::uint32_t source, std::uint64_t connection) {
    for (std::int64_t nap = 50'000;; nap = std::min(nap * 2, std::int64_t{5'000'000})) {
      Running& running = running_[source];
      if (running.requests == 0) running.connection = connection;
      if (running.connection == connection) {
        ++running.requests;
        co_return 0;
      }
      co_await loop.sleep(nap);
    }
  }
  void end(std::uint32_t source) { --running_[source].requests; }

 private:
  struct Running {
    std::uint64_t connection = 0;
    std::uint32_t requests = 0;
  };
  absl::flat_hash_map<std::uint32_t, Running> running_;
};

}  // namespace benchfs
