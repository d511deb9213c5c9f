#include "daemon/metadata/removed_directories.h"

#include <gtest/gtest.h>

namespace benchfs {
namespace {

RemovedDirectories::Removed removed(std::uint64_t number) {
  RemovedDirectories::Removed directory{};
  directory.attributes.inode = number;
  directory.parent = number + 1;
  return directory;
}

TEST(RemovedDirectories, ForgetTheOldestAndKeepTheRest) {
  RemovedDirectories directories;
  for (std::uint64_t number = 1; number <= RemovedDirectories::kept_max; ++number)
    directories.add(removed(number));
  directories.add(removed(1));  // it takes no second place
  ASSERT_NE(directories.find(1), nullptr);
  EXPECT_EQ(directories.find(1)->parent, 2u);
  const std::uint64_t last = RemovedDirectories::kept_max + 1;
  directories.add(removed(last));
  EXPECT_EQ(directories.find(1), nullptr);
  EXPECT_NE(directories.find(2), nullptr);
  EXPECT_NE(directories.find(last), nullptr);
}

}  // namespace
}  // namespace benchfs
