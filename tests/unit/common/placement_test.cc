#include "common/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace benchfs {
namespace {

TEST(InodeNumber, RoundTrip) {
  for (const std::uint32_t rank : {0U, 1U, 4095U, ranks_max - 1})
    for (const std::uint64_t counter : {std::uint64_t{1}, std::uint64_t{77}, inode_counter_max}) {
      const std::uint64_t inode = make_inode(rank, counter);
      EXPECT_EQ(home_rank(inode), rank);
      EXPECT_EQ(inode_counter(inode), counter);
      EXPECT_EQ(inode >> 63, 0U);
      EXPECT_TRUE(valid_inode(inode, rank + 1));
      EXPECT_FALSE(valid_inode(inode, rank));
    }
  EXPECT_EQ(make_inode(0, 1), root_inode);
  EXPECT_EQ(make_inode(ranks_max - 1, inode_counter_max), UINT64_MAX >> 1);
}

TEST(InodeNumber, FromOutsideMayBeNone) {
  EXPECT_FALSE(valid_inode(0, ranks_max));
  EXPECT_FALSE(valid_inode(std::uint64_t{5} << inode_counter_bits, ranks_max));  // counter 0
  EXPECT_FALSE(valid_inode(std::uint64_t{1} << 63 | 1, ranks_max));
  EXPECT_FALSE(valid_inode(UINT64_MAX, ranks_max));
}

// Clients and servers of one instance must agree, whatever compiled them.
TEST(Hash, KnownValues) {
  EXPECT_EQ(hash_bytes(""), 0xef46db3751d8e999U);
  EXPECT_EQ(hash_bytes("abc"), 0x44bc2cf5ad770999U);
  EXPECT_EQ(name_hash(0, "abc"), hash_bytes("abc"));
  EXPECT_NE(name_hash(1, "abc"), name_hash(2, "abc"));
}

TEST(JumpHash, StaysInRange) {
  for (std::uint64_t key = 0; key < 1000; ++key) {
    EXPECT_EQ(jump_hash(key, 1), 0U);
    EXPECT_LT(jump_hash(key, 7), 7U);
  }
  EXPECT_LT(jump_hash(UINT64_MAX, ranks_max), ranks_max);
  EXPECT_LT(jump_hash(0, UINT32_MAX), UINT32_MAX);
}

TEST(JumpHash, IsBalanced) {
  constexpr std::uint32_t keys_per_rank = 2000;
  for (std::uint32_t ranks = 1; ranks <= 64; ++ranks) {
    std::vector<std::uint32_t> load(ranks);
    for (std::uint32_t i = 0; i < ranks * keys_per_rank; ++i)
      ++load[directory_rank(root_inode, "directory." + std::to_string(i), ranks)];
    // Five standard deviations of a fair draw, 5 x sqrt(2000).
    const auto [least, most] = std::minmax_element(load.begin(), load.end());
    EXPECT_GT(*least, keys_per_rank - 224) << ranks;
    EXPECT_LT(*most, keys_per_rank + 224) << ranks;
  }
}

TEST(JumpHash, OneBucketMoreTakesKeysAndMovesNoOthers) {
  constexpr std::uint32_t keys = 20000;
  for (std::uint32_t buckets = 1; buckets < 64; ++buckets) {
    std::uint32_t moved = 0;
    for (std::uint32_t i = 0; i < keys; ++i) {
      const std::uint64_t key = name_hash(i, "x");
      const std::uint32_t before = jump_hash(key, buckets);
      const std::uint32_t after = jump_hash(key, buckets + 1);
      if (before == after) continue;
      ASSERT_EQ(after, buckets);
      ++moved;
    }
    const double expected = static_cast<double>(keys) / (buckets + 1);
    EXPECT_NEAR(moved, expected, 0.3 * expected) << buckets;
  }
}

TEST(Stripe, NeighbouringChunksLieOnNeighbouringRanks) {
  for (const std::uint32_t ranks : {1U, 2U, 3U, 7U, 64U}) {
    for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{1} << 40, UINT64_MAX - 200}) {
      std::set<std::uint32_t> seen;
      for (std::uint64_t k = start; k < start + ranks; ++k) {
        const std::uint32_t rank = stripe_rank(make_inode(3, 99), k, ranks);
        ASSERT_LT(rank, ranks);
        EXPECT_EQ(stripe_rank(make_inode(3, 99), k + 1, ranks), (rank + 1) % ranks);
        seen.insert(rank);
      }
      EXPECT_EQ(seen.size(), ranks);
    }
  }
}

TEST(Stripe, FirstChunksOfManyFilesAreSpread) {
  constexpr std::uint32_t ranks = 16;
  std::vector<std::uint32_t> load(ranks);
  for (std::uint64_t i = 1; i <= ranks * 1000; ++i) ++load[stripe_rank(make_inode(0, i), 0, ranks)];
  const auto [least, most] = std::minmax_element(load.begin(), load.end());
  EXPECT_GT(*least, 850U);
  EXPECT_LT(*most, 1150U);
}

}  // namespace
}  // namespace benchfs
