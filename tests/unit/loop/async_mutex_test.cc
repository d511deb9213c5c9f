#include "daemon/loop/async_mutex.h"

#include <gtest/gtest.h>

#include <vector>

namespace benchfs {
namespace {

Task<int> visit(EventLoop& loop, AsyncMutex& mutex, std::vector<int>* log, int who) {
  co_await mutex.lock(loop);
  log->push_back(who);
  co_await loop.sleep(100'000);
  log->push_back(who);  // nobody came in between
  mutex.unlock();
  co_return 0;
}

TEST(AsyncMutex, LetsOneInAtATimeInOrder) {
  EventLoop loop;
  AsyncMutex mutex;
  std::vector<int> log;
  for (int who = 0; who < 3; ++who) loop.spawn(visit(loop, mutex, &log, who));
  while (loop.spawned() != 0) loop.turn(100);
  EXPECT_EQ(log, (std::vector<int>{0, 0, 1, 1, 2, 2}));
  EXPECT_FALSE(mutex.locked());
}

}  // namespace
}  // namespace benchfs
