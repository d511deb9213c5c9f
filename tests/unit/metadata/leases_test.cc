#include "daemon/metadata/leases.h"

#include <gtest/gtest.h>

#include <optional>

namespace benchfs {
namespace {

class LeasesTest : public testing::Test {
 protected:
  void SetUp() override {
    leases_->on_recall = [this](std::uint32_t host) { recalled_from_.push_back(host); };
  }
  static wire::LeaseKey key(std::uint64_t i) { return wire::lease_key(i); }

  std::unique_ptr<Leases> leases_ = std::make_unique<Leases>();
  std::vector<std::uint32_t> recalled_from_;
};

TEST_F(LeasesTest, AChangeRecallsFromTheHostsThatHoldItAndFromNoOther) {
  ASSERT_TRUE(leases_->give(key(1), 3));
  ASSERT_TRUE(leases_->give(key(1), 5));
  ASSERT_TRUE(leases_->give(key(2), 7));
  EXPECT_FALSE(leases_->changing(key(9)));
  EXPECT_TRUE(leases_->changing(key(1)));
  EXPECT_EQ(recalled_from_, (std::vector<std::uint32_t>{3, 5}));
  EXPECT_EQ(leases_->take(3, 10), std::vector{key(1)});
  EXPECT_TRUE(leases_->take(7, 10).empty());
}

TEST_F(LeasesTest, NothingIsGivenUntilEveryHostHasDroppedIt) {
  leases_->give(key(1), 3);
  leases_->give(key(1), 5);
  leases_->changing(key(1));
  EXPECT_FALSE(leases_->give(key(1), 4));
  leases_->dropped({key(1)});
  EXPECT_TRUE(leases_->recalling(key(1)));
  EXPECT_TRUE(leases_->changing(key(1)));  // again, meanwhile
  leases_->dropped({key(1)});
  EXPECT_FALSE(leases_->recalling(key(1)));
}

TEST_F(LeasesTest, AWatchCollectsWhatWasChangedOrSeenBeingRecalledWhileItIs) {
  leases_->give(key(1), 3);
  leases_->give(key(2), 3);
  Leases::Watch before(*leases_);
  leases_->changing(key(1));
  leases_->take(3, 10);
  {
    Leases::Watch unconcerned(*leases_);
    leases_->reading(key(2));
    EXPECT_TRUE(unconcerned.end().empty());
  }
  Leases::Watch reader(*leases_);
  leases_->reading(key(1));
  leases_->reading(key(1));
  EXPECT_EQ(reader.end().size(), 1u);
  leases_->changing(key(2));
  EXPECT_EQ(before.end().size(), 2u);
}

TEST_F(LeasesTest, WhoWaitsGoesOnWhenTheLastHostHasDroppedIt) {
  EventLoop loop;
  leases_->give(key(1), 3);
  leases_->give(key(1), 5);
  Leases::Watch watch(*leases_);
  leases_->changing(key(1));
  Task<int> waiting = Leases::settled(loop, watch.end());
  waiting.start();
  leases_->dropped({key(1)});
  loop.turn(0);
  EXPECT_FALSE(waiting.done());
  leases_->dropped({key(1)});
  loop.turn(0);
  EXPECT_TRUE(waiting.done());
}

TEST_F(LeasesTest, WhatWasRecalledIsGivenAgainToTheSecondWhoAsksAfterAChange) {
  leases_->give(key(1), 3);
  leases_->changing(key(1));
  leases_->dropped({key(1)});
  EXPECT_FALSE(leases_->give(key(1), 3));
  leases_->changing(key(1));
  EXPECT_FALSE(leases_->give(key(1), 3));
  EXPECT_TRUE(leases_->give(key(1), 3));
}

TEST_F(LeasesTest, WhatAReadChangedIsGivenAgainAtOnce) {
  leases_->give(key(1), 3);
  EXPECT_TRUE(leases_->changing(key(1), false));
  leases_->dropped({key(1)});
  EXPECT_TRUE(leases_->give(key(1), 3));
}

TEST_F(LeasesTest, WhatChangesTogetherIsDroppedByAllBeforeAnybodyHearsOfAnyOfIt) {
  leases_->give(key(1), 3);
  leases_->give(key(2), 5);
  leases_->give(key(9), 3);
  leases_->changing(key(1));
  leases_->changing(key(2));
  leases_->dropped(leases_->take(3, 10));
  EXPECT_TRUE(leases_->recalling(key(1)));
  leases_->changing(key(9));  // later
  leases_->dropped(leases_->take(5, 10));
  EXPECT_FALSE(leases_->recalling(key(1)));
  EXPECT_FALSE(leases_->recalling(key(2)));
  EXPECT_TRUE(leases_->recalling(key(9)));
}

TEST_F(LeasesTest, ADeadHostHoldsNothingAndGetsANewEpoch) {
  leases_->give(key(1), 3);
  leases_->give(key(2), 3);
  leases_->give(key(2), 4);
  const std::uint64_t epoch = leases_->host(3).epoch;
  leases_->changing(key(1));
  leases_->host_died(3);
  EXPECT_FALSE(leases_->recalling(key(1)));
  EXPECT_GT(leases_->host(3).epoch, epoch);
  leases_->changing(key(2));
  EXPECT_EQ(leases_->take(4, 10), std::vector{key(2)});
  EXPECT_TRUE(leases_->take(3, 10).empty());
}

TEST_F(LeasesTest, OfTooManyTheOldestAreRecalled) {
  for (std::uint64_t i = 1; i <= Leases::keys_max + 2; ++i) ASSERT_TRUE(leases_->give(key(i), 3));
  EXPECT_EQ(leases_->keys(), Leases::keys_max);
  EXPECT_EQ(leases_->take(3, 10), (std::vector{key(1), key(2)}));
}

}  // namespace
}  // namespace benchfs
