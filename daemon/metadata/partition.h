// Partition: which of its entries a directory inode holds itself, once the directory is split.
//
// A directory that grew too large gives the upper half of its range of cookies to a new directory
// inode at another rank, a part, that nobody sees: it has no name, and whoever walks through the
// directory is sent on to it. A part that grows too large does the same. The directory itself knows
// all its parts; a part knows those that were split off from it.
//
// Part i of depth d (halved d times) splits into itself and part i + 2^d. Part i is at the rank i
// after the directory's own, so directories, which lie spread, have their parts spread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/placement.h"

namespace benchfs {

struct Partition {
  static constexpr std::uint32_t depth_max = 20;  // as many parts as there can be ranks

  struct Later {
    std::uint64_t low;  // cookies from here on, up to the next higher one's
    std::uint64_t inode;
    std::uint32_t depth;  // when it was made
    std::uint32_t reserved;
  };
  // A directory inode that has a cookie, or knows better where it is.
  struct Place {
    std::uint64_t inode;  // 0: this one
    std::uint32_t depth;  // 0: not told
  };

  std::uint64_t of = 0;   // a part: the directory it belongs to; 0: that directory itself
  std::uint64_t low = 0;  // held here: cookies from low on
  std::uint64_t high = cookies_end;   // and below high
  std::uint64_t limit = cookies_end;  // `high` when it was made; beyond it, only `of` knows
  std::uint32_t index = 0;            // 0: the directory itself
  std::uint32_t depth = 0;            // how often its range was halved
  std::vector<Later> later;           // parts that have what is at high and beyond
  std::int64_t times_set = 0;         // the directory itself: utimens came after what parts say

  Place elsewhere(std::uint64_t cookie) const {
    if (cookie >= low && cookie < high) return {0, 0};
    if (cookie < low || cookie >= limit) return {of, 0};
    const Later* best = nullptr;
    for (const Later& part : later)
      if (part.low <= cookie && (best == nullptr || part.low > best->low)) best = &part;
    return best != nullptr ? Place{best->inode, best->depth} : Place{of, 0};
  }
  std::uint64_t middle() const { return low + (high - low) / 2; }
  std::uint32_t next_index() const { return index + (1U << depth); }
  bool can_split(std::uint32_t ranks) const { return depth < depth_max && next_index() < ranks; }
};

}  // namespace benchfs
