// Recently: whether something was checked a few microseconds ago, for the price of reading the
// processor's counter.
//
// What a descriptor's number refers to is asked of the kernel, which costs a third of a small read.
// In a run of calls on one descriptor it is asked once in a while: nobody can close a number behind
// our back, open it anew and come to us in so short a time without meaning to.
#pragma once

#include <atomic>
#include <cstdint>

namespace benchfs {

class Recently {
 public:
  bool checked() const { return now() - last_.load(std::memory_order_relaxed) < short_while(); }
  void note() { last_.store(now(), std::memory_order_relaxed); }
  void forget() { last_.store(0, std::memory_order_relaxed); }

 private:
#if defined(__x86_64__)
  static std::uint64_t now() { return __builtin_ia32_rdtsc(); }
  static std::uint64_t short_while() { return 1 << 14; }  // 4 to 8 microseconds
#else
  static std::uint64_t now() {
    std::uint64_t count = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
  }
  static std::uint64_t short_while() {
    std::uint64_t per_second = 0;
    asm volatile("mrs %0, cntfrq_el0" : "=r"(per_second));
    return per_second >> 17;  // 8 microseconds
  }
#endif

  std::atomic<std::uint64_t> last_;
};

}  // namespace benchfs
