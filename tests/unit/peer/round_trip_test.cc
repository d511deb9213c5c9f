// Requests and answers, of all sizes, in both directions.
#include <algorithm>
#include <optional>

#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

class RoundTrip : public Cluster {};

TEST_F(RoundTrip, BodyComesBack) {
  make(2);
  const Bytes body = ask(What::echo);
  auto result = call(0, 1, body);
  ASSERT_TRUE(result.ok()) << result.error().code();
  EXPECT_EQ(result->body, body);
  EXPECT_EQ(result->data_bytes, 0U);
  result = call(1, 0, body);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->body, body);
  EXPECT_EQ(nodes[0]->channel->statistics().connections, 1U);
  EXPECT_EQ(nodes[1]->channel->statistics().connections, 1U);
}

TEST_F(RoundTrip, BodiesOfAllSizes) {
  make(2);
  for (const std::size_t bytes : {8U, 255U, 256U, 257U, 4096U, 8192U, 16320U, 65535U, 65536U}) {
    const Bytes body = ask(What::echo, 0, bytes);
    const auto result = call(0, 1, body);
    ASSERT_TRUE(result.ok()) << bytes;
    EXPECT_EQ(result->body, body) << bytes;
  }
}

TEST_F(RoundTrip, TooLongIsRefusedHere) {
  make(2);
  EXPECT_EQ(call(0, 1, ask(What::echo, 0, 65537)).error(), Error(EMSGSIZE));
  const Bytes data((16U << 20) + 1);
  EXPECT_EQ(call(0, 1, ask(What::echo), data).error(), Error(EMSGSIZE));
  EXPECT_EQ(call(0, 2, ask(What::echo)).error(), Error(EINVAL));
  EXPECT_EQ(call(0, 0, ask(What::echo)).error(), Error(EINVAL));
  EXPECT_EQ(nodes[0]->channel->statistics().messages_sent, 0U);
}

TEST_F(RoundTrip, BulkOfAllSizesBothWays) {
  make(2);
  for (const std::size_t bytes :
       {0U, 1U, 4096U, 16385U, 65536U, 65537U, 100U << 10, 1U << 20, (1U << 20) + 1, 16U << 20}) {
    for (const std::size_t body_bytes : {8U, 3000U, 65536U}) {
      const Bytes send = pattern(bytes);
      Bytes receive(bytes);
      const Bytes body = ask(What::echo, 0, body_bytes);
      const auto result = call(1, 0, body, send, receive);
      ASSERT_TRUE(result.ok()) << bytes << " " << result.error().code();
      EXPECT_EQ(result->body, body);
      EXPECT_EQ(result->data_bytes, bytes);
      EXPECT_TRUE(receive == send) << bytes;
    }
  }
  EXPECT_EQ(nodes[0]->channel->statistics().buffer_bytes, 0U);
}

TEST_F(RoundTrip, AnswerMayBeShorterThanTheRoomForIt) {
  make(2);
  Bytes receive(1U << 20);
  for (const std::uint32_t bytes : {0U, 5U, 500'000U}) {
    const auto result = call(0, 1, ask(What::give, bytes), {}, receive);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->data_bytes, bytes);
    EXPECT_TRUE(Bytes(receive.begin(), receive.begin() + bytes) == pattern(bytes));
  }
}

TEST_F(RoundTrip, AnswerThatDoesNotFitEndsTheConnection) {
  make(2);
  Bytes receive(100);
  EXPECT_EQ(call(0, 1, ask(What::give, 101), {}, receive).error(), Error(EIO));
  EXPECT_EQ(call(0, 1, ask(What::give, 1 << 20), {}, receive).error(), Error(EIO));
  const auto result = call(0, 1, ask(What::give, 100), {}, receive);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->data_bytes, 100U);
}

TEST_F(RoundTrip, UnansweredIsEio) {
  make(2);
  EXPECT_EQ(call(0, 1, ask(What::never)).error(), Error(EIO));
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());  // on the same connection
  EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 1U);
}

