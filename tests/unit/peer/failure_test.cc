// What is malformed, silent or gone ends its own connection and nothing else.
#include <deque>

#include "daemon/peer/endpoint.h"
#include "daemon/peer/hello.h"
#include "daemon/peer/messages.h"
#include "daemon/peer/ucx_context.h"
#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

using namespace peer;

// UCX without a PeerChannel around it: sends what it likes.
class Stranger {
 public:
  explicit Stranger(const Bytes& address) {
    std::string why;
    auto context = UcxContext::create(why);
    EXPECT_TRUE(context.ok()) << why;
    context_.emplace(*std::move(context));
    ucp_am_handler_param_t params{};
    params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                        UCP_AM_HANDLER_PARAM_FIELD_ARG;
    params.id = am_id;
    params.cb = &Stranger::on_message;
    params.arg = this;
    EXPECT_EQ(ucp_worker_set_am_recv_handler(context_->worker(), &params), UCS_OK);
    EXPECT_EQ(endpoint_.open(context_->worker(), address, &Stranger::failed, this), UCS_OK);
  }
  ~Stranger() {
    endpoint_.close();
    for (int i = 0; i < 100; ++i) progress();
  }

  void send(const Bytes& header, const Bytes& payload, unsigned flags = 0) {
    if (closed) return;
    kept_.push_back({header, payload});
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK;
    params.flags = flags | UCP_AM_SEND_FLAG_REPLY;
    params.cb.send = [](void* request, ucs_status_t, void*) { ucp_request_free(request); };
    const auto& [h, p] = kept_.back();
    ucp_am_send_nbx(endpoint_.get(), am_id, h.data(), h.size(), p.data(), p.size(), &params);
  }
  void progress() { ucp_worker_progress(context_->worker()); }
  Bytes address() const {
    const auto bytes = context_->address();
    return {bytes.begin(), bytes.end()};
  }

  bool closed = false;
  std::deque<std::pair<Header, Bytes>> received;

 private:
  static void failed(void* self, ucp_ep_h, ucs_status_t) {
    static_cast<Stranger*>(self)->closed = true;
  }
  static ucs_status_t on_message(void* self, const void* header, std::size_t header_bytes,
                                 void* data, std::size_t bytes, const ucp_am_recv_param_t*) {
    Header copy{};
    std::memcpy(&copy, header, std::min(header_bytes, sizeof copy));
    const auto* first = static_cast<const std::byte*>(data);
    static_cast<Stranger*>(self)->received.emplace_back(copy, Bytes(first, first + bytes));
    return UCS_OK;
  }

  std::optional<UcxContext> context_;
  Endpoint endpoint_;
  std::deque<std::pair<Bytes, Bytes>> kept_;
};

Bytes bytes_of(const Header& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return {bytes.begin(), bytes.end()};
}

