// FileSystem where something around it changes: programs by exec, servers that stop or end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/unit/fs/file_system_test.h"

namespace benchfs {
namespace {

TEST(FileSystemAround, ExecKeepsDescriptorsAndDirectory) {
  const Servers servers(1);
  ASSERT_TRUE(servers.ready());
  const auto fs = FileSystem::make(seen_as(View::one, servers));
  const auto at = [&](const char* name) { return *fs->locate(AT_FDCWD, name); };
  const auto fd = fs->open(at("/benchfs/inherited"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  ASSERT_TRUE(fs->open(at("/benchfs/closed"), O_RDWR | O_CREAT | O_CLOEXEC, 0644).ok());
  EXPECT_EQ(*fs->find(*fd)->write(bytes_of("parent")), 6u);
  fs->before_fork();
  const pid_t child = fork();
  if (child == 0) {
    fs->after_fork_child();
    if (!fs->change_directory(at("/benchfs")).ok() || !fs->before_exec().ok()) _exit(1);
    execl(FS_AFTER_EXEC, FS_AFTER_EXEC, servers.local_dir().c_str(), std::to_string(*fd).c_str(),
          nullptr);
    _exit(127);
  }
  fs->after_fork_parent(child);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(fs->stat(at("/benchfs/inherited"), true)->st_size, 10);
}

TEST(FileSystemAround, StoppedServersDoNotStopKnownFiles) {
  const Servers servers(1);
  ASSERT_TRUE(servers.ready());
  const auto fs = FileSystem::make(seen_as(View::one, servers));
  const auto fd = fs->open(*fs->locate(AT_FDCWD, "/benchfs/f"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  const auto file = fs->find(*fd);
  const std::string data = pattern(300'000, 5);
  servers.signal_all(SIGSTOP);
  EXPECT_EQ(*file->write(bytes_of(data)), data.size());
  std::vector<std::byte> out(400'000);
  EXPECT_EQ(*file->read_at(out, 0), data.size());
  EXPECT_EQ(text_of(out).substr(0, data.size()), data);
  std::thread resume([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    servers.signal_all(SIGCONT);
  });
  EXPECT_EQ(file->stat()->st_size, 300'000);
  EXPECT_TRUE(fs->make_directory(*fs->locate(AT_FDCWD, "/benchfs/d"), 0755).ok());  // waits
  resume.join();
}

TEST(FileSystemAround, EndedServersAreAnError) {
  const Servers servers(1);
  ASSERT_TRUE(servers.ready());
  const auto fs = FileSystem::make(seen_as(View::one, servers));
  const auto fd = fs->open(*fs->locate(AT_FDCWD, "/benchfs/f"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  const auto file = fs->find(*fd);
  servers.signal_all(SIGKILL);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(fs->make_directory(*fs->locate(AT_FDCWD, "/benchfs/d"), 0755).error(), Error(EIO));
  EXPECT_EQ(file->stat().error(), Error(EIO));  // known now not to be there
  EXPECT_EQ(fs->stat(*fs->locate(AT_FDCWD, "/benchfs/f"), true).error(), Error(EIO));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(FileSystemAround, MissingServersAreAnErrorAndElsewhereIsUntouched) {
  const auto fs =
      FileSystem::make({.mount_point = "/benchfs", .local_dir = testing::TempDir() + "none"});
  EXPECT_FALSE(fs->locate(AT_FDCWD, "/etc/passwd"));
  EXPECT_FALSE(fs->locate(AT_FDCWD, nullptr));
  EXPECT_EQ(fs->find(0), nullptr);
  EXPECT_EQ(fs->stat(*fs->locate(AT_FDCWD, "/benchfs/x"), true).error(), Error(EIO));
  const auto off = FileSystem::make({.mount_point = "/benchfs", .local_dir = ""});
  EXPECT_FALSE(off->locate(AT_FDCWD, "/benchfs/x"));
}

}  // namespace
}  // namespace benchfs