TEST_F(RoundTrip, TooLongAnswerIsEmsgsize) {
  make(2);
  nodes[1]->channel->start(identity(1, 2), addresses, [this](PeerCall incoming) {
    nodes[1]->loop.spawn([](PeerCall c) -> Task<Done> {
      Bytes body(65537);
      const auto status = co_await c.reply(std::move(body));
      EXPECT_EQ(status.error(), Error(EMSGSIZE));
      co_return Done{};
    }(std::move(incoming)));
  });
  EXPECT_EQ(call(0, 1, ask(What::echo)).error(), Error(EMSGSIZE));
}

TEST_F(RoundTrip, AThousandAtOnceAndEachGetsItsOwn) {
  make(3);
  constexpr std::size_t count = 1000;
  std::vector<Bytes> data(count), receive(count);
  std::vector<Task<Result<PeerReply>>> tasks;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bytes = i % 7 == 0 ? 50'000 + i : i % 3 == 0 ? i : 0;
    data[i] = pattern(bytes, static_cast<std::uint32_t>(i));
    receive[i].resize(bytes);
    Bytes body = ask(What::echo, static_cast<std::uint32_t>(i), i % 5 == 0 ? 2000 : 40);
    tasks.push_back(nodes[i % 3]->channel->call(static_cast<std::uint32_t>((i + 1) % 3),
                                                std::move(body), data[i], receive[i]));
  }
  for (auto& task : tasks) task.start();
  ASSERT_TRUE(drive([&] {
    for (auto& task : tasks)
      if (!task.done()) return false;
    return true;
  }));
  for (std::size_t i = 0; i < count; ++i) {
    auto result = tasks[i].take();
    ASSERT_TRUE(result.ok()) << i;
    Ask question{};
    std::memcpy(&question, result->body.data(), sizeof question);
    EXPECT_EQ(question.bytes, i);
    EXPECT_TRUE(receive[i] == data[i]) << i;
  }
  for (const auto& node : nodes) EXPECT_EQ(node->channel->statistics().buffer_bytes, 0U);
}

TEST_F(RoundTrip, MoreBulkThanBuffersWaitsItsTurn) {
  PeerOptions options;
  options.buffer_bytes_max = 1;  // the least there is: 17 MiB
  make(2, options);
  const Bytes data = pattern(4U << 20);
  std::vector<Task<Result<PeerReply>>> tasks;
  for (int i = 0; i < 20; ++i)
    tasks.push_back(nodes[0]->channel->call(1, ask(What::swallow), data));
  std::uint64_t most = 0;
  for (auto& task : tasks) task.start();
  ASSERT_TRUE(drive(
      [&] {
        most = std::max(most, nodes[1]->channel->statistics().buffer_bytes);
        return std::ranges::all_of(tasks, [](const auto& task) { return task.done(); });
      },
      60'000));
  EXPECT_LE(most, 17U << 20);
  EXPECT_GE(most, 8U << 20);
  for (auto& task : tasks) {
    auto result = task.take();
    ASSERT_TRUE(result.ok());
    std::uint64_t length = 0;
    std::memcpy(&length, result->body.data(), sizeof length);
    EXPECT_EQ(length, data.size());
  }
}

TEST_F(RoundTrip, CallsWaitForAPeerThatStartsLater) {
  nodes.push_back(std::make_unique<Node>());
  nodes.push_back(std::make_unique<Node>());
  addresses = {nodes[0]->address(), nodes[1]->address()};
  nodes[0]->start(identity(0, 2), addresses);
  auto task = nodes[0]->channel->call(1, ask(What::echo));
  task.start();
  EXPECT_FALSE(drive([&] { return task.done(); }, 200));
  nodes[1]->start(identity(1, 2), addresses);
  ASSERT_TRUE(drive([&] { return task.done(); }));
  EXPECT_TRUE(task.take().ok());
}

TEST_F(RoundTrip, BothGreetAtOnce) {
  make(2);
  for (int round = 0; round < 20; ++round) {
    auto one = nodes[0]->channel->call(1, ask(What::echo));
    auto other = nodes[1]->channel->call(0, ask(What::echo));
    one.start();
    other.start();
    ASSERT_TRUE(drive([&] { return one.done() && other.done(); }));
    EXPECT_TRUE(one.take().ok());
    EXPECT_TRUE(other.take().ok());
    EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 1U);
    EXPECT_EQ(nodes[1]->channel->statistics().endpoints, 1U);
  }
}

}  // namespace
}  // namespace benchfs::test
