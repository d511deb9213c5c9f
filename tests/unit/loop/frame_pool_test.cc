#include "daemon/loop/frame_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace benchfs {
namespace {

// Under a sanitizer it keeps nothing, so that a use of an ended frame is seen.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keeps = false;
#else
constexpr bool keeps = true;
#endif

TEST(FramePool, GivesFramesAgainToThoseOfLikeSize) {
  void* const frame = FramePool::take(200);
  FramePool::give(frame, 200);
  void* const larger = FramePool::take(300);
  EXPECT_NE(larger, frame);
  void* const again = FramePool::take(193);
  if (keeps) {
    EXPECT_EQ(again, frame);
  }
  FramePool::give(again, 193);
  FramePool::give(larger, 300);
}

TEST(FramePool, HandsOutEachFrameOnce) {
  std::vector<std::pair<void*, std::size_t>> taken;
  for (const std::size_t bytes : {1u, 64u, 65u, 2048u, 2049u, 100'000u})
    for (int i = 0; i < 200; ++i) taken.emplace_back(FramePool::take(bytes), bytes);
  for (const auto& [frame, bytes] : taken) {
    std::fill_n(static_cast<char*>(frame), bytes, 'x');  // all of it is there
    FramePool::give(frame, bytes);
  }
  std::set<void*> again;
  while (again.size() < taken.size() && again.insert(FramePool::take(64)).second) continue;
  EXPECT_EQ(again.size(), taken.size());
  for (void* const frame : again) FramePool::give(frame, 64);
}

// LeakSanitizer and valgrind say whether it does.
TEST(FramePool, FreesWhatItKeptWhenItsThreadEnds) {
  std::thread([] {
    for (int i = 0; i < 10; ++i) {
      void* const frame = FramePool::take(500);
      void* const other = FramePool::take(500);
      FramePool::give(frame, 500);
      FramePool::give(other, 500);
    }
  }).join();
}

}  // namespace
}  // namespace benchfs
