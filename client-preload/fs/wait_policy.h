// WaitPolicy: how threads of this process wait for answers, and what they learnt about who else
// wants the cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "common/waiting.h"

namespace benchfs {

struct WaitPolicy {
  Waiting waiting = Waiting::adaptive;
  std::int64_t spin_ns = 50'000;

  // Whether the next wait should sleep at once: one yield went to a program that computes.
  bool sleep_at_once() {
    if (waiting != Waiting::adaptive) return waiting == Waiting::block;
    std::uint32_t left = sleeps_.load(std::memory_order_relaxed);
    if (left == 0) return false;
    sleeps_.store(left - 1, std::memory_order_relaxed);
    return true;
  }
  // Whether others had the core when it was last offered: then it is offered at once.
  bool crowded() const { return crowded_.load(std::memory_order_relaxed); }
  // A yield took `ns`. True: stop looking.
  bool yielded(std::int64_t ns) {
    if (const bool others = ns > empty_yield_ns; others != crowded())
      crowded_.store(others, std::memory_order_relaxed);
    if (ns <= hog_yield_ns) {
      if (level_.load(std::memory_order_relaxed) != 0) level_.store(0, std::memory_order_relaxed);
      return false;
    }
    if (waiting == Waiting::poll) return false;
    const std::uint32_t level = level_.load(std::memory_order_relaxed);
    sleeps_.store(hog_waits_first << level, std::memory_order_relaxed);
    level_.store(std::min(level + 1, hog_level_max), std::memory_order_relaxed);
    return true;
  }

 private:
  static constexpr std::int64_t empty_yield_ns = 2'000;  // two or three times what one takes

  std::atomic<bool> crowded_{false};
  std::atomic<std::uint32_t> sleeps_{0};
  std::atomic<std::uint32_t> level_{0};
};

}  // namespace benchfs
