#include "daemon/rpc/answers.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

Answer some(std::uint64_t number) { return Answer(wire::Nothing{.reserved = number}); }
RequestKey request(ProcessId process, std::uint64_t id) {
  return {{.host = 0, .process = process}, id};
}

TEST(Answers, AreGivenAgainUntilTheSlotIsUsedAgain) {
  Answers answers;
  EXPECT_EQ(answers.begin(request(7, 16)), Answers::State::fresh);
  EXPECT_EQ(answers.begin(request(7, 16)), Answers::State::running);
  answers.keep(request(7, 16), some(1));
  answers.finish(request(7, 16));
  EXPECT_EQ(answers.begin(request(7, 16)), Answers::State::done);
  EXPECT_EQ(answers.answer(request(7, 16)).body, some(1).body);
  EXPECT_EQ(answers.begin(request(7, 17)), Answers::State::fresh);  // another slot
  EXPECT_EQ(answers.begin(request(8, 16)), Answers::State::fresh);  // another process
  EXPECT_EQ(answers.begin(request(7, 16)), Answers::State::done);
  EXPECT_EQ(answers.begin(request(7, 32)), Answers::State::fresh);
  EXPECT_EQ(answers.begin(request(7, 16)), Answers::State::stale);
  answers.forget(request(7, 32));
  EXPECT_EQ(answers.begin(request(7, 32)), Answers::State::fresh);
}

TEST(Answers, OfTheClientsThatAskedLeastRecentlyGo) {
  Answers answers(3);
  for (const ProcessId process : {1, 2, 3}) {
    answers.begin(request(process, 16));
    answers.keep(request(process, 16), some(process));
    answers.finish(request(process, 16));
  }
  EXPECT_EQ(answers.begin(request(1, 16)), Answers::State::done);
  answers.begin(request(4, 16));
  EXPECT_EQ(answers.clients(), 3u);
  EXPECT_EQ(answers.begin(request(1, 16)), Answers::State::done);
  EXPECT_EQ(answers.begin(request(2, 16)), Answers::State::fresh);  // was the oldest
  answers.begin(request(5, 16));  // 4 and 2 are being served: they stay
  EXPECT_EQ(answers.begin(request(4, 16)), Answers::State::running);
  EXPECT_EQ(answers.begin(request(2, 16)), Answers::State::running);
}

TEST(Answers, CountTheBytesTheyKeep) {
  Answers answers(2);
  for (ProcessId process = 1; process < 10; ++process)
    for (std::uint64_t id = 16; id < 100; ++id) {
      answers.begin(request(process, id));
      answers.keep(request(process, id), some(id));
      answers.finish(request(process, id));
    }
  EXPECT_EQ(answers.bytes(), 2 * 16 * sizeof(wire::Nothing));
}

TEST(Answers, ComeBackFromTheirRecords) {
  Answers answers;
  const Answer answer = some(5);
  const AnswerRecord head = Answers::record_of(request(7, 18), answer);
  std::vector<std::byte> record(sizeof head + answer.body.size());
  std::memcpy(record.data(), &head, sizeof head);
  std::ranges::copy(answer.body, record.begin() + sizeof head);
  ASSERT_TRUE(answers.restore(record));
  EXPECT_EQ(answers.begin(request(7, 18)), Answers::State::done);
  EXPECT_EQ(answers.answer(request(7, 18)).body, answer.body);
  EXPECT_FALSE(answers.restore(std::span(record).first(record.size() - 1)));
  EXPECT_FALSE(answers.restore(std::span(record).first(8)));
}

class ResentTest : public testing::Test {
 protected:
  static Caller client(std::uint32_t host, std::uint64_t id) {
    Caller caller;
    caller.host = host;
    caller.process = 4711;
    caller.request_id = id;
    return caller;
  }
  static Bytes body_of_open(std::string_view path, int flags) {
    wire::Open message{};
    message.where.inode = root_inode;
    message.where.path_bytes = static_cast<std::uint32_t>(path.size());
    message.flags = static_cast<std::uint32_t>(flags);
    message.mode = 0644;
    return Cluster::body_of(message, path);
  }
  static Bytes body_of_unlink(std::string_view path) {
    wire::Unlink message{};
    message.where.inode = root_inode;
    message.where.path_bytes = static_cast<std::uint32_t>(path.size());
    return Cluster::body_of(message, path);
  }
  Answer ask(std::uint32_t host, std::uint64_t id, wire::Op op, const Bytes& body) {
    auto& node = cluster_.node(host);
    return cluster_.run(node.server->ask_raw(0, op, client(host, id), body, {}, {}), node.loop);
  }

