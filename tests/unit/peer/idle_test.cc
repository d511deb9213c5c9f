// A channel with nothing to do costs nothing.
#include <dlfcn.h>
#include <sys/resource.h>
#include <ucp/api/ucp.h>

#include "tests/unit/peer/cluster.h"

namespace {
std::uint64_t looks = 0;
}

// Takes the place of UCX's own, counts, and hands on.
extern "C" unsigned ucp_worker_progress(ucp_worker_h worker) {
  static const auto real =
      reinterpret_cast<decltype(&ucp_worker_progress)>(::dlsym(RTLD_NEXT, "ucp_worker_progress"));
  ++looks;
  return real(worker);
}

namespace benchfs::test {
namespace {

struct Usage {
  std::int64_t cpu_us;
  std::int64_t switches;
};

Usage usage() {
  rusage now{};
  ::getrusage(RUSAGE_THREAD, &now);
  const auto us = [](const timeval& t) { return t.tv_sec * 1'000'000 + t.tv_usec; };
  return {us(now.ru_utime) + us(now.ru_stime), now.ru_nvcsw};
}

class Idle : public Cluster {
 protected:
  // Sleeps in one node's loop for a second.
  void expect_sleep(Node& node) {
    const Usage before = usage();
    const std::int64_t end = sys::now_ns() + 1'000'000'000;
    int turns = 0;
    for (std::int64_t now = sys::now_ns(); now < end; now = sys::now_ns(), ++turns)
      node.loop.turn(static_cast<int>((end - now) / 1'000'000 + 1));
    const Usage after = usage();
    EXPECT_LE(turns, 6);
    EXPECT_LE(after.switches - before.switches, 6);
    EXPECT_LE(after.cpu_us - before.cpu_us, 5'000);
  }
  void settle() {
    const std::int64_t end = sys::now_ns() + 300'000'000;
    (void)drive([&] { return sys::now_ns() > end; });
  }
};

TEST_F(Idle, AloneItNeverLooksAtUcx) {
  make(1);
  settle();
  while (nodes[0]->loop.turn(1)) {
  }  // until it sleeps
  const std::uint64_t before = looks;
  for (int i = 0; i < 1000; ++i) {
    if (nodes[0]->channel->poll()) FAIL();
  }
  EXPECT_EQ(looks, before);
  expect_sleep(*nodes[0]);
}

TEST_F(Idle, ConnectedItSleeps) {
  PeerOptions options;
  options.heartbeat_ms = 100;
  make(2, options);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  ASSERT_TRUE(call(1, 0, ask(What::echo)).ok());
  EXPECT_GT(looks, 0u);  // the counter above is in the way
  settle();
  expect_sleep(*nodes[0]);
  expect_sleep(*nodes[1]);
}

TEST_F(Idle, WithItsPeerGoneItIsQuietAgain) {
  make(2);
  ASSERT_TRUE(call(0, 1, ask(What::echo)).ok());
  shut(1);
  settle();
  EXPECT_EQ(nodes[0]->channel->statistics().endpoints, 0U);
  expect_sleep(*nodes[0]);
}

}  // namespace
}  // namespace benchfs::test
