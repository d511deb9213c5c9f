// Lock: a mutex whose holder takes no signals, so that a signal handler may call the library on the
// very thread it interrupted. For short sections off the data path. Held across fork by design.
#pragma once

#include <csignal>
#include <cstdint>
#include <mutex>

#include "common/sys.h"

namespace benchfs {

class Lock {
 public:
  void lock() {
    const std::uint64_t all = ~std::uint64_t{0};
    std::uint64_t before = 0;
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer(&all), sys::pointer(&before),
              sizeof before);
    mutex_.lock();
    before_ = before;
  }
  void unlock() {
    const std::uint64_t before = before_;
    mutex_.unlock();
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::pointer(&before), 0, sizeof before);
  }

 private:
  std::mutex mutex_;
  std::uint64_t before_ = 0;  // the holder's signal mask
};

using Guard = std::lock_guard<Lock>;

}  // namespace benchfs
