#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// Two hosts with one rank each: every question crosses.
class Sizes : public testing::Test {
 protected:
  HostTable& table(std::uint32_t host) { return cluster_.node(host).table.at<HostTable>(); }
  SizeEntry& enter(std::uint32_t host, const wire::OpenReply& reply) {
    return cluster_.entry(reply, host);
  }
  int truncate(const std::string& path, std::uint64_t size) {
    wire::Truncate message{};
    message.where.flags = wire::WhereFlag::follow;
    message.size = size;
    return cluster_.at_path(message, path).error;
  }
  Cluster cluster_{{0, 1}};
};

TEST_F(Sizes, TheOnlyHostIsExactUntilAnotherOpens) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->exact, 1u);
  SizeEntry& on_a = enter(0, *a);
  raise_to(on_a.end, std::uint64_t{5000});
  const auto b = cluster_.open("f", O_RDWR, 1);
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->exact, 0u);
  EXPECT_EQ(on_a.exact.load(), 0u);
  EXPECT_EQ(b->attributes.size, 5000u);  // what A's writers had reached
}

// The leader is not needed for it.
TEST(Releases, OfFilesAtHomeAtAnotherRankOfTheHostAreItsOwn) {
  Cluster cluster({0, 0});
  std::string path = "f";
  ASSERT_EQ(cluster.make_directory("d0"), 0);
  for (int i = 0; home_rank(cluster.stat("d" + std::to_string(i))->inode) != 1; ++i)
    ASSERT_EQ(cluster.make_directory("d" + std::to_string(i + 1)), 0);
  for (int i = 0; i < 64 && path == "f"; ++i) {
    const std::string directory = "d" + std::to_string(i);
    if (home_rank(cluster.stat(directory)->inode) == 1) path = directory + "/f";
  }
  const auto opened = cluster.open(path, O_CREAT | O_RDWR, 0);
  ASSERT_TRUE(opened.ok());
  ASSERT_EQ(home_rank(opened->attributes.inode), 1u);
  SizeEntry& entry = cluster.entry(*opened, 0);
  Server& server = *cluster.node(0).server;
  cluster.node(0).stopped = true;
  server.table.undo_open(server.self, server.table.index_of(entry));
  EXPECT_TRUE(cluster.until([&] { return entry.inode == 0; }));
  cluster.node(0).stopped = false;
}

TEST_F(Sizes, AStatSeesWhatEitherHostWrote) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const auto b = cluster_.open("f", O_RDWR, 1);
  SizeEntry& on_a = enter(0, *a);
  SizeEntry& on_b = enter(1, *b);
  raise_to(on_b.end, std::uint64_t{700});
  EXPECT_EQ(cluster_.stat("f", true, 0)->size, 700u);
  raise_to(on_a.end, std::uint64_t{900});
  EXPECT_EQ(cluster_.stat("f", true, 1)->size, 900u);
}

TEST_F(Sizes, TruncationReachesEveryHostAndItsCachedDescriptors) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const auto b = cluster_.open("f", O_RDWR, 1);
  SizeEntry& on_a = enter(0, *a);
  SizeEntry& on_b = enter(1, *b);
  raise_to(on_b.end, std::uint64_t{200'000});
  const std::uint32_t generation = on_a.generation.load();
  ASSERT_EQ(truncate("f", 100), 0);
  EXPECT_EQ(on_a.end.load(), 100u);
  EXPECT_EQ(on_b.end.load(), 100u);
  EXPECT_EQ(on_b.floor.load(), 100u);
  EXPECT_EQ(on_a.frozen.load() + on_b.frozen.load(), 0u);
  EXPECT_GT(on_a.generation.load(), generation);
  EXPECT_EQ(cluster_.stat("f")->size, 100u);
  ASSERT_EQ(truncate("f", 300), 0);
  EXPECT_EQ(cluster_.stat("f")->size, 300u);
  EXPECT_EQ(truncate("f", std::uint64_t{1} << 63), EFBIG);
}

TEST_F(Sizes, ATruncationWaitsForAWriterAndNoWriterStartsMeanwhile) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  SizeEntry& on_a = enter(0, *a);
  HostTable& host = table(0);
  ProcessRecord* const record = host.record_of(cluster_.node(0).server->self, true);
  record->writing[0].store(host.index_of(on_a));
  raise_to(on_a.end, std::uint64_t{10});

  wire::Truncate message{};
  message.where = {.inode = a->attributes.inode, .path_bytes = 0, .flags = 0};
  const auto body = Cluster::body_of(message);
  std::optional<int> done;
  cluster_.spawn(wire::Op::truncate, body, &done);
  cluster_.settle();
  EXPECT_FALSE(done.has_value());
  EXPECT_EQ(on_a.frozen.load(), 1u);
  raise_to(on_a.end, std::uint64_t{5000});  // the writer publishes, then clears its word
  record->writing[0].store(0);
  while (!done.has_value()) cluster_.turn();
  EXPECT_EQ(*done, 0);
  EXPECT_EQ(on_a.end.load(), 0u);
  host.drop_record(cluster_.node(0).server->self, *record);
}

