// What a home and a host's leader find out again about open files when either was started again.
#include "daemon/handlers/open_state.h"

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

class OpenStates : public testing::Test {
 protected:
  Server& server(std::uint32_t rank) { return *cluster_.node(rank).server; }
  Inode& inode_of(const wire::OpenReply& opened) {
    return *server(0).names.change(opened.attributes.inode);
  }
  // What rank 0's journal keeps of its open files: which hosts, in which session.
  void forget(const wire::OpenReply& opened) {
    OpenState& open = *inode_of(opened).open;
    open.exact_host = OpenState::nobody;
    for (OpenHost& host : open.hosts) host.opens = 0, host.tenure = 0;
  }
  void recover() {
    recover_open_state(server(0));
    EXPECT_TRUE(cluster_.until([&] { return !server(0).surveys.any(); }));
  }
  bool known(std::uint64_t inode) { return server(0).names.find(inode) != nullptr; }

  Cluster cluster_{{0, 1, 2}};
};

TEST_F(OpenStates, ARestartedHomeKnowsSizesAndWhoIsExactAgain) {
  const auto alone = cluster_.open("alone", O_CREAT | O_RDWR, 1);
  const auto shared = cluster_.open("shared", O_CREAT | O_RDWR, 1);
  const auto again = cluster_.open("shared", O_RDWR, 2);
  raise_to(cluster_.entry(*alone, 1).end, std::uint64_t{700});
  raise_to(cluster_.entry(*shared, 1).end, std::uint64_t{100});
  raise_to(cluster_.entry(*shared, 2).end, std::uint64_t{200});
  forget(*alone);
  forget(*shared);
  recover();
  EXPECT_EQ(inode_of(*alone).open->exact_host, 1U);
  EXPECT_EQ(inode_of(*shared).open->exact_host, OpenState::nobody);
  EXPECT_EQ(cluster_.stat("alone")->size, 700U);
  EXPECT_EQ(cluster_.stat("shared")->size, 200U);
  for (const auto* opened : {&*alone, &*shared}) cluster_.close(*opened, 1, 0);
  cluster_.close(*again, 2, 0);
  EXPECT_EQ(inode_of(*alone).open, nullptr);
  EXPECT_EQ(inode_of(*shared).open, nullptr);
  EXPECT_EQ(cluster_.stat("shared")->size, 200U);
}

TEST_F(OpenStates, ARestartedHomeRemovesOrphansWhenItKnowsThatNobodyHasThemOpen) {
  const auto held = cluster_.open("held", O_CREAT | O_RDWR, 1);
  const auto closed = cluster_.open_undelivered("closed", O_CREAT | O_RDWR, 2);  // the host died
  ASSERT_EQ(cluster_.unlink("held"), 0);
  ASSERT_EQ(cluster_.unlink("closed"), 0);
  forget(*held);
  forget(*closed);
  recover_open_state(server(0));
  EXPECT_TRUE(known(held->attributes.inode));  // nobody has answered yet
  EXPECT_TRUE(known(closed->attributes.inode));
  EXPECT_TRUE(cluster_.until([&] { return !server(0).surveys.any(); }));
  EXPECT_TRUE(known(held->attributes.inode));
  EXPECT_FALSE(known(closed->attributes.inode));
  cluster_.close(*held, 1, 0);
  EXPECT_FALSE(known(held->attributes.inode));
}

TEST_F(OpenStates, QuestionsThatDependOnAHostWaitForIt) {
  const auto opened = cluster_.open("f", O_CREAT | O_RDWR, 1);
  raise_to(cluster_.entry(*opened, 1).end, std::uint64_t{300});
  forget(*opened);
  recover_open_state(server(0));
  wire::Stat stat{};
  stat.where = {.inode = opened->attributes.inode, .path_bytes = 0, .flags = 0};
  std::optional<int> stated;
  cluster_.spawn(wire::Op::stat, Cluster::body_of(stat), &stated);
  wire::Open open{};
  open.where = stat.where;
  open.flags = O_RDWR;
  std::optional<int> granted;
  cluster_.spawn(wire::Op::open, Cluster::body_of(open), &granted, 1);
  EXPECT_FALSE(stated.has_value());
  EXPECT_FALSE(granted.has_value());
  EXPECT_TRUE(cluster_.until([&] { return stated.has_value() && granted.has_value(); }));
  EXPECT_EQ(*stated, 0);
  EXPECT_EQ(*granted, 0);
  EXPECT_EQ(inode_of(*opened).open->hosts.front().opens, 2U);
}