class Garbage : public Cluster {
 protected:
  void expect_service() {
    auto result = call(0, 1, ask(What::echo));
    EXPECT_TRUE(result.ok());
  }
  // Says hello as rank 2, and takes part in it up to the proof.
  std::uint64_t admit(Stranger& stranger, bool honest = true) {
    const PeerIdentity self = identity(2, 3);
    const Nonce nonce = fresh_nonce();
    const Bytes hello = make_hello(self, 0, nonce, 77, stranger.address());
    Header header{};
    header.kind = Kind::hello;
    header.body_bytes = static_cast<std::uint32_t>(hello.size());
    header.flags = body_in_payload;
    stranger.send(bytes_of(header), hello);
    EXPECT_TRUE(drive([&] { return stranger.progress(), !stranger.received.empty(); }));
    const auto [challenge_header, body] = stranger.received.front();
    stranger.received.pop_front();
    EXPECT_EQ(challenge_header.kind, Kind::challenge);
    EXPECT_EQ(challenge_header.connection, 77U);
    Challenge challenge{};
    std::memcpy(&challenge, body.data(), sizeof challenge);
    const Handshake handshake{.initiator = 2,
                              .responder = 0,
                              .initiator_nonce = nonce,
                              .responder_nonce = challenge.nonce};
    EXPECT_TRUE(same(challenge.proof, responder_proof(self, handshake)));
    Proof proof = initiator_proof(self, handshake);
    if (!honest) proof[0] ^= std::byte{1};
    header.kind = Kind::proof;
    header.connection = connection_number(self, handshake);
    header.body_bytes = sizeof proof;
    stranger.send(bytes_of(header), Bytes(proof.begin(), proof.end()));
    if (!honest) return header.connection;
    EXPECT_TRUE(drive([&] { return stranger.progress(), !stranger.received.empty(); }));
    EXPECT_EQ(stranger.received.front().first.kind, Kind::accepted);
    stranger.received.clear();
    return header.connection;
  }
  // Until nothing has come to rank 0 for a while.
  void settle(Stranger& stranger) {
    std::uint64_t last = 0;
    std::int64_t end = 0;
    (void)drive([&] {
      stranger.progress();
      const std::uint64_t now = nodes[0]->channel->statistics().messages_received;
      if (now != std::exchange(last, now)) end = sys::now_ns() + 30'000'000;
      return end != 0 && sys::now_ns() > end;
    });
  }
  // UCX drops what comes by an endpoint that we closed.
  void expect_ignored(Stranger& stranger) {
    settle(stranger);
    const std::uint64_t before = nodes[0]->channel->statistics().messages_received;
    stranger.send(pattern(32), {});
    settle(stranger);
    EXPECT_EQ(nodes[0]->channel->statistics().messages_received, before);
  }
  void expect_gone(Stranger& stranger) {
    EXPECT_TRUE(drive([&] {
      stranger.progress();
      return !stranger.received.empty() && stranger.received.back().first.kind == Kind::gone;
    }));
    expect_ignored(stranger);
  }
};

