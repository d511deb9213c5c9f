// Two processes with sleeping loops, and what one sees when the other is killed or stopped.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>

#include "common/fd.h"
#include "tests/unit/peer/cluster.h"

namespace benchfs::test {
namespace {

Bytes swap_addresses(int fd, const Bytes& own) {
  EXPECT_EQ(::send(fd, own.data(), own.size(), 0), static_cast<ssize_t>(own.size()));
  Bytes other(65536);
  const ssize_t n = ::recv(fd, other.data(), other.size(), 0);
  EXPECT_GT(n, 0);
  other.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return other;
}

// Rank 1: serves until its parent closes the socket.
[[noreturn]] void serve(int fd) {
  Node node;
  const Bytes other = swap_addresses(fd, node.address());
  node.start(identity(1, 2), {other, {}});
  bool stop = false;
  node.loop.watch(fd, EPOLLIN | EPOLLHUP, [&](std::uint32_t) { stop = true; });
  while (!stop) node.loop.turn(-1);
  node.held.clear();
  auto status = node.channel->shutdown(sys::now_ns() + 1'000'000'000);
  status.start();
  while (!status.done()) node.loop.turn(10);
  _exit(status.take().ok() ? 0 : 1);
}

class Processes : public testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(fds[0]);
      serve(fds[1]);
    }
    ::close(fds[1]);
    socket = Fd(fds[0]);
    PeerOptions options;
    options.request_timeout_ms = 1500;
    options.heartbeat_ms = 100;
    node.emplace(options);
    const Bytes other = swap_addresses(socket.get(), node->address());
    node->start(identity(0, 2), {{}, other});
  }
  void TearDown() override {
    if (node) {
      auto status = run(node->channel->shutdown(sys::now_ns() + 1'000'000'000));
      EXPECT_TRUE(status.ok());
      while (node->loop.spawned() != 0) node->loop.turn(10);
      node.reset();
    }
    socket.reset();
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (!killed) {
      EXPECT_EQ(status, 0);
    }
  }
  template <class T>
  T run(Task<T> task) {
    task.start();
    return finish(task);
  }
  template <class T>
  T finish(Task<T>& task) {
    const std::int64_t deadline = sys::now_ns() + 30'000'000'000;
    while (!task.done()) {
      if (sys::now_ns() > deadline) std::abort();  // its frame cannot be destroyed
      node->loop.turn(1000);
    }
    return task.take();
  }
  void end_child() {
    ::kill(child, SIGKILL);
    killed = true;
  }

  pid_t child = -1;
  bool killed = false;
  Fd socket;
  std::optional<Node> node;
};

TEST_F(Processes, SleepingLoopsMissNothing) {
  const Bytes body = ask(What::echo);
  for (int i = 0; i < 2000; ++i) {
    auto result = run(node->channel->call(1, body));
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->body, body);
  }
}

TEST_F(Processes, BulkBothWays) {
  for (const std::size_t bytes : {1U, 100U << 10, 1U << 20, 16U << 20}) {
    const Bytes send = pattern(bytes);
    Bytes receive(bytes);
    auto result = run(node->channel->call(1, ask(What::echo), send, receive));
    ASSERT_TRUE(result.ok());
    EXPECT_TRUE(send == receive);
  }
}

TEST_F(Processes, KilledMidCallIsEioAfterTheTimeout) {
  ASSERT_TRUE(run(node->channel->call(1, ask(What::echo))).ok());
  const Bytes send = pattern(16U << 20);
  Bytes receive(16U << 20);
  auto held = node->channel->call(1, ask(What::hold));
  auto bulk = node->channel->call(1, ask(What::echo), send, receive);
  held.start();
  bulk.start();
  const std::int64_t soon = sys::now_ns() + 3'000'000;
  while (sys::now_ns() < soon) node->loop.turn(0);
  end_child();
  const std::int64_t before = sys::now_ns();
  EXPECT_EQ(finish(held).error(), Error(EIO));
  EXPECT_EQ(finish(bulk).error(), Error(EIO));
  EXPECT_GE(sys::now_ns() - before, 1'400'000'000);  // its successor might have come
  EXPECT_LE(sys::now_ns() - before, 3'000'000'000);
  const std::int64_t later = sys::now_ns();
  EXPECT_EQ(run(node->channel->call(1, ask(What::echo))).error(), Error(EIO));
  EXPECT_LE(sys::now_ns() - later, 1'000'000'000);  // known to be gone
}

TEST_F(Processes, StoppedIsEioAfterTheTimeoutAndWorksAgain) {
  ASSERT_TRUE(run(node->channel->call(1, ask(What::echo))).ok());
  ::kill(child, SIGSTOP);
  const Bytes send = pattern(1U << 20);
  const std::int64_t before = sys::now_ns();
  EXPECT_EQ(run(node->channel->call(1, ask(What::echo), send)).error(), Error(EIO));
  const std::int64_t took_ms = (sys::now_ns() - before) / 1'000'000;
  EXPECT_GE(took_ms, 1500);
  EXPECT_LE(took_ms, 6000);
  ::kill(child, SIGCONT);
  Result<PeerReply> result = Error(EIO);
  for (int i = 0; i < 5 && !result.ok(); ++i) result = run(node->channel->call(1, ask(What::echo)));
  EXPECT_TRUE(result.ok());
}

TEST_F(Processes, SlowIsNotDead) {
  auto result = run(node->channel->call(1, ask(What::late, 4000)));
  EXPECT_TRUE(result.ok());  // longer than the time-out
}

}  // namespace
}  // namespace benchfs::test
