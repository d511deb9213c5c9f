#include "client-preload/fs/part_cache.h"

#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::uint32_t depth_max = 20;  // as many parts as there can be ranks

bool is_name(std::string_view name) { return !name.empty() && name != "." && name != ".."; }

std::uint64_t key_of(std::uint64_t directory, std::uint32_t depth, std::uint64_t cookie) {
  const std::array<std::uint64_t, 3> words = {directory, depth,
                                              cookie >> (cookie_bits - static_cast<int>(depth))};
  return hash_bytes({reinterpret_cast<const char*>(words.data()), sizeof words});
}

}  // namespace

std::uint64_t PartCache::look_up(std::uint64_t directory, std::string_view name) const {
  if (!is_name(name)) return directory;
  const std::uint64_t cookie = entry_cookie(directory, name);
  for (std::uint32_t depth = deepest_.load(std::memory_order_relaxed); depth > 0; --depth) {
    const std::uint64_t key = key_of(directory, depth, cookie);
    const Slot& slot = slots_[key % slots];
    const std::uint64_t part = slot.part.load(std::memory_order_relaxed);
    if (part != 0 && (part ^ slot.check.load(std::memory_order_relaxed)) == key) return part;
  }
  return directory;
}

void PartCache::learn(const wire::PartHint& hint, std::string_view name, std::uint64_t part) {
  if (hint.depth == 0 || hint.depth > depth_max || !is_name(name)) return;
  const std::uint64_t key = key_of(hint.directory, hint.depth, entry_cookie(hint.directory, name));
  Slot& slot = slots_[key % slots];
  slot.part.store(part, std::memory_order_relaxed);
  slot.check.store(part ^ key, std::memory_order_relaxed);
  std::uint32_t deepest = deepest_.load(std::memory_order_relaxed);
  while (deepest < hint.depth && !deepest_.compare_exchange_weak(deepest, hint.depth)) {
  }
}

}  // namespace benchfs
