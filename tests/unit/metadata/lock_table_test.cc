// LockTable against a model that knows every byte.
#include "daemon/metadata/lock_table.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace benchfs {
namespace {

using wire::LockKind;
using wire::LockOwner;
using wire::LockOwnerKind;
using wire::LockSpace;

LockOwner owner(std::uint64_t id, std::uint32_t host = 0) {
  return {.id = id, .host = host, .kind = LockOwnerKind::process};
}
LockRange range(std::uint64_t start, std::uint64_t last, LockKind kind) {
  return {.start = start, .last = last, .kind = kind};
}
LockRange whole(LockKind kind) { return range(0, wire::lock_last_max, kind); }

TEST(LockRanges, SplitAndMerge) {
  LockRanges ranges;
  set_range(ranges, range(10, 19, LockKind::shared));
  set_range(ranges, range(20, 29, LockKind::shared));
  EXPECT_EQ(ranges, LockRanges{range(10, 29, LockKind::shared)});
  set_range(ranges, range(15, 24, LockKind::exclusive));
  EXPECT_EQ(ranges, (LockRanges{range(10, 14, LockKind::shared), range(15, 24, LockKind::exclusive),
                                range(25, 29, LockKind::shared)}));
  set_range(ranges, range(12, 26, LockKind::unlocked));
  EXPECT_EQ(ranges, (LockRanges{range(10, 11, LockKind::shared), range(27, 29, LockKind::shared)}));
  set_range(ranges, range(0, wire::lock_last_max, LockKind::unlocked));
  EXPECT_TRUE(ranges.empty());
}

TEST(LockRanges, ReachToTheLastByte) {
  LockRanges ranges;
  set_range(ranges, range(5, wire::lock_last_max, LockKind::shared));
  set_range(ranges, range(wire::lock_last_max, wire::lock_last_max, LockKind::exclusive));
  EXPECT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].last, wire::lock_last_max - 1);
}

TEST(LockTable, AnUpgradeThatFailsKeepsARangeAndLosesAWholeFile) {
  LockTable ranges(LockSpace::ranges);
  LockTable files(LockSpace::whole);
  for (LockTable* const table : {&ranges, &files}) {
    ASSERT_TRUE(table->lock(owner(1), whole(LockKind::shared)));
    ASSERT_TRUE(table->lock(owner(2), whole(LockKind::shared)));
    EXPECT_FALSE(table->lock(owner(1), whole(LockKind::exclusive)));
  }
  EXPECT_EQ(ranges.held(owner(1)).size(), 1u);
  EXPECT_TRUE(files.held(owner(1)).empty());
}

TEST(LockTable, GrantsInOrderOfArrivalAndReadersTogether) {
  LockTable table(LockSpace::whole);
  ASSERT_TRUE(table.lock(owner(1), whole(LockKind::exclusive)));
  const LockKind kinds[] = {LockKind::shared, LockKind::exclusive, LockKind::shared};
  for (std::uint64_t i = 0; i < 3; ++i)
    table.wait({.id = {0, i}, .owner = owner(10 + i), .range = whole(kinds[i]), .since = 1});
  EXPECT_TRUE(table.grant().empty());
  ASSERT_TRUE(table.lock(owner(1), whole(LockKind::unlocked)));
  // The second reader does not conflict with what is held, so the writer before it waits on.
  EXPECT_EQ(table.grant(), (std::vector<LockWaitId>{{0, 0}, {0, 2}}));
  EXPECT_EQ(table.conflicting(owner(11), whole(LockKind::exclusive)),
            (std::vector<LockOwner>{owner(10), owner(12)}));
  table.drop(owner(10));
  EXPECT_TRUE(table.grant().empty());
  table.drop(owner(12));
  EXPECT_EQ(table.grant(), (std::vector<LockWaitId>{{0, 1}}));
}

TEST(LockTable, AHostThatIsGoneLeavesNothing) {
  LockTable table(LockSpace::ranges);
  ASSERT_TRUE(table.lock(owner(1, 7), whole(LockKind::exclusive)));
  table.wait({.id = {0, 1}, .owner = owner(2), .range = whole(LockKind::shared), .since = 1});
  table.wait({.id = {7, 2}, .owner = owner(3, 7), .range = whole(LockKind::shared), .since = 1});
  EXPECT_EQ(table.drop_host(7), (std::vector<LockWaitId>{{7, 2}}));
  EXPECT_EQ(table.grant(), (std::vector<LockWaitId>{{0, 1}}));
  EXPECT_EQ(table.owners(), (std::vector<LockOwner>{owner(2)}));
}

