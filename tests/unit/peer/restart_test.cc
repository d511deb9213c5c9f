// Peers that are started again: what was asked of the dead one is asked of its successor.
#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

class Restarts : public Cluster {
 protected:
  // As a process that is killed: nothing is said to anybody, and what it was at never goes on.
  void kill(std::size_t rank) {
    nodes[rank]->channel.reset();
    static auto* const dead = new std::vector<Node*>;
    dead->push_back(nodes[rank].release());
  }
  void start_again(std::uint32_t rank, std::uint32_t incarnation, bool greets = true) {
    nodes[rank] = std::make_unique<Node>(options_);
    addresses[rank] = nodes[rank]->address();
    PeerIdentity self = identity(rank, static_cast<std::uint32_t>(nodes.size()));
    self.incarnation = incarnation;
    nodes[rank]->start(self, addresses);
    if (greets) nodes[rank]->channel->greet_all();
  }
  // `rank` is asked for what it holds until it is told to let go.
  Task<Result<PeerReply>> held_call(std::size_t from, std::uint32_t to) {
    auto task = nodes[from]->channel->call(to, ask(What::hold));
    task.start();
    EXPECT_TRUE(drive([&] { return !nodes[to]->held.empty(); }));
    return task;
  }
  bool answer_held(std::size_t rank) {
    if (!drive([&] { return !nodes[rank]->held.empty(); })) return false;
    PeerCall call = std::move(nodes[rank]->held.back());
    nodes[rank]->held.clear();
    const std::string text = "answered by the next";
    const auto bytes = std::as_bytes(std::span(text));
    return run(call.reply({bytes.begin(), bytes.end()}))->ok();
  }

  PeerOptions options_;
};

TEST_F(Restarts, WhatWasAskedIsAskedAgain) {
  make(3);
  std::vector<std::uint32_t> told;
  PeerHooks hooks;
  hooks.restarted = [&](std::uint32_t rank) { told.push_back(rank); };
  nodes[0]->channel->set_hooks(std::move(hooks));
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  auto task = held_call(0, 1);
  kill(1);
  start_again(1, 1);
  ASSERT_TRUE(answer_held(1));
  ASSERT_TRUE(drive([&] { return task.done(); }));
  const auto reply = task.take();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->body.size(), std::string("answered by the next").size());
  EXPECT_EQ(told, std::vector<std::uint32_t>{1});
  EXPECT_EQ(nodes[0]->channel->incarnation(1), 1U);
  EXPECT_TRUE(call(2, 1, ask(What::echo)).ok());  // that had nothing to do with it before
}

TEST_F(Restarts, BulkInFlightIsSentAgain) {
  make(2);
  const Bytes data = pattern(4U << 20);
  auto task = nodes[0]->channel->call(1, ask(What::swallow), data);
  task.start();
  for (int i = 0; i < 20; ++i) nodes[0]->loop.turn(0);
  kill(1);
  start_again(1, 1);
  ASSERT_TRUE(drive([&] { return task.done(); }));
  const auto reply = task.take();
  ASSERT_TRUE(reply.ok());
  std::uint64_t length = 0;
  std::memcpy(&length, reply->body.data(), sizeof length);
  EXPECT_EQ(length, data.size());
}

// Neither can tell the other; both find the new address where they are told to look.
TEST_F(Restarts, OfTwoAtOnceTheRegistryTellsWhereTheyAre) {
  make(3);
  ASSERT_TRUE(call(1, 2, ask(What::echo)).ok());
  const std::vector<Bytes> old = addresses;
  kill(1);
  kill(2);
  start_again(1, 1, false);
  addresses[1] = old[1];
  start_again(2, 1, false);  // knows the old address of 1, as 1 does of 2
  addresses[1] = nodes[1]->address();
  int looked = 0;
  PeerHooks hooks;
  hooks.look_up = [&](std::uint32_t rank) {
    ++looked;
    nodes[1]->channel->update(rank, addresses[rank], 1);
  };
  nodes[1]->channel->set_hooks(std::move(hooks));
  EXPECT_TRUE(call(1, 2, ask(What::echo)).ok());
  EXPECT_GE(looked, 1);
}

TEST_F(Restarts, OneThatEndedForGoodIsNotWaitedFor) {
  make(2);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  auto task = held_call(0, 1);
  PeerHooks hooks;
  hooks.look_up = [&](std::uint32_t rank) { nodes[0]->channel->ended(rank); };
  nodes[0]->channel->set_hooks(std::move(hooks));
  const std::int64_t before = sys::now_ns();
  kill(1);
  ASSERT_TRUE(drive([&] { return task.done(); }));
  EXPECT_EQ(task.take().error(), Error(EIO));
  EXPECT_EQ(call(0, 1, ask(What::echo)).error(), Error(EIO));
  EXPECT_LT(sys::now_ns() - before, 5'000'000'000);  // far below the time-out
}

TEST_F(Restarts, AnOlderProcessIsNotBelieved) {
  make(2);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  nodes[0]->channel->update(1, addresses[1], 0);
  kill(1);
  start_again(1, 2);
  ASSERT_TRUE(drive([&] { return nodes[0]->channel->incarnation(1) == 2; }));
  Node older(options_);
  std::vector<Bytes> known = addresses;
  known[1] = older.address();
  PeerIdentity self = identity(1, 2);
  self.incarnation = 1;
  older.start(self, known);
  const std::uint64_t made = nodes[0]->channel->statistics().connections_made;
  auto task = older.channel->call(0, ask(What::echo));
  task.start();
  const std::int64_t end = sys::now_ns() + 200'000'000;
  while (sys::now_ns() < end) {
    older.loop.turn(0);
    turn();
  }
  EXPECT_FALSE(task.done());
  EXPECT_EQ(nodes[0]->channel->statistics().connections_made, made);
  auto shut_down = older.channel->shutdown(sys::now_ns() + 500'000'000);
  shut_down.start();
  while (!shut_down.done() || !task.done()) older.loop.turn(0);
  EXPECT_EQ(task.take().error(), Error(EIO));
  while (older.loop.spawned() != 0) older.loop.turn(0);
}

}  // namespace
}  // namespace benchfs::test
