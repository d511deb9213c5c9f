#include "common/placement.h"

#include <algorithm>

// Compiled in, so that nobody who places needs libxxhash.so.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace benchfs {

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  return XXH64(bytes.data(), bytes.size(), seed);
}

std::array<std::uint64_t, 2> hash_bytes_128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::uint64_t name_hash(std::uint64_t parent_inode, std::string_view name) {
  return hash_bytes(name, parent_inode);
}

std::uint64_t entry_cookie(std::uint64_t parent_inode, std::string_view name) {
  constexpr std::uint64_t first = 3;
  return std::max(first, name_hash(parent_inode, name) >> 1);
}

std::uint32_t jump_hash(std::uint64_t key, std::uint32_t buckets) {
  assert(buckets > 0);
  // Let the number of buckets grow from 1. A key that sits in `bucket` moves next when there are
  // `next` + 1 of them, and then into the newest: growing from n to n + 1 it moves with
  // probability 1 / (n + 1), so P(next >= m) = (bucket + 1) / m and one random number in (0, 1]
  // gives `next` by inversion. The random numbers are a generator seeded with the key.
  std::uint64_t random = key;
  std::uint64_t bucket = 0;
  for (std::uint64_t next = 0; next < buckets;) {
    bucket = next;
    random = random * 2862933555777941757U + 1;
    const double inverse =
        static_cast<double>(std::uint64_t{1} << 31) / static_cast<double>((random >> 33) + 1);
    next = static_cast<std::uint64_t>(static_cast<double>(bucket + 1) * inverse);
  }
  return static_cast<std::uint32_t>(bucket);
}

std::uint32_t stripe_rank(std::uint64_t inode, std::uint64_t chunk_index, std::uint32_t ranks) {
  assert(ranks > 0);
  char bytes[sizeof inode];
  __builtin_memcpy(bytes, &inode, sizeof inode);
  // Reduced one by one: their sum could wrap, and two neighbours would share a rank.
  return static_cast<std::uint32_t>(
      (hash_bytes({bytes, sizeof bytes}) % ranks + chunk_index % ranks) % ranks);
}

std::uint32_t directory_rank(std::uint64_t parent_inode, std::string_view name,
                             std::uint32_t ranks) {
  return jump_hash(name_hash(parent_inode, name), ranks);
}

}  // namespace benchfs
