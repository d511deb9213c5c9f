#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// Two hosts with a rank each; what is looked at is at home on rank 0, by clients of host 1.
class LeaseTest : public testing::Test {
 protected:
  const LeasedView& held() { return cluster_.node(1).leased.at<LeasedView>(); }
  std::optional<ViewInode> inode(std::uint64_t number) {
    return held().read(0, [&](const HostView& view) { return view.inode(number); });
  }
  std::optional<ViewEntry> entry(std::string_view name) {
    return held().read(0, [&](const HostView& view) { return view.entry(root_inode, name); });
  }
  // Twice, as what was recalled is leased to the second who asks.
  void look(const std::string& path) {
    for (int i = 0; i < 2; ++i) static_cast<void>(cluster_.stat(path, true, 1).ok());
  }
  static std::vector<std::byte> mode_of(std::string_view name, std::uint32_t mode) {
    wire::SetAttributes message{};
    message.where = {
        .inode = root_inode, .path_bytes = static_cast<std::uint32_t>(name.size()), .flags = 0};
    message.valid = wire::valid_mode;
    message.mode = mode;
    return Cluster::body_of(message, name);
  }
  static std::vector<std::byte> stat_of(std::string_view name) {
    wire::Stat message{};
    message.where = {
        .inode = root_inode, .path_bytes = static_cast<std::uint32_t>(name.size()), .flags = 0};
    return Cluster::body_of(message, name);
  }
  int change_mode(const std::string& name, std::uint32_t mode) {
    return cluster_.ask(wire::Op::set_attributes, 0, 0, mode_of(name, mode)).error;
  }

  Cluster cluster_{{0, 1}};
};

TEST_F(LeaseTest, WhatAnotherHostLookedAtIsShownThereUntilItChanges) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  EXPECT_FALSE(entry("f").has_value());
  look("f");
  const std::uint64_t number = cluster_.stat("f")->inode;
  ASSERT_TRUE(entry("f").has_value());
  EXPECT_EQ(entry("f")->inode, number);
  ASSERT_TRUE(inode(number).has_value());
  EXPECT_EQ(inode(number)->mode, S_IFREG | 0644);
  ASSERT_TRUE(inode(root_inode).has_value());

  ASSERT_EQ(change_mode("f", 0600), 0);
  EXPECT_FALSE(inode(number).has_value());
  EXPECT_TRUE(entry("f").has_value());  // the name is what it was
  look("f");
  EXPECT_EQ(inode(number)->mode, S_IFREG | 0600);
}

TEST_F(LeaseTest, ANameThatIsMissingIsLeasedUntilItIsMade) {
  look("later");
  ASSERT_TRUE(entry("later").has_value());
  EXPECT_EQ(entry("later")->inode, 0u);
  ASSERT_EQ(cluster_.make_file("later"), 0);
  EXPECT_FALSE(entry("later").has_value());
  EXPECT_FALSE(inode(root_inode).has_value());  // its times have changed
  look("later");
  EXPECT_NE(entry("later")->inode, 0u);
  ASSERT_EQ(cluster_.unlink("later"), 0);
  EXPECT_FALSE(entry("later").has_value());
}

TEST_F(LeaseTest, ARenameIsSeenAtBothNames) {
  ASSERT_EQ(cluster_.make_file("old"), 0);
  look("old");
  look("new");
  ASSERT_TRUE(entry("old").has_value() && entry("new").has_value());
  ASSERT_EQ(cluster_.rename("old", "new"), 0);
  EXPECT_FALSE(entry("old").has_value());
  EXPECT_FALSE(entry("new").has_value());
}

TEST_F(LeaseTest, TheAnswerOfAChangeAndOfWhoSeesItWaitForTheHostThatHoldsALease) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  ASSERT_EQ(cluster_.make_file("other"), 0);
  const std::uint64_t number = cluster_.stat("f")->inode;
  look("f");
  cluster_.node(1).stopped = true;
  std::optional<int> changed;
  std::optional<int> seen;
  std::optional<int> unconcerned;
  cluster_.spawn(wire::Op::set_attributes, mode_of("f", 0600), &changed);
  cluster_.settle();
  cluster_.spawn(wire::Op::stat, stat_of("f"), &seen);
  cluster_.spawn(wire::Op::stat, stat_of("other"), &unconcerned);
  cluster_.settle();
  EXPECT_FALSE(changed.has_value());
  EXPECT_FALSE(seen.has_value());
  EXPECT_EQ(unconcerned, std::optional(0));
  const HostView& own = cluster_.node(0).view.at<HostView>();
  EXPECT_FALSE(own.inode(number).has_value());
  cluster_.node(1).stopped = false;
  EXPECT_TRUE(cluster_.until([&] { return changed.has_value() && seen.has_value(); }));
  EXPECT_EQ(*changed, 0);
  EXPECT_EQ(*seen, 0);
}

