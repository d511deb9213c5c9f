// Held: a lock in shared memory, taken by this thread for one transfer, and the position that goes
// with it (a file offset, the end of a file).
//
// A signal handler may start a transfer on the same file within the one it interrupted. It must not
// wait for its own thread, so it finds the thread's Held and goes on behind the interrupted
// transfer's end.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/process.h"
#include "common/robust_lock.h"

namespace benchfs {

class Held {
 public:
  Held(RobustLock& lock, ProcessId self);
  ~Held();
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  // The interrupted transfer of this very thread that has the lock; null: this one took it.
  Held* outer() const { return outer_; }

  // Where the next transfer begins. Set by who took the lock, moved on by who came in between.
  std::uint64_t next = 0;

 private:
  enum State : std::uint32_t { waiting, trying, taken };
  Held* find_outer(RobustLock& lock, ProcessId self);

  RobustLock& lock_;
  std::atomic<std::uint32_t> state_{waiting};
  Held* below_;
  Held* outer_ = nullptr;
};

}  // namespace benchfs
