// The least recently used connection is closed, and nothing is lost by it.
#include <algorithm>
#include <filesystem>

#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

class Leaving : public Cluster {
 protected:
  void make_limited(std::uint32_t size) {
    PeerOptions options;
    options.connections_max = 2;
    make(size, options);
  }
};

TEST_F(Leaving, KeepsTheLimit) {
  make_limited(4);
  for (std::uint32_t round = 0; round < 30; ++round) {
    const std::uint32_t to = 1 + round % 3;
    ASSERT_TRUE(call(0, to, ask(What::echo)).ok()) << round;
    ASSERT_TRUE(drive([&] { return nodes[0]->channel->statistics().endpoints <= 2; })) << round;
  }
  EXPECT_GE(nodes[0]->channel->statistics().connections_made, 29U);
  EXPECT_EQ(nodes[0]->channel->statistics().connections_lost, 0U);
  for (std::size_t rank = 1; rank < 4; ++rank)
    EXPECT_EQ(nodes[rank]->channel->statistics().connections_lost, 0U);
}

TEST_F(Leaving, ClosesTheLeastRecentlyUsed) {
  make_limited(4);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  ASSERT_TRUE(call(0, 2, ask(What::echo)).ok());
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  ASSERT_TRUE(call(0, 3, ask(What::echo)).ok());
  ASSERT_TRUE(drive([&] { return nodes[0]->channel->statistics().endpoints == 2; }));
  EXPECT_TRUE(drive([&] { return nodes[2]->channel->statistics().endpoints == 0; }));
  EXPECT_EQ(nodes[1]->channel->statistics().connections, 1U);
  EXPECT_EQ(nodes[3]->channel->statistics().connections, 1U);
}

TEST_F(Leaving, SparesWhatIsInUse) {
  make_limited(4);
  std::vector<Task<Result<PeerReply>>> tasks;
  for (std::uint32_t to = 1; to < 4; ++to)
    tasks.push_back(nodes[0]->channel->call(to, ask(What::late, 100)));
  for (auto& task : tasks) task.start();
  ASSERT_TRUE(
      drive([&] { return std::ranges::all_of(tasks, [](const auto& t) { return t.done(); }); }));
  for (auto& task : tasks) EXPECT_TRUE(task.take().ok());
  EXPECT_TRUE(drive([&] { return nodes[0]->channel->statistics().endpoints == 2; }));
}

TEST_F(Leaving, LosesNoCallWhenAllTalkToAll) {
  make_limited(5);
  constexpr std::uint32_t rounds = 200;
  std::ptrdiff_t descriptors = 0;
  std::vector<Task<Result<PeerReply>>> tasks;
  std::uint32_t seed = 1;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    tasks.clear();
    for (std::uint32_t from = 0; from < 5; ++from) {
      seed = seed * 1664525 + 1013904223;
      const std::uint32_t to = (from + 1 + (seed >> 16) % 4) % 5;
      tasks.push_back(nodes[from]->channel->call(to, ask(What::echo)));
    }
    for (auto& task : tasks) task.start();
    ASSERT_TRUE(drive([&] {
      return std::ranges::all_of(tasks, [](const auto& t) { return t.done(); });
    })) << i;
    for (auto& task : tasks) ASSERT_TRUE(task.take().ok()) << i;
    if (i == 20) descriptors = open_descriptors();
  }
  for (const auto& node : nodes) EXPECT_EQ(node->channel->statistics().connections_lost, 0U);
  EXPECT_LE(open_descriptors(), descriptors + 10);  // both ends of at most ten connections
}

}  // namespace
}  // namespace benchfs::test
