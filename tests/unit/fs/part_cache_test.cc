#include "client-preload/fs/part_cache.h"

#include <gtest/gtest.h>

#include <string>

#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::uint64_t directory = 5;

// The bits of a name's cookie, the highest first.
std::uint64_t prefix(std::uint64_t of, std::string_view name, int depth) {
  return entry_cookie(of, name) >> (cookie_bits - depth);
}
std::string name(int i) { return "name" + std::to_string(i); }

wire::PartHint hint(std::uint64_t of, std::uint32_t depth) {
  return {.directory = of, .depth = depth, .reserved = 0};
}

TEST(PartCache, KnowsNothingOfDirectoriesThatWereNotSplit) {
  PartCache cache;
  EXPECT_EQ(cache.find(directory, "a"), directory);
  cache.learn(hint(directory, 1), "a", 70);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(cache.find(directory + 1, name(i)), directory + 1);
}

TEST(PartCache, SendsNamesWhereOneOfTheirPartWasFound) {
  PartCache cache;
  cache.learn(hint(directory, 2), name(0), 70);
  for (int i = 0; i < 100; ++i) {
    const bool same = prefix(directory, name(i), 2) == prefix(directory, name(0), 2);
    EXPECT_EQ(cache.find(directory, name(i)), same ? 70 : directory) << i;
  }
}

TEST(PartCache, TakesTheSmallestPartThatItKnows) {
  PartCache cache;
  cache.learn(hint(directory, 1), name(0), 70);
  cache.learn(hint(directory, 3), name(0), 71);
  int in_both = 0, in_one = 0;
  for (int i = 0; i < 100; ++i) {
    std::uint64_t wanted = directory;
    if (prefix(directory, name(i), 1) == prefix(directory, name(0), 1)) wanted = 70;
    if (prefix(directory, name(i), 3) == prefix(directory, name(0), 3)) wanted = 71;
    in_one += wanted == 70 ? 1 : 0;
    in_both += wanted == 71 ? 1 : 0;
    EXPECT_EQ(cache.find(directory, name(i)), wanted) << i;
  }
  EXPECT_GT(in_one, 0);
  EXPECT_GT(in_both, 0);
}

TEST(PartCache, DotsAreTheDirectorys) {
  PartCache cache;
  for (int i = 0; i < 64; ++i)
    cache.learn(hint(directory, 1), name(i), 70 + prefix(directory, name(i), 1));
  for (const char* const dots : {"", ".", ".."}) EXPECT_EQ(cache.find(directory, dots), directory);
}

TEST(PartCache, DoesNotBelieveDepthsThatCannotBe) {
  PartCache cache;
  for (const std::uint32_t depth : {0u, 21u, 64u, UINT32_MAX})
    cache.learn(hint(directory, depth), "a", 70);
  EXPECT_EQ(cache.find(directory, "a"), directory);
}

}  // namespace
}  // namespace benchfs
