// PartCache: where names of directories that were split were found, so that the next request for
// such a name goes there at once. Only guesses: a server that is asked for a name it does not hold
// sends on. Any thread; no lock, so that fork may come at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "common/wire.h"

namespace benchfs {

class PartCache {
 public:
  // The inode to ask about the name instead of the directory's, or the directory's.
  std::uint64_t find(std::uint64_t directory, std::string_view name) const {
    if (deepest_.load(std::memory_order_relaxed) == 0) [[likely]]
      return directory;
    return look_up(directory, name);
  }
  // The name was said to be in `part`.
  void learn(const wire::PartHint& hint, std::string_view name, std::uint64_t part);

 private:
  // Both words are written one after the other; a reader that gets them of two writes sees that
  // they do not belong together.
  struct Slot {
    std::atomic<std::uint64_t> part{0};
    std::atomic<std::uint64_t> check{0};  // part ^ key
  };
  static constexpr std::size_t slots = 1024;

  std::uint64_t look_up(std::uint64_t directory, std::string_view name) const;

  std::array<Slot, slots> slots_{};
  std::atomic<std::uint32_t> deepest_{0};  // of all hints
};

}  // namespace benchfs
