#include "spank-plugin/directories.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/spank/temporary_directory.h"

namespace benchfs::spank {
namespace {

namespace fs = std::filesystem;

mode_t mode_of(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 ? found.st_mode & 07777 : 0;
}

TEST(PrivateDirectory, IsMadeOnceAndFoundAgain) {
  const TemporaryDirectory root;
  EXPECT_TRUE(make_private_directory(root / "a").ok());
  EXPECT_EQ(mode_of(root / "a"), 0700u);
  EXPECT_TRUE(make_private_directory(root / "a").ok());
}

TEST(PrivateDirectory, IsNotWhatSomebodyElseMayHavePutThere) {
  const TemporaryDirectory root;
  fs::create_directory(root / "open");
  fs::permissions(root / "open", fs::perms(0750));
  EXPECT_EQ(make_private_directory(root / "open").error(), Error(EPERM));
  fs::create_directory(root / "target");
  fs::permissions(root / "target", fs::perms(0700));
  fs::create_symlink(root / "target", root / "link");
  EXPECT_EQ(make_private_directory(root / "link").error(), Error(EPERM));
  root.write("file", "");
  EXPECT_EQ(make_private_directory(root / "file").error(), Error(EPERM));
  EXPECT_EQ(make_private_directory(root / "no/such").error(), Error(ENOENT));
}

// The tests may run as any user: this user stands for root.
std::string make(const std::string& base, const std::string& name) {
  return make_job_directory(base, name, ::geteuid(), ::getegid(), ::geteuid());
}

TEST(JobDirectory, IsMadeWithItsBase) {
  const TemporaryDirectory root;
  EXPECT_EQ(make(root / "benchfs", "17"), "");
  EXPECT_EQ(mode_of(root / "benchfs/17"), 0700u);
  EXPECT_EQ(mode_of(root / "benchfs") & 022, 0u);
  EXPECT_EQ(make(root / "benchfs", "17"), "");
}

TEST(JobDirectory, RefusesABaseThatOthersCanChange) {
  const TemporaryDirectory root;
  fs::create_directory(root / "benchfs");
  fs::permissions(root / "benchfs", fs::perms(0777));
  EXPECT_NE(make(root / "benchfs", "17").find(root / "benchfs"), std::string::npos);
  EXPECT_FALSE(fs::exists(root / "benchfs/17"));
}

TEST(JobDirectory, RefusesABaseThatOthersCanReplace) {
  const TemporaryDirectory root;
  fs::permissions(root.path(), fs::perms(0777));
  EXPECT_NE(make(root / "benchfs", "17"), "");
  fs::permissions(root.path(), fs::perms(01777));
  EXPECT_EQ(make(root / "benchfs", "17"), "");
}

TEST(JobDirectory, FollowsNoLink) {
  const TemporaryDirectory root;
  fs::create_directory(root / "elsewhere");
  fs::create_symlink(root / "elsewhere", root / "benchfs");
  EXPECT_NE(make(root / "benchfs", "17"), "");
  fs::create_directory(root / "real");
  fs::create_symlink(root / "elsewhere", root / "real/17");
  EXPECT_NE(make(root / "real", "17"), "");
  EXPECT_TRUE(fs::is_empty(root / "elsewhere"));
}

TEST(JobDirectory, IsNeverTakenFromItsOwner) {
  const TemporaryDirectory root;
  ASSERT_EQ(make(root / "benchfs", "17"), "");
  // For another "root", what this user owns is a user's.
  EXPECT_NE(
      make_job_directory(root / "benchfs", "17", ::geteuid() + 1, ::getegid(), ::geteuid() + 2),
      "");
}

TEST(DirectoryOwner, IsOfDirectoriesOnly) {
  const TemporaryDirectory root;
  fs::create_directory(root / "17");
  fs::create_symlink(root / "17", root / "18");
  const auto owner = directory_owner(root.path(), "17");
  ASSERT_TRUE(owner.ok());
  EXPECT_EQ(*owner, ::geteuid());
  EXPECT_EQ(directory_owner(root.path(), "18").error(), Error(ENOTDIR));
  EXPECT_EQ(directory_owner(root.path(), "19").error(), Error(ENOENT));
  EXPECT_EQ(directory_owner(root / "no", "17").error(), Error(ENOENT));
}

TEST(ClearDirectory, RemovesWhatIsThereAndNothingElse) {
  const TemporaryDirectory root;
  fs::create_directories(root / "job/rank_0/chunks");
  root.write("job/rank_0/chunks/inode_1_chunk_0", "data");
  root.write("job/.hidden", "");
  root.write("outside", "stays");
  fs::create_symlink(root / "outside", root / "job/link");
  fs::create_directory(root / "outside_directory");
  root.write("outside_directory/file", "stays");
  fs::create_directory_symlink(root / "outside_directory", root / "job/directory_link");
  EXPECT_TRUE(clear_directory(root / "job").ok());
  EXPECT_TRUE(fs::is_empty(root / "job"));
  EXPECT_TRUE(fs::exists(root / "outside"));
  EXPECT_TRUE(fs::exists(root / "outside_directory/file"));
}

TEST(ClearDirectory, OpensWhatItsOwnerHasClosed) {
  const TemporaryDirectory root;
  fs::create_directories(root / "job/closed");
  root.write("job/closed/file", "");
  fs::permissions(root / "job/closed", fs::perms(0));
  EXPECT_TRUE(clear_directory(root / "job").ok());
  EXPECT_TRUE(fs::is_empty(root / "job"));
}

TEST(ClearDirectory, GoesDeeperThanItHasDescriptors) {
  const TemporaryDirectory root;
  std::string path = root / "job";
  fs::create_directory(path);
  const int start = ::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::chdir(path.c_str()), 0);
  for (int depth = 0; depth < 3000; ++depth) {
    ASSERT_EQ(::mkdir("d", 0700), 0);
    ASSERT_EQ(::chdir("d"), 0);
  }
  ASSERT_EQ(::fchdir(start), 0);
  ::close(start);
  EXPECT_TRUE(clear_directory(root / "job").ok());
  EXPECT_TRUE(fs::is_empty(root / "job"));
}

TEST(ClearDirectory, DoesNotEnterThroughALink) {
  const TemporaryDirectory root;
  fs::create_directory(root / "other");
  root.write("other/file", "");
  fs::create_directory_symlink(root / "other", root / "job");
  EXPECT_FALSE(clear_directory(root / "job").ok());
  EXPECT_TRUE(fs::exists(root / "other/file"));
  EXPECT_EQ(clear_directory(root / "none").error(), Error(ENOENT));
}

TEST(RunAsUser, TellsSuccessFailureAndHanging) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  EXPECT_TRUE(run_as_user(uid, gid, 10, [] { return true; }).ok());
  EXPECT_EQ(run_as_user(uid, gid, 10, [] { return false; }).error(), Error(EIO));
  EXPECT_EQ(run_as_user(uid, gid, 10, []() -> bool { throw 1; }).error(), Error(EIO));
  EXPECT_EQ(run_as_user(uid, gid, 1, [] { return ::pause() == 0; }).error(), Error(ETIMEDOUT));
  ::waitpid(-1, nullptr, 0);  // in the epilog its parent's end does that
}

TEST(RunAsUser, HasNothingOfRootLeft) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_TRUE(run_as_user(60123, 60124, 10, [] {
                return ::getuid() == 60123 && ::geteuid() == 60123 && ::getgid() == 60124 &&
                       ::getgroups(0, nullptr) == 0 && ::setuid(0) != 0;
              }).ok());
}

}  // namespace
}  // namespace benchfs::spank
