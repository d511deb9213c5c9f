// The behaviour every ChunkStore has, on real files.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "daemon/storage/uring_chunk_store.h"

namespace benchfs {
namespace {

constexpr std::uint64_t chunk_bytes = 64 << 10;

class ChunkStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/chunks.XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    auto uring = Uring::create(loop_, 64, 16);
    ASSERT_TRUE(uring.ok());
    uring_ = *std::move(uring);
    auto store = UringChunkStore::create(
        *uring_, directory_, {.chunk_bytes = chunk_bytes, .rank = 0, .ranks = 1});
    ASSERT_TRUE(store.ok());
    store_ = *std::move(store);
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    loop_.spawn(keep(std::move(task), &result));
    while (loop_.spawned() != 0) loop_.turn(100);
    return *std::move(result);
  }
  template <class T>
  static Task<int> keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await task);
    co_return 0;
  }
  std::size_t files() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(directory_ + "/chunks"))
      ++count;
    return count;
  }
  std::size_t write(ChunkId id, std::uint32_t offset, std::size_t bytes) {
    const std::vector<std::byte> data(bytes, std::byte{'x'});
    const auto written = run(store_->write(id, offset, data));
    EXPECT_TRUE(written.ok());
    return *written;
  }
  std::size_t read(ChunkId id, std::uint32_t offset, std::size_t bytes) {
    std::vector<std::byte> out(bytes);
    const auto got = run(store_->read(id, offset, out));
    EXPECT_TRUE(got.ok());
    return *got;
  }

  EventLoop loop_;
  std::unique_ptr<Uring> uring_;
  std::unique_ptr<UringChunkStore> store_;
  std::string directory_;
};

TEST_F(ChunkStoreTest, ReadsBackWhatWasWrittenAndStopsAtItsEnd) {
  EXPECT_EQ(write({7, 3}, 100, 5000), 5000u);
  EXPECT_EQ(read({7, 3}, 100, 5000), 5000u);
  EXPECT_EQ(read({7, 3}, 100, 9000), 5000u);
  EXPECT_EQ(read({7, 3}, 60000, 100), 0u);
}

TEST_F(ChunkStoreTest, AChunkNeverWrittenIsEmptyAndIsNotMadeByReading) {
  EXPECT_EQ(read({8, 0}, 0, 100), 0u);
  EXPECT_EQ(files(), 0u);
}

TEST_F(ChunkStoreTest, LargeWritesGoThroughTheRing) {
  EXPECT_EQ(write({9, 0}, 0, chunk_bytes * 4), chunk_bytes * 4);
  EXPECT_EQ(read({9, 0}, 0, chunk_bytes * 4), chunk_bytes * 4);
}

TEST_F(ChunkStoreTest, CuttingRemovesWholeChunksAndShortensTheLast) {
  for (std::uint64_t k = 0; k < 4; ++k) write({5, k}, 0, chunk_bytes);
  write({6, 0}, 0, 10);
  ASSERT_TRUE(run(store_->cut(5, chunk_bytes + 100, 4 * chunk_bytes)).ok());
  EXPECT_EQ(files(), 3u);
  EXPECT_EQ(read({5, 0}, 0, chunk_bytes), chunk_bytes);
  EXPECT_EQ(read({5, 1}, 0, chunk_bytes), 100u);
  EXPECT_EQ(read({5, 2}, 0, chunk_bytes), 0u);
  ASSERT_TRUE(run(store_->cut(5, 0, chunk_bytes + 100)).ok());
  EXPECT_EQ(files(), 1u);
}

TEST_F(ChunkStoreTest, RemovingASparseFileCostsWhatExists) {
  write({4, 0}, 0, 1);
  write({4, std::uint64_t{1} << 40}, 0, 1);
  ASSERT_TRUE(run(store_->cut(4, 0, std::uint64_t{1} << 60)).ok());
  EXPECT_EQ(files(), 0u);
}

TEST_F(ChunkStoreTest, SyncAndSpaceAnswer) {
  write({3, 0}, 0, 100);
  EXPECT_TRUE(run(store_->sync(3, 100)).ok());
  const auto space = store_->space();
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->bytes_total, 0u);
  EXPECT_LE(space->bytes_free, space->bytes_total);
}

}  // namespace
}  // namespace benchfs