TEST_F(LeaseTest, OpeningForReadingLeavesLeasesAndForWritingDoesNot) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const std::uint64_t number = cluster_.stat("f")->inode;
  look("f");
  const auto reader = cluster_.open("f", O_RDONLY, 0);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(inode(number).has_value());
  const auto writer = cluster_.open("f", O_WRONLY, 0);
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE(inode(number).has_value());
  look("f");
  EXPECT_FALSE(inode(number).has_value());  // its size is the writers'
  EXPECT_TRUE(entry("f").has_value());
  Server& server = *cluster_.node(0).server;
  server.table.undo_open(server.self, server.table.index_of(cluster_.entry(*reader, 0)));
  cluster_.close(*writer, 0, 100);
  look("f");
  ASSERT_TRUE(inode(number).has_value());
  EXPECT_EQ(inode(number)->size(), 100u);
}

TEST_F(LeaseTest, ARemovedDirectoryIsNoLongerShown) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  const std::uint64_t number = cluster_.stat("d")->inode;
  look("d");
  look("d/x");
  const std::uint32_t home = home_rank(number);
  if (home == 0) {
    ASSERT_TRUE(inode(number).has_value());
  }
  ASSERT_EQ(cluster_.remove_directory("d"), 0);
  EXPECT_FALSE(entry("d").has_value());
  EXPECT_FALSE(inode(number).has_value());
}

TEST_F(LeaseTest, AHomeThatHasForgottenItsLeasesMakesAllHostsDropThem) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  look("f");
  ASSERT_TRUE(entry("f").has_value());
  auto& node = cluster_.node(0);
  EXPECT_EQ(cluster_.run(node.server->recall_everything(), node.loop), 0);
  EXPECT_FALSE(entry("f").has_value());
  look("f");
  EXPECT_TRUE(entry("f").has_value());
}

TEST_F(LeaseTest, WhoWritesAFileThatAnotherHostReadsKnowsItsSize) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const auto reader = cluster_.open("f", O_RDONLY, 1);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->exact, 1u);
  const auto writer = cluster_.open("f", O_WRONLY, 0);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(writer->exact, 1u);
  EXPECT_EQ(cluster_.entry(*reader, 1).exact.load(), 0u);
  raise_to(cluster_.entry(*writer, 0).end, std::uint64_t{77});
  EXPECT_EQ(cluster_.stat("f", true, 1)->size, 77u);
  cluster_.close(*reader, 1);
  cluster_.close(*writer, 0, 99);
  EXPECT_EQ(cluster_.stat("f", true, 1)->size, 99u);
}

// Its clients may still read what it shows, but no longer take it for good.
TEST(Leases, OfAHostThatDoesNotAnswerEndBeforeItIsTakenForDead) {
  Cluster cluster({0, 1}, 400);
  ASSERT_EQ(cluster.make_file("f"), 0);
  ASSERT_TRUE(cluster.stat("f", true, 1).ok());
  ASSERT_TRUE(cluster.stat("f", true, 1).ok());
  const auto& held = cluster.node(1).leased.at<LeasedView>();
  const std::uint64_t epoch = cluster.node(0).server->names.leases().host(1).epoch;
  const auto entry = [&] {
    return held.read(0, [](const HostView& view) { return view.entry(root_inode, "f"); });
  };
  ASSERT_TRUE(entry().has_value());
  cluster.node(1).stopped = true;
  wire::Unlink message{};
  message.where = {.inode = root_inode, .path_bytes = 1, .flags = 0};
  std::optional<int> done;
  cluster.spawn(wire::Op::unlink, Cluster::body_of(message, "f"), &done);
  while (!done.has_value()) {
    cluster.turn();
    if (done.has_value()) {
      EXPECT_FALSE(entry().has_value());
    }
  }
  EXPECT_EQ(*done, 0);
  EXPECT_GT(cluster.node(0).server->names.leases().host(1).epoch, epoch);
  EXPECT_TRUE(held.view.entry(root_inode, "f").has_value());  // it has not heard of anything
  cluster.node(1).stopped = false;
  // The first answer it gets says that all it holds is void.
  EXPECT_TRUE(cluster.until([&] { return cluster.stat("", true, 1).ok(); }));
  EXPECT_FALSE(held.view.entry(root_inode, "f").has_value());
}

