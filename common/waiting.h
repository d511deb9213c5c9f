// How somebody waits for an answer: the setting `wait` of clients and servers.
#pragma once

#include <cstdint>

namespace benchfs {

enum class Waiting : std::uint8_t {
  adaptive,  // look and yield the core for a while, then sleep
  poll,      // never sleep: for cores of one's own
  block,     // sleep at once
};

// A yield that took this long went to a program that computes: looking again would cost a time
// slice each time, so the next waits sleep at once.
inline constexpr std::int64_t hog_yield_ns = 500'000;
inline constexpr std::uint32_t hog_waits_first = 32;
inline constexpr std::uint32_t hog_level_max = 6;

}  // namespace benchfs
