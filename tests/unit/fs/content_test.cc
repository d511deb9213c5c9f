// FileSystem against real servers: small files, whose contents lie in shared memory until they
// grow.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/fs/file_system_test.h"

namespace benchfs {
namespace {

constexpr std::size_t limit = 4096;  // metadata.inline_bytes

class FileContent : public FileSystemTest {};

// Against a string, with sizes on both sides of the limit.
TEST_P(FileContent, IsWhatAModelSays) {
  std::mt19937 random(20'240'607);
  const auto up_to = [&](std::size_t max) { return random() % (max + 1); };
  for (int round = 0; round < 40; ++round) {
    std::string model;
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_GE(fd, 0);
    for (int step = 0; step < 12; ++step) {
      const auto file = fs->find(fd);
      const std::size_t reach = up_to(9) == 0 ? 3 * limit : limit;
      switch (up_to(5)) {
        case 0:
        case 1: {
          const std::string data = pattern(1 + up_to(reach / 2), static_cast<unsigned>(random()));
          const std::size_t at = up_to(reach - reach / 2);
          ASSERT_EQ(*file->write_at(bytes_of(data), static_cast<off_t>(at)), data.size());
          if (model.size() < at + data.size()) model.resize(at + data.size());
          model.replace(at, data.size(), data);
          break;
        }
        case 2: {
          const std::string data = pattern(1 + up_to(900), static_cast<unsigned>(random()));
          ASSERT_TRUE(file->set_flags(O_APPEND).ok());
          ASSERT_EQ(*file->write(bytes_of(data)), data.size());
          ASSERT_TRUE(file->set_flags(0).ok());
          model += data;
          break;
        }
        case 3: {
          const std::size_t size = up_to(reach);
          ASSERT_TRUE(file->truncate(static_cast<off_t>(size)).ok());
          model.resize(size);
          break;
        }
        case 4:
          ASSERT_TRUE(file->sync(false).ok());
          break;
        default:
          close(fd);
          fd = open("f", up_to(1) == 0 ? O_RDONLY : O_RDWR);
          ASSERT_GE(fd, 0);
          ASSERT_EQ(read_at(*fs->find(fd), model.size() + 10, 0), model);
          close(fd);
          fd = open("f", O_RDWR);
          ASSERT_GE(fd, 0);
      }
      const std::size_t from = up_to(model.size());
      const std::size_t part = up_to(2 * limit);
      ASSERT_EQ(read_at(*fs->find(fd), part, static_cast<off_t>(from)), model.substr(from, part));
      ASSERT_EQ(read_at(*fs->find(fd), model.size() + 10, 0), model);
      ASSERT_EQ(size_of("f"), static_cast<off_t>(model.size()));
    }
    close(fd);
    ASSERT_EQ(get("f"), model);
    if (round % 3 == 0) {
      ASSERT_TRUE(fs->unlink(at("f")).ok());
    }
  }
}

TEST_P(FileContent, IsReadAndWrittenWithoutAskingAServer) {
  const std::string data = pattern(3901, 1);
  const int fd = open("f", O_RDWR | O_CREAT);
  const auto file = fs->find(fd);
  const std::uint64_t asked = fs->requests_sent();
  ASSERT_EQ(*file->write(bytes_of(data)), data.size());
  ASSERT_EQ(read_at(*file, data.size() + 10, 0), data);
  ASSERT_EQ(*file->write_at(bytes_of("other"), 100), 5u);
  ASSERT_EQ(read_at(*file, 5, 100), "other");
  EXPECT_EQ(fs->requests_sent() - asked, 0u);
  close(fd);
}

TEST_P(FileContent, IsNotTakenFromOrGivenToBadAddresses) {
  const int fd = open("f", O_RDWR | O_CREAT);
  const auto file = fs->find(fd);
  const std::span<std::byte> nothing(reinterpret_cast<std::byte*>(16), 8);
  EXPECT_EQ(file->write(nothing).error().code(), EFAULT);
  EXPECT_EQ(fs->stat(at("f"), true)->st_size, 0);
  ASSERT_TRUE(file->truncate(8).ok());
  EXPECT_EQ(file->read_at(nothing, 0).error().code(), EFAULT);  // a hole
  const std::string data = "some text";
  ASSERT_EQ(*file->write_at(bytes_of(data), 0), data.size());
  EXPECT_EQ(file->write_at(nothing, 0).error().code(), EFAULT);
  EXPECT_EQ(file->read_at(nothing, 0).error().code(), EFAULT);
  const std::span<const std::byte> pieces[] = {bytes_of("S"), nothing};
  const off_t start = 0;
  EXPECT_EQ(*file->write_pieces(pieces, &start), 1u);
  EXPECT_EQ(read_at(*file, 100, 0), "Some text");
  close(fd);
}

TEST_P(FileContent, OutlivesItsNameWhileOpen) {
  const std::string data = pattern(100, 2);
  put("f", data);
  ASSERT_EQ(get("f"), data);
  const int fd = open("f", O_RDONLY);
  ASSERT_GE(fd, 0);
  ASSERT_TRUE(fs->unlink(at("f")).ok());
  put("g", pattern(100, 3));
  EXPECT_EQ(read_at(*fs->find(fd), 200, 0), data);
  EXPECT_EQ(fs->find(fd)->stat()->st_nlink, 0u);
  close(fd);
}

TEST_P(FileContent, IsReplacedByANewFileOfTheSameName) {
  for (int i = 0; i < 50; ++i) {
    const std::string data =
        pattern(static_cast<std::size_t>(80 * i + 1), 5u + static_cast<unsigned>(i));
    put("new", data);
    ASSERT_TRUE(fs->rename(at("new"), at("f"), 0).ok());
    ASSERT_EQ(get("f"), data);
  }
}

// What a reader sees of a file that grows is its beginning, whole, wherever the bytes lie.
TEST_P(FileContent, GrowsPastTheLimitBeforeReadersWithoutAGap) {
  const std::string data = pattern(3 * limit, 4);
  constexpr int rounds = 60;
  std::vector<pid_t> readers;
  put("go", "");
  for (int i = 0; i < 2; ++i) {
    fs->before_fork();
    const pid_t child = fork();
    if (child == 0) {
      fs->after_fork_child();
      bool good = true;
      std::size_t seen_most = 0;
      while (!fs->stat(at("stop"), true).ok()) {
        const auto fd = fs->open(at("f"), O_RDONLY, 0);
        if (!fd.ok()) continue;
        const auto file = fs->find(*fd);
        std::size_t before = 0;
        for (int look = 0; look < 20; ++look) {
          const std::string seen = read_at(*file, data.size() + 1, 0);
          good = good && seen == data.substr(0, seen.size()) && seen.size() >= before;
          before = seen.size();
        }
        seen_most = std::max(seen_most, before);
        close(*fd);
      }
      _exit(!good ? 1 : seen_most == 0 ? 2 : 0);
    }
    fs->after_fork_parent(child);
    readers.push_back(child);
  }
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    const std::string next = "f" + std::to_string(round);
    const int fd = open(next, O_WRONLY | O_CREAT | O_EXCL);
    ASSERT_GE(fd, 0);
    ASSERT_TRUE(fs->rename(at(next), at("f"), 0).ok());
    for (std::size_t done = 0; done < data.size();) {
      const std::size_t part = std::min<std::size_t>(1 + random() % 900, data.size() - done);
      ASSERT_EQ(*fs->find(fd)->write(bytes_of(data.substr(done, part))), part);
      done += part;
    }
    close(fd);
  }
  put("stop", "");
  for (const pid_t reader : readers) {
    int status = 0;
    ASSERT_EQ(waitpid(reader, &status, 0), reader);
    EXPECT_EQ(status, 0);
  }
}

TEST_P(FileContent, OfAKilledWriterIsAllThatItsCallsReturnedFor) {
  for (int round = 0; round < 30; ++round) {
    const std::string data =
        pattern(static_cast<std::size_t>(200 * round + 1), 50u + static_cast<unsigned>(round));
    fs->before_fork();
    const pid_t child = fork();
    if (child == 0) {
      fs->after_fork_child();
      const auto fd = fs->open(at("f"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      if (!fd.ok()) _exit(1);
      const auto n = fs->find(*fd)->write(bytes_of(data));
      if (!n.ok() || *n != data.size()) _exit(2);
      kill(getpid(), SIGKILL);
    }
    fs->after_fork_parent(child);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    ASSERT_EQ(get("f"), data);
  }
}

INSTANTIATE_TEST_SUITE_P(Views, FileContent, all_views(), view_name);

}  // namespace
}  // namespace benchfs
