#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/result.h"
#include "daemon/loop/completion.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/uring.h"

namespace benchfs {
namespace {

Task<Result<int>> positive(int x) {
  if (x < 0) co_return Error(EINVAL);
  co_return x;
}
Task<Result<int>> sum(int count, int x) {
  int total = 0;
  for (int i = 0; i < count; ++i) {
    CO_TRY(const int value, co_await positive(x));
    total += value;
  }
  co_return total;
}

TEST(Task, AwaitsTwoMillionReadyChildrenOnAFlatStack) {
  auto task = sum(2'000'000, 1);
  task.start();
  ASSERT_TRUE(task.done());
  const auto result = task.take();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result, 2'000'000);
}

TEST(Task, LeavesWithTheErrorOfAChild) {
  auto task = sum(3, -1);
  task.start();
  const auto result = task.take();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), Error(EINVAL));
}

Task<int> note_after(EventLoop& loop, std::int64_t ns, std::vector<int>* order, int what) {
  const int result = co_await loop.sleep(ns);
  EXPECT_EQ(result, -ETIMEDOUT);
  order->push_back(what);
  co_return 0;
}

TEST(EventLoop, RunsTimersInTheOrderOfTheirDeadlines) {
  EventLoop loop;
  std::vector<int> order;
  loop.spawn(note_after(loop, 3'000'000, &order, 2));
  loop.spawn(note_after(loop, 1'000'000, &order, 1));
  while (loop.spawned() != 0) loop.turn(100);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

Task<int> await_cancelled(EventLoop& loop, bool* woken) {
  Completion done(loop);
  const auto timer = loop.at(sys::now_ns() + 1'000'000'000, done);
  loop.cancel(timer);
  done.finish(7);
  const int result = co_await done;
  *woken = result == 7;
  co_return 0;
}

TEST(EventLoop, ACancelledTimerDoesNotFinishItsCompletion) {
  EventLoop loop;
  bool woken = false;
  loop.spawn(await_cancelled(loop, &woken));
  while (loop.spawned() != 0) loop.turn(0);
  EXPECT_TRUE(woken);
}

TEST(EventLoop, AWatchMayUnwatchItself) {
  EventLoop loop;
  const Fd event(::eventfd(1, EFD_CLOEXEC));
  int calls = 0;
  loop.watch(event.get(), EPOLLIN, [&](std::uint32_t) {
    ++calls;
    loop.unwatch(event.get());
  });
  for (int i = 0; i < 5; ++i) loop.turn(1);
  EXPECT_EQ(calls, 1);
}

Task<int> write_and_read(Uring& uring, int fd, bool* equal) {
  const std::array<char, 5> text{'h', 'e', 'l', 'l', 'o'};
  EXPECT_EQ(co_await uring.write(fd, text.data(), text.size(), 4096), 5);
  std::array<char, 16> back{};
  EXPECT_EQ(co_await uring.read(fd, back.data(), back.size(), 4096), 5);
  *equal = std::equal(text.begin(), text.end(), back.begin());
  EXPECT_EQ(co_await uring.read(fd, back.data(), back.size(), 9000), 0);
  EXPECT_EQ(co_await uring.fsync(fd), 0);
  EXPECT_EQ(co_await uring.unlinkat(AT_FDCWD, "/nonexistent/file", 0), -ENOENT);
  co_return 0;
}

// Two descriptors are readable at once; the callback of the first closes the second and gets its
// number again for one that is not readable.
TEST(EventLoop, AnEventOfAClosedDescriptorIsNotTheNextOnes) {
  EventLoop loop;
  const int a = ::eventfd(1, EFD_NONBLOCK);
  const int b = ::eventfd(1, EFD_NONBLOCK);
  int reused = -1;
  int stale = 0;
  const auto replace = [&](int other) {
    loop.unwatch(other);
    ::close(other);
    reused = ::eventfd(0, EFD_NONBLOCK);
    EXPECT_EQ(reused, other);
    loop.watch(reused, EPOLLIN, [&](std::uint32_t) { ++stale; });
  };
  loop.watch(a, EPOLLIN, [&](std::uint32_t) {
    loop.unwatch(a);
    if (reused < 0) replace(b);
  });
  loop.watch(b, EPOLLIN, [&](std::uint32_t) {
    loop.unwatch(b);
    if (reused < 0) replace(a);
  });
  for (int i = 0; i < 10; ++i) loop.turn(0);
  EXPECT_EQ(stale, 0);
  loop.unwatch(reused);
  for (const int fd : {a, b}) ::close(fd);
}

TEST(Uring, WritesAndReadsAFile) {
  EventLoop loop;
  auto uring = Uring::create(loop, 8, 4);
  ASSERT_TRUE(uring.ok());
  std::string path = testing::TempDir() + "/uring.XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd);
  ::unlink(path.c_str());
  bool equal = false;
  loop.spawn(write_and_read(**uring, fd.get(), &equal));
  while (loop.spawned() != 0) loop.turn(100);
  EXPECT_TRUE(equal);
}

Task<int> one_byte(Uring& uring, int fd, std::uint64_t offset) {
  const char byte = 'x';
  EXPECT_EQ(co_await uring.write(fd, &byte, 1, offset), 1);
  co_return 0;
}

TEST(Uring, TakesMoreOperationsAtOnceThanItHasSlots) {
  EventLoop loop;
  auto uring = Uring::create(loop, 4, 64);
  ASSERT_TRUE(uring.ok());
  std::string path = testing::TempDir() + "/uring.XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  ::unlink(path.c_str());
  for (std::uint64_t i = 0; i < 100; ++i) loop.spawn(one_byte(**uring, fd.get(), i));
  while (loop.spawned() != 0) loop.turn(100);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_END), 100);
}

}  // namespace
}  // namespace benchfs