class LeaseHolderTest : public testing::Test {
 protected:
  LeaseHolderTest() {
    descriptor_ = *make_shared_memory("test-leases", sizeof(LeasedView));
    memory_ = *Mapping::map(descriptor_.get(), sizeof(LeasedView));
    holder_ = std::make_unique<LeaseHolder>(view(), 4);
  }
  LeasedView& view() { return memory_.at<LeasedView>(); }
  bool shows(std::string_view name) {
    return view().read(0, [&](const HostView& v) { return v.entry(root_inode, name); }).has_value();
  }
  static std::vector<std::byte> list(std::uint64_t epoch, std::uint64_t number,
                                     std::string_view name) {
    const wire::Lease lease{.directory = root_inode,
                            .inode = 7,
                            .type = S_IFREG,
                            .name_bytes = static_cast<std::uint32_t>(name.size())};
    auto bytes = Cluster::body_of(lease, name);
    const wire::LeaseList tail{.epoch = epoch,
                               .number = number,
                               .good_ms = 60'000,
                               .bytes = static_cast<std::uint32_t>(bytes.size())};
    const auto end = wire::bytes_of(tail);
    bytes.insert(bytes.end(), end.begin(), end.end());
    return bytes;
  }
  Status take(std::uint64_t epoch, std::uint64_t number, std::string_view name) {
    auto bytes = list(epoch, number, name);
    return holder_->take(0, sys::now_ns(), bytes);
  }
  void recall(std::uint64_t epoch, std::uint64_t number, std::string_view name) {
    const std::array keys{wire::lease_key(root_inode, name)};
    holder_->recall(0, {.epoch = epoch, .number = number, .count = 1, .all = 0}, keys);
  }

  Fd descriptor_;
  Mapping memory_;
  std::unique_ptr<LeaseHolder> holder_;
};

TEST_F(LeaseHolderTest, ShowsNoLeaseThatWasOnItsWayWhenItWasRecalled) {
  recall(1, 5, "f");
  ASSERT_TRUE(take(1, 4, "f").ok());
  EXPECT_FALSE(shows("f"));
  ASSERT_TRUE(take(1, 4, "g").ok());
  EXPECT_TRUE(shows("g"));
  ASSERT_TRUE(take(1, 5, "f").ok());
  EXPECT_TRUE(shows("f"));
}

TEST_F(LeaseHolderTest, ShowsNoLeaseSoOldThatItCannotBeJudged) {
  for (std::uint64_t i = 2; i < 3000; ++i) recall(1, i, "n" + std::to_string(i));
  ASSERT_TRUE(take(1, 1, "f").ok());
  EXPECT_FALSE(shows("f"));
  ASSERT_TRUE(take(1, 2999, "f").ok());
  EXPECT_TRUE(shows("f"));
}

TEST_F(LeaseHolderTest, DropsAllWhenTheHomeBeginsANewEpochAndTakesNothingOfAnOldOne) {
  ASSERT_TRUE(take(1, 0, "f").ok());
  ASSERT_TRUE(take(2, 0, "g").ok());
  EXPECT_FALSE(shows("f"));
  EXPECT_TRUE(shows("g"));
  ASSERT_TRUE(take(1, 9, "f").ok());
  EXPECT_FALSE(shows("f"));
}

TEST_F(LeaseHolderTest, UsesNothingOfAHomeThatIsLostUntilItAnswersAgain) {
  ASSERT_TRUE(take(1, 0, "f").ok());
  holder_->lost(0);
  EXPECT_FALSE(shows("f"));
  ASSERT_TRUE(take(1, 0, "g").ok());
  EXPECT_TRUE(shows("f"));
}

TEST_F(LeaseHolderTest, WhoStartsAgainHoldsNothing) {
  ASSERT_TRUE(take(1, 0, "f").ok());
  view().reset(descriptor_.get(), 4);
  EXPECT_FALSE(shows("f"));
  EXPECT_FALSE(view().view.entry(root_inode, "f").has_value());
}

TEST_F(LeaseHolderTest, RefusesListsThatDoNotParse) {
  std::vector<std::byte> nothing(10);
  EXPECT_FALSE(holder_->take(0, sys::now_ns(), nothing).ok());
  auto longer = list(1, 0, "f");
  longer[longer.size() - 4] = std::byte{200};  // more bytes than there are
  EXPECT_FALSE(holder_->take(0, sys::now_ns(), longer).ok());
  auto torn = list(1, 0, "f");
  torn[20] = std::byte{99};  // a name longer than the list
  EXPECT_FALSE(holder_->take(0, sys::now_ns(), torn).ok());
}

}  // namespace
}  // namespace benchfs
