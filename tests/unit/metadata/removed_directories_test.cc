#include "daemon/metadata/removed_directories.h"

#include <gtest/gtest.h>

#include <memory>

namespace benchfs {
namespace {

std::unique_ptr<Inode> removed(std::uint64_t number) {
  auto inode = std::make_unique<Inode>();
  inode->number = number;
  return inode;
}

TEST(RemovedDirectories, ForgetTheOldestAndKeepTheRest) {
  RemovedDirectories directories;
  for (std::uint64_t number = 1; number <= RemovedDirectories::kept_max; ++number)
    directories.add(removed(number));
  ASSERT_NE(directories.find(1), nullptr);
  EXPECT_EQ(directories.find(1)->number, 1u);
  const std::uint64_t last = RemovedDirectories::kept_max + 1;
  directories.add(removed(last));
  EXPECT_EQ(directories.find(1), nullptr);
  EXPECT_NE(directories.find(2), nullptr);
  EXPECT_NE(directories.find(last), nullptr);
}

}  // namespace
}  // namespace benchfs
