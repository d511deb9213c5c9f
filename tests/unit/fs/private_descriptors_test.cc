#include "client-preload/fs/private_descriptors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <vector>

#include "client-preload/fs/chunk_cache.h"

namespace benchfs {
namespace {

// In a child, as limits are the process's: 0 when the body held.
int in_child(rlim_t soft, rlim_t hard, const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limits{.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(RLIMIT_NOFILE, &limits) != 0) _exit(2);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

rlim_t hard_limit() {
  rlimit limits{};
  getrlimit(RLIMIT_NOFILE, &limits);
  return limits.rlim_max;
}

TEST(PrivateDescriptors, LieAboveTheSoftLimit) {
  if (hard_limit() < 2048) GTEST_SKIP() << "the hard limit of descriptors is below 2048";
  EXPECT_EQ(in_child(1024, hard_limit(),
                     [] {
                       PrivateDescriptors privates;
                       const auto number = privates.open(AT_FDCWD, "/dev/null", O_RDWR, 0);
                       rlimit after{};
                       getrlimit(RLIMIT_NOFILE, &after);
                       const bool refused = dup2(0, *number) < 0;
                       const bool works = write(*number, "x", 1) == 1;
                       privates.close(*number);
                       return number.ok() && *number >= 1024 && !privates.reachable() && refused &&
                              works && after.rlim_cur == 1024 && !privates.contains(*number) &&
                              fcntl(*number, F_GETFD) < 0;
                     }),
            0);
}

TEST(PrivateDescriptors, LieHighBelowALimitThatCannotBeRaised) {
  EXPECT_EQ(in_child(512, 512,
                     [] {
                       PrivateDescriptors privates;
                       const auto number = privates.open(AT_FDCWD, "/dev/null", O_RDWR, 0);
                       return number.ok() && *number > 256 && *number < 512 &&
                              privates.reachable() && privates.contains(*number);
                     }),
            0);
}

TEST(PrivateDescriptors, AreFoundWhenTheApplicationUsedUpItsOwn) {
  if (hard_limit() < 2048) GTEST_SKIP() << "the hard limit of descriptors is below 2048";
  EXPECT_EQ(in_child(64, hard_limit(),
                     [] {
                       PrivateDescriptors privates;
                       while (dup(0) >= 0) {
                       }
                       const auto number = privates.open(AT_FDCWD, "/dev/null", O_RDWR, 0);
                       return number.ok() && *number >= 64;
                     }),
            0);
}

TEST(ChunkCache, GivesTheSameFileUntilTheStampChanges) {
  char name[] = "/tmp/benchfs_cache_XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const Fd directory(open(name, O_RDONLY | O_DIRECTORY));
  PrivateDescriptors privates;
  ChunkCache cache(privates);
  const ChunkKey key{.inode = 7, .chunk = 3, .stamp = 1};
  EXPECT_FALSE(cache.find(key));
  EXPECT_EQ(cache.open(key, directory.get(), false).error(), Error(ENOENT));
  int number = -1;
  {
    const auto made = cache.open(key, directory.get(), true);
    ASSERT_TRUE(made.ok());
    number = made->fd();
    EXPECT_TRUE(privates.contains(number));
  }
  EXPECT_EQ(cache.find(key).fd(), number);
  EXPECT_FALSE(cache.find({.inode = 7, .chunk = 3, .stamp = 2}));
  cache.drop(7, 4);
  EXPECT_FALSE(cache.find(key));
  EXPECT_FALSE(privates.contains(number));
  unlinkat(directory.get(), "inode_7_chunk_3", 0);
  rmdir(name);
}

TEST(ChunkCache, NoticesANumberThatSomebodyReplaced) {
  char name[] = "/tmp/benchfs_cache_XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  EXPECT_EQ(in_child(512, 512,
                     [&] {
                       const Fd directory(open(name, O_RDONLY | O_DIRECTORY));
                       PrivateDescriptors privates;
                       ChunkCache cache(privates);
                       const ChunkKey key{.inode = 1, .chunk = 0, .stamp = 1};
                       const int number = cache.open(key, directory.get(), true)->fd();
                       const int other = open("/dev/null", O_RDWR);
                       if (dup2(other, number) != number) return false;
                       if (cache.find(key)) return false;
                       cache.drop_all();  // must not close what is not ours any more
                       return fcntl(number, F_GETFD) >= 0;
                     }),
            0);
  unlink((std::string(name) + "/inode_1_chunk_0").c_str());
  rmdir(name);
}

// Eight threads over more chunks than the cache holds: no transfer may see another chunk's file.
TEST(ChunkCache, NeverMixesChunksUp) {
  char name[] = "/tmp/benchfs_cache_XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const Fd directory(open(name, O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(in_child(96, 96,
                     [&] {
                       PrivateDescriptors privates;
                       ChunkCache cache(privates);
                       std::atomic<bool> good{true};
                       std::vector<std::thread> threads;
                       for (unsigned t = 0; t < 8; ++t) {
                         threads.emplace_back([&, t] {
                           std::uint64_t random = t + 1;
                           for (int i = 0; i < 3000; ++i) {
                             random = random * 6364136223846793005u + 1442695040888963407u;
                             const std::uint64_t chunk = (random >> 33) % 64;
                             const ChunkKey key{.inode = 1, .chunk = chunk, .stamp = 1};
                             std::uint64_t value = chunk;
                             const auto check = [&](int fd) {
                               if (sys::pwrite(fd, &value, 8, 0) != 8) good = false;
                               if (sys::pread(fd, &value, 8, 0) != 8 || value != chunk)
                                 good = false;
                             };
                             if (const auto pin = cache.find(key)) {
                               check(pin.fd());
                               continue;
                             }
                             const auto pin = cache.open(key, directory.get(), true);
                             if (pin.ok()) check(pin->fd());
                           }
                         });
                       }
                       for (auto& thread : threads) thread.join();
                       return good.load();
                     }),
            0);
  for (int i = 0; i < 64; ++i)
    unlinkat(directory.get(), ("inode_1_chunk_" + std::to_string(i)).c_str(), 0);
  rmdir(name);
}

}  // namespace
}  // namespace benchfs
