// Who gets in: peers that know the secret, and nobody else.
#include "daemon/peer/hello.h"

#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

using namespace peer;

Bytes hello_from(const PeerIdentity& self, std::uint32_t to) {
  const Bytes address = pattern(79);
  return make_hello(self, to, fresh_nonce(), fresh_number(), address);
}

TEST(Hello, IsAcceptedByWhomItIsFor) {
  const auto verified = verify_hello(identity(1, 3), hello_from(identity(2, 3), 1));
  ASSERT_TRUE(verified.ok());
  EXPECT_EQ(verified->hello.from, 2U);
  EXPECT_EQ(verified->address, pattern(79));
}

TEST(Hello, IsBoundToSecretInstanceRanksAndSize) {
  const auto refused = [](const PeerIdentity& self, const PeerIdentity& other, std::uint32_t to) {
    return verify_hello(self, hello_from(other, to)).error();
  };
  EXPECT_EQ(refused(identity(1, 3), identity(2, 3, 9), 1), Error(EPERM));
  EXPECT_EQ(refused(identity(1, 3), identity(2, 3), 0), Error(EPERM));
  EXPECT_EQ(refused(identity(1, 3), identity(2, 4), 1), Error(EPERM));
  EXPECT_EQ(refused(identity(1, 3), identity(1, 3), 1), Error(EPERM));
  EXPECT_EQ(refused(identity(1, 3), identity(3, 3), 1), Error(EPERM));
  PeerIdentity other = identity(2, 3);
  other.instance[0] = std::byte{1};
  EXPECT_EQ(refused(identity(1, 3), other, 1), Error(EPERM));
}

TEST(Hello, EveryBitCounts) {
  const Bytes good = hello_from(identity(2, 3), 1);
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{1};
    EXPECT_FALSE(verify_hello(identity(1, 3), bad).ok()) << i;
  }
}

TEST(Hello, EveryLengthButTheRightOneIsRefused) {
  Bytes bytes = hello_from(identity(2, 3), 1);
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(verify_hello(identity(1, 3), bytes).ok());
  bytes.pop_back();
  while (!bytes.empty()) {
    bytes.pop_back();
    EXPECT_FALSE(verify_hello(identity(1, 3), bytes).ok()) << bytes.size();
  }
}

TEST(Hello, ProofsAreNotInterchangeable) {
  const Handshake handshake{.initiator = 0,
                            .responder = 1,
                            .initiator_nonce = fresh_nonce(),
                            .responder_nonce = fresh_nonce()};
  const PeerIdentity self = identity(0, 2);
  EXPECT_TRUE(same(initiator_proof(self, handshake), initiator_proof(identity(1, 2), handshake)));
  EXPECT_FALSE(same(initiator_proof(self, handshake), responder_proof(self, handshake)));
  EXPECT_FALSE(
      same(initiator_proof(self, handshake), initiator_proof(identity(1, 2, 2), handshake)));
}

class Strangers : public Cluster {};

TEST_F(Strangers, WrongSecretIsRefusedAtOnce) {
  for (int i = 0; i < 3; ++i) nodes.push_back(std::make_unique<Node>());
  for (const auto& node : nodes) addresses.push_back(node->address());
  nodes[0]->start(identity(0, 3), addresses);
  nodes[1]->start(identity(1, 3, 99), addresses);
  nodes[2]->start(identity(2, 3), addresses);
  for (int round = 0; round < 3; ++round) {
    const std::int64_t before = sys::now_ns();
    EXPECT_EQ(call(1, 0, ask(What::echo)).error(), Error(EIO));
    EXPECT_EQ(call(0, 1, ask(What::echo)).error(), Error(EIO));
    EXPECT_LT(sys::now_ns() - before, 2'000'000'000);
    EXPECT_TRUE(call(2, 0, ask(What::echo)).ok());
  }
  EXPECT_EQ(nodes[0]->channel->statistics().connections_made, 1U);
  EXPECT_EQ(nodes[1]->channel->statistics().connections_made, 0U);
  EXPECT_EQ(nodes[1]->channel->statistics().requests_received, 0U);
  EXPECT_TRUE(drive([&] { return nodes[1]->channel->statistics().endpoints == 0; }));
}

TEST_F(Strangers, ARestartedPeerIsBelievedWithItsNewAddress) {
  make(2);
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
  const Bytes old = addresses[1];
  shut(1);
  nodes[1] = std::make_unique<Node>();
  addresses[1] = nodes[1]->address();
  ASSERT_NE(old, addresses[1]);
  nodes[1]->start(identity(1, 2), addresses);
  EXPECT_TRUE(call(1, 0, ask(What::echo)).ok());
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
}

TEST_F(Strangers, UpdateLeadsToTheNewAddress) {
  make(2);
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
  shut(1);
  nodes[1] = std::make_unique<Node>();
  addresses[1] = nodes[1]->address();
  nodes[1]->start(identity(1, 2), addresses);
  EXPECT_EQ(call(0, 1, ask(What::echo)).error(), Error(EIO));
  nodes[0]->channel->update(1, addresses[1]);
  EXPECT_TRUE(call(0, 1, ask(What::echo)).ok());
}

}  // namespace
}  // namespace benchfs::test
