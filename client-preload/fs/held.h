// Held: a lock in shared memory, taken by this thread for one transfer, and the position that goes
// with it (a file offset, the end of a file).
//
// A signal handler may start a transfer on the same file within the one it interrupted. It must not
// wait for its own thread, so it finds the thread's Held and goes on behind the interrupted
// transfer's end. It may come between any two instructions, so the position changes by one atomic
// step at a time.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/process.h"
#include "common/robust_lock.h"

namespace benchfs {

class Held {
 public:
  // `shared`: the position that the lock guards, if it is one that is stored.
  Held(RobustLock& lock, ProcessId self, std::atomic<std::uint64_t>* shared = nullptr);
  ~Held();
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  // Where the next transfer begins, of this one and of those that interrupt it.
  std::atomic<std::uint64_t>& position();
  // A place for `bytes`: behind those of interrupted transfers, and not before `end`.
  std::uint64_t place_at_end(std::uint64_t end, std::uint64_t bytes);

 private:
  enum State : std::uint32_t { waiting, trying, taken };
  static constexpr std::uint64_t unset = UINT64_MAX;
  static constexpr std::uint64_t given_back = UINT64_MAX - 1;
  Held* find_outer(RobustLock& lock, ProcessId self);
  void give_back();

  RobustLock& lock_;
  std::atomic<std::uint64_t>* const shared_;
  std::atomic<std::uint32_t> state_{waiting};
  Held* below_;
  Held* outer_ = nullptr;
  std::atomic<std::uint64_t> next_{unset};
};

}  // namespace benchfs
