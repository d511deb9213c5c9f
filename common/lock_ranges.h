// The byte ranges that one owner has locked in one file: sorted, disjoint, neighbours of one kind
// merged. Used by the home, which decides, and by the host, which remembers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/wire.h"

namespace benchfs {

struct LockRange {
  std::uint64_t start;
  std::uint64_t last;  // the last byte itself
  wire::LockKind kind;

  bool overlaps(const LockRange& other) const { return start <= other.last && other.start <= last; }
  friend bool operator==(const LockRange&, const LockRange&) = default;
};
using LockRanges = std::vector<LockRange>;

// Makes [range.start, range.last] what range.kind says, whatever was there: splits what it covers
// in part, and merges.
inline void set_range(LockRanges& ranges, const LockRange& range) {
  LockRanges result;
  result.reserve(ranges.size() + 2);
  const auto add = [&](const LockRange& next) {
    if (next.kind == wire::LockKind::unlocked) return;
    if (!result.empty() && result.back().kind == next.kind && result.back().last + 1 == next.start)
      result.back().last = next.last;
    else
      result.push_back(next);
  };
  bool added = false;
  const auto add_range = [&] {
    if (!added) add(range);
    added = true;
  };
  for (const LockRange& old : ranges) {
    if (old.last < range.start) {
      add(old);
    } else if (old.start > range.last) {
      add_range();
      add(old);
    } else {
      if (old.start < range.start) add({old.start, range.start - 1, old.kind});
      add_range();
      if (old.last > range.last) add({range.last + 1, old.last, old.kind});
    }
  }
  add_range();
  ranges = std::move(result);
}

}  // namespace benchfs