// A truncation that died with its home had stopped the writers.
TEST_F(OpenStates, WritersThatADeadHomeStoppedGoOn) {
  const auto opened = cluster_.open("f", O_CREAT | O_RDWR, 1);
  SizeEntry& entry = cluster_.entry(*opened, 1);
  raise_to(entry.end, std::uint64_t{300});
  entry.frozen.store(1);
  const std::uint32_t generation = entry.generation.load();
  forget(*opened);
  recover();
  EXPECT_EQ(entry.frozen.load(), 0U);
  EXPECT_EQ(entry.end.load(), 300U);
  EXPECT_NE(entry.generation.load(), generation);  // it may have cut some chunks
  EXPECT_GT(entry.session, opened->session);
  EXPECT_EQ(inode_of(*opened).open->hosts.front().session, entry.session);
}

// The answer to the second open died with the leader that was to deliver it.
TEST_F(OpenStates, OpensThatARestartedLeaderNeverGotAreNotCountedForEver) {
  const auto opened = cluster_.open("f", O_CREAT | O_RDWR, 1);
  const auto lost = cluster_.open_undelivered("f", O_RDWR, 1);
  ASSERT_TRUE(lost.ok());
  EXPECT_EQ(inode_of(*opened).open->hosts.front().opens, 2U);
  leader_restarted(server(0), 1);
  EXPECT_TRUE(cluster_.until([&] { return !server(0).surveys.any(); }));
  EXPECT_EQ(inode_of(*opened).open->hosts.front().opens, 1U);
  cluster_.close(*opened, 1, 0);
  EXPECT_EQ(inode_of(*opened).open, nullptr);
}

// Releases are repeated when a connection is lost.
TEST_F(OpenStates, AReleaseThatIsRepeatedClosesNothingElse) {
  const auto first = cluster_.open("f", O_CREAT | O_RDWR, 1);
  const wire::Release release{.inode = first->attributes.inode,
                              .session = first->session,
                              .tenure = first->tenure,
                              .end = 0,
                              .modified = 0,
                              .accessed = 0,
                              .opens = 1,
                              .undone = 0,
                              .flags = 0,
                              .stored = in_chunks};
  auto& node = cluster_.node(1);
  const auto closed = cluster_.run(node.server->ask(0, release), node.loop);
  ASSERT_TRUE(closed.ok());
  EXPECT_EQ(closed->opens, 0U);
  const auto second = cluster_.open_undelivered("f", O_RDWR, 1);
  EXPECT_GT(second->tenure, first->tenure);
  const auto repeated = cluster_.run(node.server->ask(0, release), node.loop);
  ASSERT_TRUE(repeated.ok());
  EXPECT_EQ(repeated->opens, 0U);
  EXPECT_EQ(inode_of(*first).open->hosts.front().opens, 1U);
  SizeEntry& entry = cluster_.deliver(*second, 1);
  EXPECT_EQ(entry.granted, 1U);  // of the new tenure
  server(1).table.undo_open(server(1).self, server(1).table.index_of(entry));
  EXPECT_TRUE(cluster_.until([&] { return inode_of(*first).open != nullptr; }));
}

TEST_F(OpenStates, AllThatAHostHoldsIsSaidInSeveralAnswers) {
  std::vector<wire::OpenReply> opened;
  for (int i = 0; i < 800; ++i)
    opened.push_back(*cluster_.open("f" + std::to_string(i), O_CREAT | O_RDWR, 1));
  for (const auto& one : opened) forget(one);
  recover();
  for (const auto& one : opened) {
    ASSERT_NE(inode_of(one).open, nullptr);
    EXPECT_EQ(inode_of(one).open->hosts.front().opens, 1U);
    EXPECT_EQ(inode_of(one).open->hosts.front().tenure, one.tenure);
  }
}

}  // namespace
}  // namespace benchfs
