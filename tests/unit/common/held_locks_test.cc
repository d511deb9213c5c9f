#include "common/held_locks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <random>

#include "common/shared_memory.h"

namespace benchfs {
namespace {

class HeldLocksTest : public testing::Test {
 protected:
  HeldLocksTest() {
    const auto memory = make_shared_memory("test-held", sizeof(HeldLocks));
    mapping_ = *Mapping::map(memory->get(), sizeof(HeldLocks));
  }
  static HeldBy by(std::uint64_t inode, std::uint64_t owner) {
    return {.inode = inode,
            .owner = owner,
            .owner_kind = wire::LockOwnerKind::process,
            .space = wire::LockSpace::ranges};
  }
  HeldLocks& held() { return mapping_.at<HeldLocks>(); }

  Mapping mapping_;
  const ProcessId self_ = process_id(::getpid());
};

TEST_F(HeldLocksTest, AreThereUntilTheyAreGivenUp) {
  EXPECT_FALSE(held().any(7));
  ASSERT_TRUE(held().set(self_, by(7, 1), {0, 99, wire::LockKind::shared}).ok());
  EXPECT_TRUE(held().any(7));
  EXPECT_TRUE(held().holds(self_, by(7, 1)));
  EXPECT_FALSE(held().holds(self_, by(7, 2)));
  ASSERT_TRUE(held().set(self_, by(7, 1), {10, 19, wire::LockKind::unlocked}).ok());
  EXPECT_EQ(held().used.load(), 2u);
  EXPECT_EQ(held().holders(self_), std::vector<HeldBy>{by(7, 1)});
  ASSERT_TRUE(held().set(self_, by(7, 1), {0, 99, wire::LockKind::unlocked}).ok());
  EXPECT_FALSE(held().any(7));
  EXPECT_EQ(held().used.load(), 0u);
}

TEST_F(HeldLocksTest, WaitsAreNoLocks) {
  const LockRange all{0, wire::lock_last_max, wire::LockKind::exclusive};
  ASSERT_TRUE(held().begin_wait(self_, by(7, 1), all, 3, 1000).ok());
  EXPECT_FALSE(held().holds(self_, by(7, 1)));
  EXPECT_TRUE(held().holders(self_).empty());
  const auto waits = held().waits_of(self_, 1);
  ASSERT_EQ(waits.size(), 1u);
  EXPECT_EQ(waits[0].inode, 7u);
  EXPECT_EQ(waits[0].rank, 3u);
  EXPECT_EQ(waits[0].ticket, 1000u);
  held().end_wait(self_, 7, 3, 999);
  EXPECT_EQ(held().waits_of(self_, 1).size(), 1u);
  held().end_wait(self_, 7, 3, 1000);
  EXPECT_TRUE(held().waits_of(self_, 1).empty());
  EXPECT_EQ(held().used.load(), 0u);
}

TEST_F(HeldLocksTest, AServersWaitsEndWithIt) {
  const LockRange all{0, wire::lock_last_max, wire::LockKind::exclusive};
  ASSERT_TRUE(held().set(self_, by(7, 1), all).ok());
  ASSERT_TRUE(held().begin_wait(self_, by(7, 1), all, 3, 1000).ok());
  ASSERT_TRUE(held().begin_wait(self_, by(8, 1), all, 2, 1000).ok());
  held().forget_waits(self_, 3);
  ASSERT_EQ(held().waits_of(self_, 1).size(), 1u);
  EXPECT_EQ(held().waits_of(self_, 1)[0].rank, 2u);
  EXPECT_TRUE(held().holds(self_, by(7, 1)));
}

TEST_F(HeldLocksTest, KeepsOwnersApartAndReusesEntries) {
  std::mt19937 random(1);
  std::array<LockRanges, 12> expected;
  for (int step = 0; step < 5000; ++step) {
    const std::uint64_t who = random() % expected.size();
    const std::uint64_t start = random() % 50;
    const LockRange range{start, start + random() % 20, wire::LockKind(random() % 3)};
    set_range(expected[who], range);
    ASSERT_TRUE(held().set(self_, by(1 + who % 3, who), range).ok());
  }
  std::size_t count = 0;
  std::array<LockRanges, 12> found;
  std::uint64_t cursor = 0;
  do {
    for (const wire::HeldLockOf& lock : held().page(self_, cursor, 5))
      found[lock.owner].push_back({lock.start, lock.last, lock.kind});
  } while (cursor != 0);
  for (std::size_t who = 0; who < expected.size(); ++who) {
    std::ranges::sort(found[who], {}, &LockRange::start);
    EXPECT_EQ(found[who], expected[who]) << who;
    count += expected[who].size();
  }
  EXPECT_EQ(held().used.load(), count);
  EXPECT_LT(held().high, 12 * 40u);
}

TEST_F(HeldLocksTest, AFullTableSaysSoAndStaysAsItWas) {
  std::uint64_t owner = 0;
  while (held().has_room())
    ASSERT_TRUE(held().set(self_, by(++owner, 1), {0, 0, wire::LockKind::shared}).ok());
  for (int more = 0; more < 4; ++more)
    static_cast<void>(held().set(self_, by(++owner, 1), {0, 0, wire::LockKind::shared}).ok());
  const std::uint32_t used = held().used.load();
  const Status full = held().set(self_, by(++owner, 1), {0, 0, wire::LockKind::shared});
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error(), Error(ENOLCK));
  EXPECT_EQ(held().used.load(), used);
  EXPECT_FALSE(held().holds(self_, by(owner, 1)));
}

}  // namespace
}  // namespace benchfs
