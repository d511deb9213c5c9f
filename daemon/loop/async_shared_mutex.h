// AsyncSharedMutex: many coroutines that share it, or one that has it alone; the others queue in
// order, so nobody starves.
#pragma once

#include <cstdint>
#include <deque>

#include "daemon/loop/completion.h"

namespace benchfs {

enum class LockMode : std::uint8_t { shared, exclusive };

class AsyncSharedMutex {
 public:
  // Whether lock() would not wait: somebody may be waiting for those that have it.
  bool is_free(LockMode mode) const {
    return waiters_.empty() && !exclusive_ && (mode == LockMode::shared || shared_ == 0);
  }
  bool try_lock(LockMode mode) {
    if (!is_free(mode)) return false;
    take(mode);
    return true;
  }
  // 0, or what fail_waiters() said; then it is not locked.
  Task<int> lock(EventLoop& loop, LockMode mode) {
    if (try_lock(mode)) co_return 0;
    Completion turn(loop);
    const Waiter waiter{.turn = &turn, .mode = mode};
    waiters_.push_back(waiter);
    co_return co_await turn;  // unlock() hands the lock over
  }
  void unlock() {
    if (exclusive_)
      exclusive_ = false;
    else
      --shared_;
    while (!waiters_.empty()) {
      const Waiter next = waiters_.front();
      if (exclusive_ || (next.mode == LockMode::exclusive && shared_ != 0)) return;
      waiters_.pop_front();
      take(next.mode);
      next.turn->finish(0);
    }
  }
  void fail_waiters(int result) {
    for (const Waiter& waiter : waiters_) waiter.turn->finish(result);
    waiters_.clear();
  }
  bool locked() const { return exclusive_ || shared_ != 0; }
  bool locked_exclusively() const { return exclusive_; }

 private:
  struct Waiter {
    Completion* turn;
    LockMode mode;
  };
  void take(LockMode mode) {
    if (mode == LockMode::exclusive)
      exclusive_ = true;
    else
      ++shared_;
  }
  bool exclusive_ = false;
  std::uint32_t shared_ = 0;
  std::deque<Waiter> waiters_;
};

}  // namespace benchfs
