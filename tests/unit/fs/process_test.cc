// FileSystem against real servers: descriptors, forks and the working directory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/fs/file_system_test.h"

namespace benchfs {
namespace {

using namespace std::string_literals;

class FileProcess : public FileSystemTest {};

TEST_P(FileProcess, KeepsTrackOfDescriptors) {
  put("f", "0123456789");
  const int fd = open("f", O_RDWR);
  const int copy = dup(fd);
  fs->duplicated(fd, copy);
  const int unseen = dup(fd);  // by somebody who bypassed us: nothing says what it is
  EXPECT_EQ(fs->find(unseen), nullptr);
  ::close(unseen);
  ASSERT_TRUE(fs->sending(fd).ok());
  ASSERT_EQ(dup(fd), unseen);  // its opening says it
  std::vector<std::byte> out(4);
  EXPECT_EQ(*fs->find(fd)->read(out), 4u);
  EXPECT_EQ(*fs->find(copy)->read(out), 4u);
  EXPECT_EQ(text_of(out), "4567");
  EXPECT_EQ(*fs->find(unseen)->read(out), 2u);
  EXPECT_EQ(fs->our_descriptors(), (std::vector<int>{fd, copy, unseen}));
  close(fd);
  ::close(copy);  // bypassed; the number is another file's then
  const int other = ::open("/dev/null", O_RDWR);
  const int another = ::open("/dev/null", O_RDWR);
  EXPECT_TRUE(other == copy || another == copy);
  usleep(5000);
  EXPECT_EQ(fs->find(copy), nullptr);
  EXPECT_EQ(*fs->find(unseen)->seek(0, SEEK_CUR), 10);
  EXPECT_EQ(fs->find(0), nullptr);
  EXPECT_EQ(fs->find(-1), nullptr);
  EXPECT_EQ(fs->find(9999), nullptr);
  EXPECT_FALSE(fs->closing(other));
  ::close(other);
  ::close(another);
  close(unseen);
  EXPECT_TRUE(fs->our_descriptors().empty());
  const auto own = fs->private_descriptors();
  EXPECT_FALSE(own.empty());
  for (const int number : own) EXPECT_TRUE(fs->is_private(number));
}

TEST_P(FileProcess, GivesItsNumbersUpWhenAskedTo) {
  put("f", "0123456789");
  const int fd = open("f", O_RDWR);
  EXPECT_EQ(read_at(*fs->find(fd), 3, 0), "012");
  for (const int number : fs->private_descriptors()) {
    fs->move_private(number);
    EXPECT_FALSE(fs->is_private(number));
    EXPECT_LT(fcntl(number, F_GETFD), 0);
  }
  EXPECT_EQ(read_at(*fs->find(fd), 3, 1), "123");
  EXPECT_EQ(size_of("f"), 10);
  put("g", "new");
  EXPECT_EQ(get("g"), "new");
  close(fd);
}

TEST_P(FileProcess, SharesOffsetsWithForkedChildren) {
  const int fd = open("f", O_RDWR | O_CREAT);
  EXPECT_EQ(*fs->find(fd)->write(bytes_of("parent ")), 7u);
  for (int i = 0; i < 20; ++i) {
    fs->before_fork();
    const pid_t child = fork();
    if (child == 0) {
      fs->after_fork_child();
      const auto file = fs->find(fd);
      bool good = file != nullptr && file->write(bytes_of("child ")).ok();
      good = good && fs->stat(at("f"), true).ok();
      good = good && fs->closing(fd);
      _exit(good ? 0 : 1);
    }
    fs->after_fork_parent(child);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);
  }
  EXPECT_EQ(*fs->find(fd)->write(bytes_of("end")), 3u);
  close(fd);
  EXPECT_EQ(get("f").size(), 7u + 20 * 6 + 3);
  EXPECT_EQ(get("f").substr(0, 13), "parent child ");
}

TEST_P(FileProcess, NoticesAForkThatNobodyAnnounced) {
  const int fd = open("f", O_RDWR | O_CREAT);
  const pid_t child = fork();
  if (child == 0) {
    bool good = fs->stat(at("f"), true).ok();  // must not use its parent's slots
    const auto file = fs->find(fd);
    good = good && file != nullptr && file->write(bytes_of("child")).ok();
    good = good && fs->closing(fd);
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(size_of("f"), 5);
  EXPECT_EQ(*fs->find(fd)->write(bytes_of("!")), 1u);
  close(fd);
  EXPECT_EQ(get("f"), "child!");
}

TEST_P(FileProcess, ChangesTheWorkingDirectory) {
  EXPECT_FALSE(fs->working_directory_is_ours());
  EXPECT_TRUE(fs->make_directory(at("d"), 0755).ok());
  put("d/f", "here");
  const std::string before = std::filesystem::current_path();
  ASSERT_TRUE(fs->change_directory(at("d")).ok());
  EXPECT_TRUE(fs->working_directory_is_ours());
  EXPECT_EQ(*fs->working_directory(), name("d"));
  if (GetParam() != View::one_of_three) {  // what seems to be elsewhere is not shown
    EXPECT_TRUE(fs->stat(at("d"), true).ok());
    const std::uint64_t asked = fs->requests_sent();
    EXPECT_EQ(*fs->working_directory(), name("d"));
    EXPECT_EQ(fs->requests_sent(), asked);
  }
  EXPECT_TRUE(fs->stat(*fs->locate(AT_FDCWD, "f"), true).ok());
  EXPECT_TRUE(fs->stat(*fs->locate(AT_FDCWD, "../d/./f"), true).ok());
  EXPECT_LT(::open("f", O_RDONLY), 0) << "what bypasses us must not land elsewhere";
  EXPECT_TRUE(fs->rename(at("d"), at("e"), 0).ok());
  EXPECT_EQ(*fs->working_directory(), name("e"));
  EXPECT_EQ(error_of(fs->change_directory(at("e/f"))), ENOTDIR);
  const int fd = open("", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(fs->change_directory(fs->find(fd)).ok());
  close(fd);
  EXPECT_EQ(*fs->working_directory(), top);
  EXPECT_TRUE(fs->stat(*fs->locate(AT_FDCWD, "e/f"), true).ok());
  ASSERT_EQ(::chdir(before.c_str()), 0);
  fs->left_by_chdir();
  EXPECT_FALSE(fs->working_directory_is_ours());
  EXPECT_FALSE(fs->locate(AT_FDCWD, "f"));
  const int directory = open("e", O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(fs->stat(*fs->locate(directory, "f"), true).ok());
  EXPECT_FALSE(fs->locate(directory, "/etc/passwd"));
  EXPECT_FALSE(fs->locate(directory, ""));
  close(directory);
}

TEST_P(FileProcess, LeavesNothingWhenNumbersRunOut) {
  put("warm", "x");
  rlimit limits{};
  getrlimit(RLIMIT_NOFILE, &limits);
  const rlimit few{.rlim_cur = 32, .rlim_max = limits.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  std::vector<int> taken;
  for (int fd = dup(0); fd >= 0; fd = dup(0)) taken.push_back(fd);
  EXPECT_EQ(open("f", O_CREAT | O_WRONLY), -EMFILE);
  EXPECT_EQ(open("warm", O_RDONLY), -EMFILE);
  for (const int fd : taken) ::close(fd);
  setrlimit(RLIMIT_NOFILE, &limits);
  EXPECT_EQ(stat_error("f"), ENOENT);
  EXPECT_EQ(get("warm"), "x");
}

INSTANTIATE_TEST_SUITE_P(Views, FileProcess, all_views(), view_name);

}  // namespace
}  // namespace benchfs
