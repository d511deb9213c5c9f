// Several peer channels in one process, each with its own loop, driven in turns. TCP on loopback.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/sys.h"
#include "daemon/loop/completion.h"
#include "daemon/loop/event_loop.h"
#include "daemon/peer/peer_channel.h"

namespace benchfs::test {

using Bytes = std::vector<std::byte>;

enum class What : std::uint32_t {
  echo,     // body and data come back
  give,     // `bytes` of pattern
  swallow,  // the data is compared with the pattern, nothing but its length comes back
  late,     // answered after `bytes` ms
  never,    // the call is destroyed unanswered
  hold,     // the call is kept in Node::held
};

struct Ask {
  What what;
  std::uint32_t bytes;
};

inline Bytes pattern(std::size_t bytes, std::uint32_t seed = 1) {
  Bytes out(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<std::byte>((i * 2654435761U + seed * 97U) >> 13);
  return out;
}

inline Bytes ask(What what, std::uint32_t bytes = 0, std::size_t body_bytes = sizeof(Ask)) {
  Bytes body = pattern(body_bytes);
  const Ask question{.what = what, .bytes = bytes};
  std::memcpy(body.data(), &question, sizeof question);
  return body;
}

inline PeerIdentity identity(std::uint32_t rank, std::uint32_t size, unsigned secret = 1) {
  PeerIdentity self;
  self.instance.fill(std::byte{7});
  self.rank = rank;
  self.size = size;
  self.secret.fill(static_cast<std::byte>(secret));
  return self;
}

inline Task<Done> answer(EventLoop& loop, PeerCall call, std::vector<PeerCall>* held) {
  Ask question{};
  if (call.body().size() < sizeof question) co_return Done{};
  std::memcpy(&question, call.body().data(), sizeof question);
  Bytes body(call.body().begin(), call.body().end());
  Bytes data;
  switch (question.what) {
    case What::echo:
      (void)co_await call.reply(std::move(body), call.data());
      co_return Done{};
    case What::give:
      data = pattern(question.bytes);
      (void)co_await call.reply(std::move(body), data);
      co_return Done{};
    case What::swallow: {
      const Bytes expected = pattern(call.data().size());
      const std::uint64_t length =
          std::memcmp(expected.data(), call.data().data(), expected.size()) == 0
              ? expected.size()
              : ~std::uint64_t{0};
      body.resize(sizeof length);
      std::memcpy(body.data(), &length, sizeof length);
      (void)co_await call.reply(std::move(body));
      co_return Done{};
    }
    case What::late:
      (void)co_await loop.sleep(std::int64_t{question.bytes} * 1'000'000);
      (void)co_await call.reply(std::move(body));
      co_return Done{};
    case What::never:
      co_return Done{};
    case What::hold:
      if (held != nullptr) held->push_back(std::move(call));
      co_return Done{};
  }
  co_return Done{};
}

struct Node {
  EventLoop loop{Waiting::block};
  std::vector<PeerCall> held;
  std::unique_ptr<PeerChannel> channel;

  explicit Node(const PeerOptions& options = {}) {
    ::setenv("UCX_TLS", "tcp", 1);
    ::setenv("UCX_NET_DEVICES", "lo", 1);
    std::string why;
    auto result = PeerChannel::create(loop, options, why);
    EXPECT_TRUE(result.ok()) << why;
    if (result.ok()) channel = *std::move(result);
  }
  Bytes address() const {
    const auto bytes = channel->address();
    return {bytes.begin(), bytes.end()};
  }
  void start(const PeerIdentity& self, std::vector<Bytes> addresses) {
    channel->start(self, std::move(addresses),
                   [this](PeerCall call) { loop.spawn(answer(loop, std::move(call), &held)); });
  }
};

class Cluster : public testing::Test {
 protected:
  void make(std::uint32_t size, const PeerOptions& options = {}) {
    for (std::uint32_t rank = 0; rank < size; ++rank)
      nodes.push_back(std::make_unique<Node>(options));
    addresses.clear();
    for (const auto& node : nodes) addresses.push_back(node->address());
    for (std::uint32_t rank = 0; rank < size; ++rank)
      nodes[rank]->start(identity(rank, size), addresses);
  }

  void turn() {
    bool any = false;
    for (const auto& node : nodes)
      if (node && node->channel) any |= node->loop.turn(0);
    if (!any) sys::yield();  // UCX accepts connections on threads of its own
  }
  bool drive(const std::function<bool()>& done, int timeout_ms = 10'000) {
    const std::int64_t deadline = sys::now_ns() + std::int64_t{timeout_ms} * 1'000'000;
    while (!done()) {
      if (sys::now_ns() > deadline) return false;
      turn();
    }
    return true;
  }
  template <class T>
  std::optional<T> run(Task<T> task, int timeout_ms = 10'000) {
    task.start();
    if (!drive([&] { return task.done(); }, timeout_ms)) {
      ADD_FAILURE() << "a task did not end";
      std::abort();  // its frame cannot be destroyed
    }
    return task.take();
  }
  Result<PeerReply> call(std::size_t from, std::uint32_t to, Bytes body,
                         std::span<const std::byte> send = {}, std::span<std::byte> receive = {}) {
    return *run(nodes[from]->channel->call(to, std::move(body), send, receive), 60'000);
  }
  void shut(std::size_t rank) {
    nodes[rank]->held.clear();
    auto status = run(nodes[rank]->channel->shutdown(sys::now_ns() + 1'000'000'000));
    EXPECT_TRUE(status->ok());
    EXPECT_TRUE(drive([&] { return nodes[rank]->loop.spawned() == 0; }));
    nodes[rank]->channel.reset();
  }
  void TearDown() override {
    for (std::size_t rank = 0; rank < nodes.size(); ++rank)
      if (nodes[rank] && nodes[rank]->channel) shut(rank);
  }

  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<Bytes> addresses;
};

}  // namespace benchfs::test
