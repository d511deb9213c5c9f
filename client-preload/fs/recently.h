// Recently: whether something was checked a few microseconds ago, for the price of reading the
// processor's counter.
//
// What a descriptor's number refers to is asked of the kernel, which costs a third of a small read.
// In a run of calls on one descriptor it is asked once in a while: a number closed and opened anew
// past libc and then used through libc within half a millisecond is what no program does. The
// numbers of our own that others could reach lie so high that nobody is given them unasked; they
// are asked for less often still.
#pragma once

#include <atomic>
#include <cstdint>

namespace benchfs {

class Recently {
 public:
  bool just_checked() const { return age() < ticks_per_8us() << 6; }     // 0.5 ms at most
  bool lately_checked() const { return age() < ticks_per_8us() << 13; }  // 65 ms at most
  void note() { last_.store(now(), std::memory_order_relaxed); }
  void forget() { last_.store(0, std::memory_order_relaxed); }

 private:
  std::uint64_t age() const { return now() - last_.load(std::memory_order_relaxed); }
#if defined(__x86_64__)
  static std::uint64_t now() { return __builtin_ia32_rdtsc(); }
  static std::uint64_t ticks_per_8us() { return 1 << 14; }  // at 2 GHz; counters are no slower
#else
  static std::uint64_t now() {
    std::uint64_t count = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
  }
  static std::uint64_t ticks_per_8us() {
    std::uint64_t per_second = 0;
    asm volatile("mrs %0, cntfrq_el0" : "=r"(per_second));
    return per_second >> 17;
  }
#endif

  std::atomic<std::uint64_t> last_;
};

}  // namespace benchfs