  Cluster cluster_{{0, 1}};
};

TEST_F(ResentTest, ARequestThatComesAgainIsAnsweredAsTheFirstTime) {
  for (const std::uint32_t host : {0u, 1u}) {
    const std::string name = "file" + std::to_string(host);
    const Bytes open = body_of_open(name, O_CREAT | O_EXCL | O_WRONLY);
    const Answer first = ask(host, 16, wire::Op::open, open);
    ASSERT_EQ(first.error, 0);
    const Answer again = ask(host, 16, wire::Op::open, open);
    EXPECT_EQ(again.error, 0);
    const auto one = *wire::parse<wire::OpenReply>(first.body);
    const auto two = *wire::parse<wire::OpenReply>(again.body);
    EXPECT_EQ(two.attributes.inode, one.attributes.inode);
    EXPECT_EQ(two.created, 1u);
    EXPECT_EQ(ask(host, 32, wire::Op::open, open).error, EEXIST);  // another request is another
    cluster_.deliver(one, host);  // it was heard of after all, so it counts twice
    SizeEntry& entry = cluster_.deliver(two, host);
    Server& server = *cluster_.node(host).server;
    server.table.undo_open(server.self, server.table.index_of(entry));
    cluster_.close(two, host);
    EXPECT_EQ(ask(host, 48, wire::Op::unlink, body_of_unlink(name)).error, 0);
    EXPECT_EQ(ask(host, 48, wire::Op::unlink, body_of_unlink(name)).error, 0);
    EXPECT_EQ(ask(host, 64, wire::Op::unlink, body_of_unlink(name)).error, ENOENT);
  }
}

TEST_F(ResentTest, ItIsSoAfterARestart) {
  const Bytes open = body_of_open("file", O_CREAT | O_EXCL | O_WRONLY);
  const Answer first = ask(1, 16, wire::Op::open, open);
  ASSERT_EQ(first.error, 0);
  auto& node = cluster_.node(0);
  const auto restored = cluster_.restored(node);
  const Answer again =
      cluster_.run(restored->dispatch(wire::Op::open, client(1, 16), open), node.loop);
  EXPECT_EQ(again.error, 0);
  const auto reply = *wire::parse<wire::OpenReply>(first.body);
  EXPECT_EQ(wire::parse<wire::OpenReply>(again.body)->attributes.inode, reply.attributes.inode);
  EXPECT_EQ(wire::parse<wire::OpenReply>(again.body)->created, 1u);
  cluster_.deliver(reply, 1);
  cluster_.close(reply, 1);
}

TEST_F(ResentTest, OneThatIsBeingServedIsWaitedFor) {
  ASSERT_EQ(cluster_.make_file("file"), 0);
  auto& node = cluster_.node(0);
  Server& server = *node.server;
  LockKey key{.inode = root_inode, .name = "file"};
  cluster_.run(server.names.lock(node.loop, std::move(key)), node.loop);
  std::vector<std::optional<int>> done(2);
  const Bytes unlink = body_of_unlink("file");
  const auto send = [](Server* to, Caller caller, Bytes body,
                       std::optional<int>* error) -> Task<int> {
    const Answer answer = co_await to->dispatch(wire::Op::unlink, caller, body);
    *error = answer.error;
    co_return 0;
  };
  for (auto& error : done) node.loop.spawn(send(&server, client(0, 16), unlink, &error));
  cluster_.settle();
  EXPECT_FALSE(done[0].has_value());
  EXPECT_FALSE(done[1].has_value());
  server.names.unlock(root_inode, "file");
  ASSERT_TRUE(cluster_.until([&] { return done[0].has_value() && done[1].has_value(); }));
  EXPECT_EQ(*done[0], 0);
  EXPECT_EQ(*done[1], 0);  // not ENOENT
}

}  // namespace
}  // namespace benchfs
