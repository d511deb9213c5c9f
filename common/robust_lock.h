// RobustLock: a lock word in shared memory that holds its owner and is taken from the dead.
//
// For sections of a few hundred nanoseconds: a waiter yields, and after a while looks whether the
// owner still lives. What a dead owner left half done is for the section's author to survive.
#pragma once

#include <atomic>

#include "common/process.h"
#include "common/sys.h"

namespace benchfs {

class RobustLock {
 public:
  // True: from an owner that has died.
  bool lock(ProcessId self) {
    ProcessId owner = 0;
    if (word_.compare_exchange_strong(owner, self, std::memory_order_acquire)) return false;
    return lock_slowly(self);
  }
  bool try_lock(ProcessId self) {
    ProcessId owner = 0;
    return word_.compare_exchange_strong(owner, self, std::memory_order_acquire);
  }
  // As try_lock, and from an owner that has died.
  bool try_take(ProcessId self) { return try_lock(self) || take_from_dead(self); }
  void unlock() { word_.store(0, std::memory_order_release); }

 private:
  bool take_from_dead(ProcessId self) {
    ProcessId owner = word_.load(std::memory_order_relaxed);
    // Several threads of one process look alike; a thread that dies takes its process along.
    return owner != 0 && owner != self && !is_alive(owner) &&
           word_.compare_exchange_strong(owner, self, std::memory_order_acquire);
  }
  bool lock_slowly(ProcessId self) {
    for (std::uint32_t tries = 0;; ++tries) {
      if (try_lock(self)) return false;
      if (tries % 1024 == 1023 && take_from_dead(self)) return true;
      if (tries < 64) {
        sys::yield();
      } else {
        const timespec nap{.tv_sec = 0, .tv_nsec = 20'000};
        sys::call(SYS_nanosleep, sys::pointer(&nap));
      }
    }
  }

  std::atomic<ProcessId> word_{0};
};
static_assert(sizeof(RobustLock) == 8);

class RobustGuard {
 public:
  RobustGuard(RobustLock& lock, ProcessId self) : lock_(lock) { lock_.lock(self); }
  ~RobustGuard() { lock_.unlock(); }
  RobustGuard(const RobustGuard&) = delete;
  RobustGuard& operator=(const RobustGuard&) = delete;

 private:
  RobustLock& lock_;
};

}  // namespace benchfs
