#include "daemon/supervisor/control.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "common/sys.h"

namespace benchfs {
namespace {

constexpr std::int64_t second = 1'000'000'000;

class Control : public testing::Test {
 protected:
  Control() {
    auto pair = ControlChannel::make_pair();
    near_ = std::make_unique<ControlChannel>(std::move(pair->first));
    far_ = std::make_unique<ControlChannel>(std::move(pair->second));
  }

  template <class Message>
  Message pass(const Message& message) {
    EXPECT_TRUE(near_->send(message).ok());
    auto received = far_->receive(sys::now_ns() + second);
    EXPECT_TRUE(received.ok());
    return std::move(std::get<Message>(*received));
  }

  std::unique_ptr<ControlChannel> near_;
  std::unique_ptr<ControlChannel> far_;
};

ino_t inode_of(int fd) {
  struct stat attributes {};
  return ::fstat(fd, &attributes) == 0 ? attributes.st_ino : 0;
}

TEST_F(Control, CarriesTheConfiguration) {
  control::Configure message;
  message.config.storage.chunk_size = 1U << 20;
  message.config.client.mount_point = "/shared";
  message.rank = 3;
  message.host_name = "bn3";
  message.rank_dir = "/local/rank_3";
  message.log_level_forced = true;
  message.incarnation = 4;
  const auto got = pass(message);
  EXPECT_EQ(got.config, message.config);
  EXPECT_EQ(got.rank, 3U);
  EXPECT_EQ(got.host_name, "bn3");
  EXPECT_EQ(got.rank_dir, "/local/rank_3");
  EXPECT_TRUE(got.log_level_forced);
  EXPECT_EQ(got.incarnation, 4U);
}

TEST_F(Control, CarriesTheStartOfThousandsOfRanks) {
  control::Start message;
  message.rank = 17;
  message.size = 4000;
  message.instance.fill(std::byte{1});
  message.host_id = 5;
  message.secret.fill(std::byte{2});
  for (std::uint32_t rank = 0; rank < message.size; ++rank)
    message.peers.push_back({.rank = rank,
                             .host_id = rank / 2,
                             .host_name = "bn" + std::to_string(rank / 2),
                             .data_dir = "/local/benchfs/1",
                             .address = std::vector<std::byte>(79 + rank % 40, std::byte(rank))});
  const auto got = pass(message);
  EXPECT_EQ(got.rank, message.rank);
  EXPECT_EQ(got.size, message.size);
  EXPECT_EQ(got.instance, message.instance);
  EXPECT_EQ(got.host_id, message.host_id);
  EXPECT_EQ(got.secret, message.secret);
  EXPECT_EQ(got.peers, message.peers);
  EXPECT_TRUE(got.held.empty());
}

TEST_F(Control, CarriesDescriptorsByName) {
  control::Start message;
  message.size = 1;
  message.peers.resize(1);
  // More than one packet can carry.
  for (int i = 0; i < 450; ++i)
    message.held.push_back({"held " + std::to_string(i), Fd(::dup(i % 2 == 0 ? 0 : near_->fd()))});
  const auto got = pass(message);
  ASSERT_EQ(got.held.size(), 450U);
  for (std::size_t i = 0; i < got.held.size(); ++i) {
    EXPECT_EQ(got.held[i].name, "held " + std::to_string(i));
    EXPECT_EQ(inode_of(got.held[i].fd.get()), inode_of(i % 2 == 0 ? 0 : near_->fd()));
    EXPECT_EQ(::fcntl(got.held[i].fd.get(), F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(Control, HoldsADescriptorThatTheSenderKeeps) {
  control::Hold message{{"table", Fd(::eventfd(0, EFD_CLOEXEC))}};
  const auto got = pass(message);
  EXPECT_EQ(got.held.name, "table");
  const std::uint64_t value = 42;
  ASSERT_EQ(::write(message.held.fd.get(), &value, sizeof value), ssize_t{sizeof value});
  std::uint64_t read = 0;
  ASSERT_EQ(::read(got.held.fd.get(), &read, sizeof read), ssize_t{sizeof read});
  EXPECT_EQ(read, 42U);
}

TEST_F(Control, CarriesTheSmallMessages) {
  const auto stop = pass(control::Stop{.drain_ms = 25000, .tell_peers = true});
  EXPECT_EQ(stop.drain_ms, 25000U);
  EXPECT_TRUE(stop.tell_peers);
  EXPECT_FALSE(pass(control::Stop{}).tell_peers);
  EXPECT_EQ(pass(control::AddressIs{{std::byte{1}, std::byte{2}}}).address.size(), 2U);
  const auto failed = pass(control::Failed{.exit_code = 8, .line = "no network"});
  EXPECT_EQ(failed.exit_code, 8);
  EXPECT_EQ(failed.line, "no network");
  EXPECT_EQ(pass(control::Ready{.transport = "tcp (lo)"}).transport, "tcp (lo)");
  EXPECT_FALSE(pass(control::Ready{.transport = "tcp"}).recovers);
  EXPECT_TRUE(pass(control::Ready{.transport = "tcp", .recovers = true}).recovers);
  EXPECT_EQ(pass(control::WhereIs{.rank = 7}).rank, 7U);
  const auto where = pass(control::PeerIs{
      .rank = 7, .ended = true, .incarnation = 2, .address = {std::byte{1}, std::byte{2}}});
  EXPECT_EQ(where.rank, 7U);
  EXPECT_TRUE(where.ended);
  EXPECT_EQ(where.incarnation, 2U);
  EXPECT_EQ(where.address, (std::vector<std::byte>{std::byte{1}, std::byte{2}}));
  EXPECT_TRUE(pass(control::StopRequested{.by_peer = true}).by_peer);
  pass(control::Done{});
}

TEST_F(Control, CutsALineThatIsTooLong) {
  EXPECT_EQ(pass(control::Failed{.exit_code = 1, .line = std::string(100'000, 'x')}).line.size(),
            4096U);
}

TEST_F(Control, SaysWhenNothingCameInTime) {
  EXPECT_EQ(far_->receive(0).error(), Error(EAGAIN));
  const std::int64_t began = sys::now_ns();
  EXPECT_EQ(far_->receive(began + second / 50).error(), Error(EAGAIN));
  EXPECT_GE(sys::now_ns() - began, second / 50);
}

TEST_F(Control, SaysWhenThePeerIsGone) {
  near_.reset();
  EXPECT_EQ(far_->receive(0).error(), Error(ECONNRESET));
  EXPECT_EQ(far_->send(control::Done{}).error(), Error(EPIPE));
}

// The kernel reports the reset before what is still in the queue.
TEST_F(Control, DeliversTheLastWordsOfAPeerThatDidNotListen) {
  ASSERT_TRUE(far_->send(control::Done{}).ok());
  ASSERT_TRUE(near_->send(control::Failed{.exit_code = 8, .line = "no network"}).ok());
  near_.reset();
  auto last = far_->receive(0);
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(std::get<control::Failed>(*last).line, "no network");
  EXPECT_EQ(far_->receive(0).error(), Error(ECONNRESET));
}

TEST_F(Control, DoesNotWaitForAPeerThatDoesNotRead) {
  Status sent = Done{};
  for (int i = 0; i < 100'000 && sent.ok(); ++i) sent = near_->send(control::Stop{});
  EXPECT_EQ(sent.error(), Error(EAGAIN));
}

TEST_F(Control, DropsWhatIsNoMessageAndGoesOn) {
  const auto raw = [&](std::initializer_list<std::uint32_t> words) {
    const std::vector<std::uint32_t> packet(words);
    ASSERT_GT(::send(near_->fd(), packet.data(), packet.size() * sizeof(std::uint32_t), 0), 0);
  };
  raw({0});                 // no such type
  raw({99, 1, 2});          // nor this
  raw({1});                 // a configuration without one
  raw({1, 0xffffffff});     // or of 4 GiB
  raw({2, 3});              // descriptors that are not there
  raw({3});                 // a start without its file
  raw({4});                 // a stop without its flags
  raw({5, 0});              // an empty address
  raw({5, 1U << 30});       // an address beyond the packet
  raw({6, 1, 0x7fffffff});  // a line beyond the packet
  raw({9, 1, 0});           // a descriptor to hold that is not there
  raw({10, 1});             // something behind the end
  for (int i = 0; i < 12; ++i) EXPECT_EQ(far_->receive(0).error(), Error(EBADMSG)) << i;
  pass(control::Done{});
}

TEST_F(Control, SurvivesRandomPackets) {
  std::minstd_rand random(7);
  for (int round = 0; round < 5000; ++round) {
    std::vector<unsigned char> packet(4 + random() % 64);
    for (unsigned char& byte : packet) byte = static_cast<unsigned char>(random());
    const auto type = static_cast<std::uint32_t>(1 + random() % 11);
    std::memcpy(packet.data(), &type, sizeof type);
    ASSERT_GT(::send(near_->fd(), packet.data(), packet.size(), 0), 0);
    (void)far_->receive(0);
  }
  pass(control::Done{});
}

}  // namespace
}  // namespace benchfs
