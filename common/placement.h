// Placement: which rank holds what. Servers and clients compute it alike from numbers and names,
// so nobody has to ask. Needs nothing but libc: the preloaded library uses it too.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <string_view>

namespace benchfs {

// An inode number: top bit 0, 20 bits home rank, 43 bits counter. Whoever holds one knows its home.
// Counter 0 is never given out, so 0 is no inode number.
inline constexpr int inode_counter_bits = 43;
inline constexpr int inode_rank_bits = 20;
inline constexpr std::uint32_t ranks_max = 1U << inode_rank_bits;
inline constexpr std::uint64_t inode_counter_max = (std::uint64_t{1} << inode_counter_bits) - 1;

constexpr std::uint64_t make_inode(std::uint32_t rank, std::uint64_t counter) {
  assert(rank < ranks_max && counter > 0 && counter <= inode_counter_max);
  return std::uint64_t{rank} << inode_counter_bits | counter;
}
constexpr std::uint32_t home_rank(std::uint64_t inode) {
  return static_cast<std::uint32_t>(inode >> inode_counter_bits) & (ranks_max - 1);
}
constexpr std::uint64_t inode_counter(std::uint64_t inode) { return inode & inode_counter_max; }

// Whether this could be an inode number of an instance with so many ranks: for numbers from
// outside.
constexpr bool valid_inode(std::uint64_t inode, std::uint32_t ranks) {
  return inode >> (inode_counter_bits + inode_rank_bits) == 0 && inode_counter(inode) != 0 &&
         home_rank(inode) < ranks;
}

inline constexpr std::uint64_t root_inode = 1;
static_assert(root_inode == make_inode(0, 1));

// xxHash64.
std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed = 0);

std::array<std::uint64_t, 2> hash_bytes_128(std::string_view bytes);  // XXH3

std::uint64_t name_hash(std::uint64_t parent_inode, std::string_view name);

// The place of a name in its directory's listing: positive as a long, for telldir; 1 and 2 are "."
// and "..".
std::uint64_t entry_cookie(std::uint64_t parent_inode, std::string_view name);
inline constexpr int cookie_bits = 63;
inline constexpr std::uint64_t cookies_end = std::uint64_t{1} << cookie_bits;

// Jump consistent hash (Lamping and Veach, 2014): balanced without a table, and with one bucket
// more only the keys that go into the new bucket move. `buckets` must not be 0.
std::uint32_t jump_hash(std::uint64_t key, std::uint32_t buckets);

// The rank that holds a chunk of a striped file: neighbouring chunks lie on neighbouring ranks.
std::uint32_t stripe_rank(std::uint64_t inode, std::uint64_t chunk_index, std::uint32_t ranks);

// The rank where a new directory gets its inode.
std::uint32_t directory_rank(std::uint64_t parent_inode, std::string_view name,
                             std::uint32_t ranks);

}  // namespace benchfs