// Every byte and every owner by itself.
class Model {
 public:
  static constexpr std::uint64_t bytes = 24;
  static constexpr std::uint64_t owners = 5;

  bool conflicts(std::uint64_t who, const LockRange& wanted) const {
    if (wanted.kind == LockKind::unlocked) return false;
    for (std::uint64_t other = 0; other < owners; ++other)
      for (std::uint64_t byte = wanted.start; other != who && byte <= wanted.last; ++byte)
        if (held_[other][byte] == LockKind::exclusive ||
            (held_[other][byte] == LockKind::shared && wanted.kind == LockKind::exclusive))
          return true;
    return false;
  }
  void set(std::uint64_t who, const LockRange& wanted) {
    for (std::uint64_t byte = wanted.start; byte <= wanted.last; ++byte)
      held_[who][byte] = wanted.kind;
  }
  LockKind at(std::uint64_t who, std::uint64_t byte) const { return held_[who][byte]; }
  LockRanges ranges(std::uint64_t who) const {
    LockRanges found;
    for (std::uint64_t byte = 0; byte < bytes; ++byte) {
      const LockKind kind = held_[who][byte];
      if (kind == LockKind::unlocked) continue;
      if (!found.empty() && found.back().last + 1 == byte && found.back().kind == kind)
        found.back().last = byte;
      else
        found.push_back(range(byte, byte, kind));
    }
    return found;
  }

 private:
  std::array<std::array<LockKind, bytes>, owners> held_{};
};

class LockTableModel : public testing::TestWithParam<LockSpace> {};

TEST_P(LockTableModel, AgreesAfterEveryStep) {
  const bool by_file = GetParam() == LockSpace::whole;
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    LockTable table(GetParam());
    Model model;
    struct Waiting {
      std::uint64_t ticket;
      std::uint64_t who;
      LockRange wanted;
    };
    std::vector<Waiting> waiting;
    std::uint64_t next_ticket = 0;
    for (int step = 0; step < 600; ++step) {
      const std::uint64_t who = below(Model::owners);
      const std::uint64_t a = below(Model::bytes), b = below(Model::bytes);
      const LockRange wanted = by_file ? range(0, Model::bytes - 1, LockKind(below(3)))
                                       : range(std::min(a, b), std::max(a, b), LockKind(below(3)));
      if (!waiting.empty() && below(8) == 0) {
        const std::size_t which = below(waiting.size());
        EXPECT_TRUE(table.withdraw({1, waiting[which].ticket}));
        EXPECT_FALSE(table.withdraw({1, waiting[which].ticket}));
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(which));
      } else if (below(20) == 0) {
        table.drop(owner(who));
        model.set(who, range(0, Model::bytes - 1, LockKind::unlocked));
      } else {
        EXPECT_EQ(table.conflict(owner(who), wanted).has_value(), model.conflicts(who, wanted));
        const bool unchanged = by_file && wanted.kind == model.at(who, 0);
        if (by_file && !unchanged) model.set(who, range(0, Model::bytes - 1, LockKind::unlocked));
        const bool expected = unchanged || !model.conflicts(who, wanted);
        ASSERT_EQ(table.lock(owner(who), wanted), expected);
        if (expected) {
          model.set(who, wanted);
        } else if (below(2) == 0) {
          waiting.push_back({++next_ticket, who, wanted});
          table.wait({.id = {1, next_ticket}, .owner = owner(who), .range = wanted, .since = step});
        }
      }
      std::vector<LockWaitId> expected_grants;
      for (bool again = true; again;) {
        again = false;
        std::erase_if(waiting, [&](const Waiting& one) {
          if (model.conflicts(one.who, one.wanted)) return false;
          model.set(one.who, one.wanted);
          expected_grants.push_back({1, one.ticket});
          return again = true;
        });
      }
      ASSERT_EQ(table.grant(), expected_grants);
      ASSERT_EQ(table.waits().size(), waiting.size());
      for (std::uint64_t each = 0; each < Model::owners; ++each)
        ASSERT_EQ(table.held(owner(each)), model.ranges(each)) << "owner " << each;
      for (const Waiting& one : waiting) {
        std::vector<LockOwner> in_the_way = table.conflicting(owner(one.who), one.wanted);
        EXPECT_FALSE(in_the_way.empty());
        EXPECT_EQ(std::ranges::count(in_the_way, owner(one.who)), 0);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Spaces, LockTableModel,
                         testing::Values(LockSpace::ranges, LockSpace::whole),
                         [](const auto& parameter) {
                           return parameter.param == LockSpace::ranges ? "ranges" : "whole";
                         });

}  // namespace
}  // namespace benchfs
