#include "client-preload/fs/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace benchfs {
namespace {

std::string rest(const std::optional<std::string_view>& found) {
  return found ? "+" + std::string(*found) : "-";
}

TEST(Mount, TakesWholeComponentsOnly) {
  const Mount mount("/benchfs");
  EXPECT_EQ(rest(mount.below("/benchfs")), "+");
  EXPECT_EQ(rest(mount.below("/benchfs/")), "+");
  EXPECT_EQ(rest(mount.below("/benchfs//a//b/")), "+a//b/");
  EXPECT_EQ(rest(mount.below("/benchfs/../x")), "+../x");
  EXPECT_EQ(rest(mount.below("/benchfsX")), "-");
  EXPECT_EQ(rest(mount.below("/benchf")), "-");
  EXPECT_EQ(rest(mount.below("/")), "-");
}

TEST(Mount, IsNormalisedAndNeverTheRoot) {
  EXPECT_EQ(Mount("//scratch/./job/../bench/").path(), "/scratch/bench");
  EXPECT_EQ(Mount("//scratch/./job/../bench/").parent(), "/scratch");
  EXPECT_STREQ(Mount("//scratch/bench/").base_name(), "bench");
  EXPECT_EQ(Mount("/benchfs").parent(), "/");
  EXPECT_STREQ(Mount("/benchfs").base_name(), "benchfs");
  EXPECT_FALSE(Mount("/").valid());
  EXPECT_FALSE(Mount("/..").valid());
  EXPECT_FALSE(Mount("relative").valid());
  EXPECT_FALSE(Mount("").valid());
}

TEST(Mount, IsFoundThroughDotsAndSlashes) {
  const Mount mount("/benchfs");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "//benchfs/a")), "+a");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "/./benchfs/a")), "+a");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "/usr/../benchfs/a")), "+a");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "/no such directory/../benchfs/a")), "-");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "/usr/benchfs/a")), "-");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/", "benchfs/a")), "+a");
  EXPECT_EQ(rest(mount.below(AT_FDCWD, "/usr", "benchfs/a")), "-");
  EXPECT_FALSE(mount.may_enter("/usr/include/stdio.h"));
  EXPECT_TRUE(mount.may_enter("../benchfs/x"));
}

TEST(Mount, DoesNotTakeDotDotBehindASymlinkForItsText) {
  char name[] = "/tmp/benchfs_mount_XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string top = name;
  ASSERT_EQ(mkdir((top + "/a").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((top + "/b").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((top + "/b/c").c_str(), 0700), 0);
  ASSERT_EQ(symlink((top + "/b/c").c_str(), (top + "/a/link").c_str()), 0);
  const Mount in_a(top + "/a/m");
  const Mount in_b(top + "/b/m");
  EXPECT_EQ(rest(in_a.below(AT_FDCWD, "/", (top + "/a/link/../m/x").c_str())), "-");
  EXPECT_EQ(rest(in_b.below(AT_FDCWD, "/", (top + "/b/c/../m/x").c_str())), "+x");
  for (const char* entry : {"/a/link", "/b/c", "/a", "/b", ""})
    EXPECT_EQ(remove((top + entry).c_str()), 0);
}

}  // namespace
}  // namespace benchfs