TEST_F(Sizes, TheLastCloseReportsTheSizeAndARemovedFileLosesItsChunks) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const std::vector<std::byte> data(64 << 10, std::byte{'x'});
  for (std::uint64_t k = 0; k < 4; ++k) {
    const std::uint32_t rank = stripe_rank(a->attributes.inode, k, 2);
    auto& node = cluster_.node(rank);
    const auto written =
        cluster_.run(node.store->write({a->attributes.inode, k}, 0, data), node.loop);
    ASSERT_TRUE(written.ok());
  }
  EXPECT_EQ(cluster_.chunk_files(), 4u);
  cluster_.close(*a, 0, 4 * data.size());
  EXPECT_EQ(cluster_.stat("f")->size, 4 * data.size());
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
}

TEST_F(Sizes, AProcessThatDiesGivesBackWhatItHadOpen) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  HostTable& host = table(0);
  const ProcessId dead = 0x7ffffff | std::uint64_t{1} << 32;
  ProcessRecord* const record = host.record_of(dead, true);
  const std::uint32_t slot = host.take_slot(dead, *record);
  SizeEntry& entry = enter(0, *a);
  raise_to(entry.end, std::uint64_t{4321});
  host.slots[slot].entry.store(host.index_of(entry));
  host.slots[slot].inode.store(a->attributes.inode);
  cluster_.node(0).keeper->process_ended(dead);
  cluster_.settle();
  EXPECT_EQ(record->process.load(), 0u);
  EXPECT_EQ(cluster_.stat("f")->size, 4321u);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_EQ(cluster_.inodes(), 1u);
}

TEST_F(Sizes, ReservationsAtTheEndDoNotOverlap) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const auto b = cluster_.open("f", O_RDWR, 1);
  enter(0, *a);
  enter(1, *b);
  const wire::Reserve more{.inode = a->attributes.inode, .bytes = 100};
  auto& node = cluster_.node(1);
  const auto first = cluster_.run(node.server->ask(0, more), node.loop);
  const auto second = cluster_.run(node.server->ask(0, more), node.loop);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->offset, 0u);
  EXPECT_EQ(second->offset, 100u);
}

// Messages of a host and the home that overtake each other.
TEST_F(Sizes, AReleaseThatComesAfterATruncationBringsNoOldSize) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  SizeEntry& on_a = enter(0, *a);
  raise_to(on_a.end, std::uint64_t{10});
  const wire::Release late{.inode = a->attributes.inode,
                           .session = on_a.session,
                           .tenure = on_a.tenure,
                           .end = 10,
                           .modified = 0,
                           .accessed = 0,
                           .opens = 1,
                           .undone = 0,
                           .flags = 0,
                           .stored = in_chunks};
  ASSERT_EQ(truncate("f", 0), 0);
  auto& node = cluster_.node(0);
  ASSERT_TRUE(cluster_.run(node.server->ask(0, late), node.loop).ok());
  EXPECT_EQ(cluster_.stat("f")->size, 0u);
}

TEST_F(Sizes, AReleaseThatOvertakesTheAnswerOfAnOpenKeepsTheSize) {
  const auto first = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const auto second = cluster_.open_undelivered("f", O_RDWR, 0);
  EXPECT_EQ(second->attributes.size, 0u);
  cluster_.close(*first, 0, 100);
  EXPECT_EQ(cluster_.deliver(*second, 0).end.load(), 100u);
  cluster_.close(*second, 0, 0);
  EXPECT_EQ(table(0).find(cluster_.node(0).server->self, first->attributes.inode, 0), 0u);
  EXPECT_EQ(cluster_.stat("f")->size, 100u);
}

TEST_F(Sizes, ARevocationWaitsForTheAnswerItOvertook) {
  const auto a = cluster_.open_undelivered("f", O_CREAT | O_RDWR, 0);
  EXPECT_EQ(a->exact, 1u);
  wire::Open again{};
  again.where = {.inode = root_inode, .path_bytes = 1, .flags = wire::WhereFlag::follow};
  again.flags = O_RDWR;
  std::optional<int> done;
  cluster_.spawn(wire::Op::open, Cluster::body_of(again, "f"), &done, 1);
  cluster_.settle();
  EXPECT_FALSE(done.has_value());
  SizeEntry& on_a = cluster_.deliver(*a, 0);
  while (!done.has_value()) cluster_.turn();
  EXPECT_EQ(*done, 0);
  EXPECT_EQ(on_a.exact.load(), 0u);
}

TEST_F(Sizes, ATruncationWaitsForTheAnswerItOvertook) {
  const auto made = cluster_.open("f", O_CREAT | O_RDWR, 0);
  cluster_.close(*made, 0, 5000);
  const auto a = cluster_.open_undelivered("f", O_RDWR, 0);
  EXPECT_EQ(a->attributes.size, 5000u);
  wire::Truncate message{};
  message.where = {.inode = a->attributes.inode, .path_bytes = 0, .flags = 0};
  std::optional<int> done;
  cluster_.spawn(wire::Op::truncate, Cluster::body_of(message), &done);
  cluster_.settle();
  EXPECT_FALSE(done.has_value());
  SizeEntry& on_a = cluster_.deliver(*a, 0);
  while (!done.has_value()) cluster_.turn();
  EXPECT_EQ(on_a.end.load(), 0u);
  EXPECT_EQ(on_a.frozen.load(), 0u);
}

}  // namespace
}  // namespace benchfs