TEST_F(Garbage, OfStrangersClosesTheirConnection) {
  make(2);
  expect_service();
  Header header{};
  header.kind = Kind::request;
  header.connection = 12345;
  const std::vector<std::pair<Bytes, Bytes>> garbage = {
      {{}, {}},
      {{}, pattern(100'000)},
      {pattern(7), {}},
      {pattern(32), pattern(10)},
      {pattern(2000), {}},
      {bytes_of(header), {}},
      {bytes_of(header), pattern(1U << 20)},
  };
  for (const auto& [head, payload] : garbage) {
    for (const unsigned flags : {0U, unsigned{UCP_AM_SEND_FLAG_RNDV}}) {
      if (flags != 0 && payload.empty()) continue;
      Stranger stranger(addresses[0]);
      const std::uint64_t before = nodes[0]->channel->statistics().messages_received;
      for (int i = 0; i < 5; ++i) stranger.send(head, payload, flags);
      ASSERT_TRUE(drive([&] {
        stranger.progress();
        return nodes[0]->channel->statistics().messages_received != before;
      }));
      SCOPED_TRACE(head.size());
      expect_ignored(stranger);
      expect_service();
    }
  }
  EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 1U);
}

TEST_F(Garbage, OfStrangersThatLeaveAtOnceHarmsNobody) {
  make(2);
  expect_service();
  for (int round = 0; round < 30; ++round) {
    Stranger stranger(addresses[0]);
    for (int i = 0; i < 3; ++i) stranger.send(pattern(40), pattern(20'000));
    for (int i = 0; i < round; ++i) {
      stranger.progress();
      turn();
    }
  }
  expect_service();
}

TEST_F(Garbage, BeforeTheProofClosesTheConnection) {
  make(3);
  for (const Kind kind : {Kind::request, Kind::proof, Kind::ping}) {
    Stranger stranger(addresses[0]);
    const Bytes hello = make_hello(identity(2, 3), 0, fresh_nonce(), 77, stranger.address());
    Header header{};
    header.kind = Kind::hello;
    header.body_bytes = static_cast<std::uint32_t>(hello.size());
    header.flags = body_in_payload;
    stranger.send(bytes_of(header), hello);
    ASSERT_TRUE(drive([&] { return stranger.progress(), !stranger.received.empty(); }));
    EXPECT_EQ(nodes[0]->channel->statistics().endpoints, 1U);
    header = Header{};
    header.kind = kind;
    header.connection = 77;
    stranger.send(bytes_of(header), {});
    expect_ignored(stranger);
    EXPECT_EQ(nodes[0]->channel->statistics().endpoints, 0U);
    EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 0U);
  }
  EXPECT_EQ(nodes[0]->channel->statistics().requests_received, 0U);
}

TEST_F(Garbage, AWrongProofClosesTheConnection) {
  make(3);
  Stranger stranger(addresses[0]);
  admit(stranger, false);
  expect_ignored(stranger);
  EXPECT_EQ(nodes[0]->channel->statistics().endpoints, 0U);
  EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 0U);
}

TEST_F(Garbage, OfAProvenPeerClosesItsConnectionOnly) {
  make(3);
  expect_service();
  const auto spoilt = [](auto change) {
    Header header{};
    header.kind = Kind::request;
    header.call = 1;
    change(header);
    return header;
  };
  const std::vector<std::pair<Header, Bytes>> garbage = {
      {spoilt([](Header& h) { h.kind = Kind{99}; }), {}},
      {spoilt([](Header& h) { h.kind = Kind{0}; }), {}},
      {spoilt([](Header& h) { h.reserved = 1; }), {}},
      {spoilt([](Header& h) { h.flags = 4; }), {}},
      {spoilt([](Header& h) { h.error = 5; }), {}},
      {spoilt([](Header& h) { h.body_bytes = 10; }), {}},
      {spoilt([](Header& h) { h.data_bytes = 10; }), pattern(9)},
      {spoilt([](Header& h) { h.data_bytes = UINT32_MAX; }), pattern(9)},
      {spoilt([](Header& h) {
         h.data_bytes = UINT32_MAX;
         h.body_bytes = 1;
         h.flags = body_in_payload;
       }),
       {}},
      {spoilt([](Header& h) { h.data_bytes = (16 << 20) + 1; }), Bytes((16 << 20) + 1)},
      {spoilt([](Header& h) {
         h.body_bytes = (64 << 10) + 1;
         h.flags = body_in_payload;
       }),
       Bytes((64 << 10) + 1)},
      {spoilt([](Header& h) { h.kind = Kind::reply; }), {}},  // to what nobody asked
      {spoilt([](Header& h) { h.kind = Kind::challenge; }), {}},
      {spoilt([](Header& h) {
         h.kind = Kind::leave_agreed;
         h.call = 0;
       }),
       {}},
      {spoilt([](Header& h) {
         h.kind = Kind::proof;
         h.call = 0;
         h.body_bytes = 32;
         h.flags = body_in_payload;
       }),
       pattern(32)},
  };
  for (std::size_t i = 0; i < garbage.size(); ++i) {
    for (const unsigned flags : {0U, unsigned{UCP_AM_SEND_FLAG_RNDV}}) {
      auto [header, payload] = garbage[i];
      if (flags != 0 && payload.empty()) continue;
      Stranger stranger(addresses[0]);
      header.connection = admit(stranger);
      stranger.send(bytes_of(header), payload, flags);
      SCOPED_TRACE(i);
      expect_gone(stranger);
      expect_service();
    }
  }
  EXPECT_EQ(nodes[0]->channel->statistics().requests_received, 0U);
  EXPECT_EQ(nodes[0]->channel->statistics().buffer_bytes, 0U);
}

TEST_F(Garbage, AnswersThatLieCloseTheConnection) {
  make(3);
  for (int lie = 0; lie < 5; ++lie) {
    Stranger stranger(addresses[0]);
    const std::uint64_t number = admit(stranger);
    Bytes receive(100);
    auto task = nodes[0]->channel->call(2, ask(What::echo), {}, receive);
    task.start();
    ASSERT_TRUE(drive([&] { return stranger.progress(), !stranger.received.empty(); }));
    Header header{};
    header.kind = Kind::reply;
    header.connection = number;
    header.call = stranger.received.front().first.call;
    Bytes payload;
    unsigned flags = 0;
    if (lie == 0) ++header.call;
    if (lie == 1) header.data_bytes = 101;
    if (lie == 2) header.data_bytes = 101, payload = Bytes(101);
    if (lie == 3)
      header.data_bytes = 1 << 20, payload = Bytes(1 << 20), flags = UCP_AM_SEND_FLAG_RNDV;
    if (lie == 4) header.error = 5000;
    stranger.send(bytes_of(header), payload, flags);
    EXPECT_TRUE(drive([&] { return stranger.progress(), task.done(); }));
    EXPECT_EQ(task.take().error(), Error(EIO)) << lie;
    expect_gone(stranger);
  }
}

class Silence : public Cluster {};

// Turns all nodes but one, as if that process were stopped.
TEST_F(Silence, OfAPeerIsEioAfterTheTimeout) {
  PeerOptions options;
  options.request_timeout_ms = 300;
  options.heartbeat_ms = 50;
  make(3, options);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  for (const std::size_t bulk : {0U, 1U << 20, 16U << 20}) {
    const Bytes send = pattern(bulk);
    Bytes receive(bulk);
    auto task = nodes[0]->channel->call(1, ask(What::echo), send, receive);
    auto other = nodes[0]->channel->call(2, ask(What::late, 600));
    const std::int64_t before = sys::now_ns();
    task.start();
    other.start();
    while (!task.done() && sys::now_ns() - before < 3'000'000'000) {
      nodes[0]->loop.turn(0);
      nodes[2]->loop.turn(0);
    }
    ASSERT_TRUE(task.done());
    EXPECT_EQ(task.take().error(), Error(EIO));
    EXPECT_GE(sys::now_ns() - before, 300'000'000);
    EXPECT_LE(sys::now_ns() - before, 2'500'000'000);
    ASSERT_TRUE(drive([&] { return other.done(); }));
    EXPECT_TRUE(other.take().ok());  // slower than the time-out, but alive
    EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
  }
}

TEST_F(Silence, DuringTheHelloIsEioToo) {
  PeerOptions options;
  options.request_timeout_ms = 200;
  options.heartbeat_ms = 50;
  make(2, options);
  auto task = nodes[0]->channel->call(1, ask(What::echo));
  task.start();
  const std::int64_t before = sys::now_ns();
  while (!task.done() && sys::now_ns() - before < 3'000'000'000) nodes[0]->loop.turn(0);
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take().error(), Error(EIO));
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
}

TEST_F(Silence, OfWhoeverAskedFreesTheAnswersBuffers) {
  PeerOptions options;
  options.request_timeout_ms = 200;
  options.heartbeat_ms = 50;
  make(2, options);
  Bytes receive(8U << 20);
  auto task = nodes[0]->channel->call(1, ask(What::give, 8 << 20), {}, receive);
  task.start();
  ASSERT_TRUE(drive([&] { return nodes[1]->channel->statistics().requests_received == 1; }));
  const std::int64_t before = sys::now_ns();
  const auto answered = [&] { return nodes[1]->channel->statistics().endpoints == 0; };
  while (!answered() && sys::now_ns() - before < 3'000'000'000) nodes[1]->loop.turn(0);
  EXPECT_TRUE(answered());
  ASSERT_TRUE(drive([&] { return task.done(); }));
  EXPECT_TRUE(task.take().ok());  // it was asked again
  EXPECT_TRUE(receive == pattern(8U << 20));
}

TEST_F(Silence, ShutdownFailsWhatIsOutstanding) {
  make(2);
  auto task = nodes[0]->channel->call(1, ask(What::hold));
  task.start();
  ASSERT_TRUE(drive([&] { return !nodes[1]->held.empty(); }));
  const std::int64_t before = sys::now_ns();
  shut(0);
  EXPECT_LE(sys::now_ns() - before, 1'000'000'000);
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take().error(), Error(EIO));
  EXPECT_TRUE(drive([&] { return nodes[1]->channel->statistics().endpoints == 0; }));
}

TEST_F(Silence, ShutdownOfTheAnswererIsEioAtOnce) {
  make(2);
  auto task = nodes[0]->channel->call(1, ask(What::hold));
  task.start();
  ASSERT_TRUE(drive([&] { return !nodes[1]->held.empty(); }));
  shut(1);
  ASSERT_TRUE(drive([&] { return task.done(); }, 3000));
  EXPECT_EQ(task.take().error(), Error(EIO));
}

}  // namespace
}  // namespace benchfs::test
