// AsyncMutex: one coroutine at a time between suspension points; the others queue in order.
#pragma once

#include <deque>

#include "daemon/loop/completion.h"

namespace benchfs {

class AsyncMutex {
 public:
  // Await before the guarded part; call unlock() after it.
  Task<int> lock(EventLoop& loop) {
    if (!locked_) {
      locked_ = true;
      co_return 0;
    }
    Completion turn(loop);
    waiters_.push_back(&turn);
    co_return co_await turn;  // unlock() hands the lock over
  }
  void unlock() {
    if (waiters_.empty()) {
      locked_ = false;
      return;
    }
    Completion* const next = waiters_.front();
    waiters_.pop_front();
    next->finish(0);
  }
  bool locked() const { return locked_; }

 private:
  bool locked_ = false;
  std::deque<Completion*> waiters_;
};

}  // namespace benchfs
