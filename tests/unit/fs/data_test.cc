// FileSystem against real servers: reading and writing files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/fs/file_system_test.h"

namespace benchfs {
namespace {

using namespace std::string_literals;

class FileData : public FileSystemTest {};

TEST_P(FileData, KeepsWhatWasWritten) {
  const int fd = open("f", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_GE(fd, 0);
  const auto file = fs->find(fd);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(*file->write(bytes_of("hello, ")), 7u);
  EXPECT_EQ(*file->write(bytes_of("world")), 5u);
  EXPECT_EQ(*file->seek(0, SEEK_CUR), 12);
  EXPECT_EQ(size_of("f"), 12);
  EXPECT_EQ(file->stat()->st_size, 12);
  EXPECT_EQ(*file->seek(-5, SEEK_END), 7);
  std::vector<std::byte> out(100);
  EXPECT_EQ(*file->read(out), 5u);
  EXPECT_EQ(*file->read(out), 0u);
  EXPECT_EQ(read_at(*file, 5, 3), "lo, w");
  EXPECT_EQ(file->seek(-1, SEEK_SET).error(), Error(EINVAL));
  EXPECT_EQ(*file->seek(3, SEEK_DATA), 3);
  EXPECT_EQ(*file->seek(3, SEEK_HOLE), 12);
  EXPECT_EQ(file->seek(12, SEEK_DATA).error(), Error(ENXIO));
  EXPECT_EQ(open("f", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
  close(fd);
  EXPECT_EQ(fs->find(fd), nullptr);
  EXPECT_EQ(get("f"), "hello, world");
  const auto status = fs->stat(at("f"), true);
  EXPECT_EQ(status->st_mode, S_IFREG | 0644u);
  EXPECT_EQ(status->st_nlink, 1u);
  EXPECT_EQ(status->st_uid, geteuid());
  EXPECT_EQ(status->st_blksize, 4096);
}

TEST_P(FileData, SpansChunksAndHoles) {
  const std::string data = pattern(1'500'003, 1);
  const int fd = open("big", O_RDWR | O_CREAT);
  const auto file = fs->find(fd);
  EXPECT_EQ(*file->write_at(bytes_of(data), 12'345), data.size());
  EXPECT_EQ(read_at(*file, 2'000'000, 0), std::string(12'345, '\0') + data);
  EXPECT_EQ(read_at(*file, 70'000, 65'000), data.substr(65'000 - 12'345, 70'000));
  EXPECT_EQ(*file->write_at(bytes_of("x"), 5'000'000), 1u);
  EXPECT_EQ(size_of("big"), 5'000'001);
  EXPECT_EQ(read_at(*file, 400'000, 2'000'000), std::string(400'000, '\0'));
  EXPECT_EQ(read_at(*file, 10, 4'999'998), "\0\0x"s);
  EXPECT_TRUE(file->sync(false).ok());
  close(fd);
  EXPECT_EQ(get("big").substr(12'345, data.size()), data);
}

TEST_P(FileData, MovesManyPiecesAsOne) {
  const int fd = open("v", O_RDWR | O_CREAT);
  const auto file = fs->find(fd);
  const std::string a = pattern(70'000, 2);
  const std::string b = "middle";
  const std::string c = pattern(3, 3);
  const std::array<std::span<const std::byte>, 4> out{bytes_of(a), {}, bytes_of(b), bytes_of(c)};
  EXPECT_EQ(*file->write_pieces(out, nullptr), a.size() + b.size() + c.size());
  std::vector<std::byte> x(69'999), y(20);
  const std::array<std::span<std::byte>, 2> in{std::span(x), std::span(y)};
  const off_t offset = 1;
  EXPECT_EQ(*file->read_pieces(in, &offset), a.size() + b.size() + c.size() - 1);
  EXPECT_EQ(text_of(x), a.substr(1));
  EXPECT_EQ(text_of(y).substr(0, 9), b + c);
  close(fd);
}

TEST_P(FileData, CutsAndLengthens) {
  put("t", pattern(300'000, 4));
  const int fd = open("t", O_RDWR);
  const auto file = fs->find(fd);
  EXPECT_EQ(read_at(*file, 10, 200'000).size(), 10u);
  EXPECT_TRUE(file->truncate(100'000).ok());
  EXPECT_EQ(*file->seek(0, SEEK_END), 100'000);
  EXPECT_EQ(read_at(*file, 10, 200'000), "");
  EXPECT_TRUE(fs->truncate(at("t"), 400'000).ok());
  EXPECT_EQ(read_at(*file, 400'000, 0),
            pattern(300'000, 4).substr(0, 100'000) + std::string(300'000, '\0'));
  EXPECT_TRUE(file->allocate(0, 0, 500'000).ok());
  EXPECT_EQ(size_of("t"), 500'000);
  EXPECT_TRUE(file->allocate(0, 0, 10).ok());
  EXPECT_EQ(size_of("t"), 500'000);
  EXPECT_EQ(error_of(file->allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10)),
            EOPNOTSUPP);
  const int again = open("t", O_WRONLY | O_TRUNC);
  EXPECT_EQ(read_at(*file, 10, 0), "");
  EXPECT_EQ(*file->write_at(bytes_of("z"), 100), 1u);
  EXPECT_EQ(get("t"), std::string(100, '\0') + "z");
  close(again);
  close(fd);
}

TEST_P(FileData, AppendsOfManyProcessesKeepTheirPlaces) {
  constexpr int writers = 4;
  constexpr int lines = 200;
  std::vector<pid_t> children;
  for (int w = 0; w < writers; ++w) {
    fs->before_fork();
    const pid_t child = fork();
    if (child == 0) {
      fs->after_fork_child();
      const int fd = open("log", O_WRONLY | O_CREAT | O_APPEND);
      const std::string line(static_cast<std::size_t>(w + 5), static_cast<char>('a' + w));
      bool good = fd >= 0;
      for (int i = 0; good && i < lines; ++i) {
        const auto n = fs->find(fd)->write(bytes_of(line + "\n"));
        good = n.ok() && *n == line.size() + 1;
      }
      _exit(good ? 0 : 1);
    }
    fs->after_fork_parent(child);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  const std::string all = get("log");
  std::array<int, writers> seen{};
  std::size_t from = 0;
  for (std::size_t to = 0; (to = all.find('\n', from)) != std::string::npos; from = to + 1) {
    const auto w = static_cast<std::size_t>(all[from] - 'a');
    ASSERT_LT(w, seen.size());
    ASSERT_EQ(all.substr(from, to - from), std::string(w + 5, all[from]));
    ++seen[w];
  }
  for (const int count : seen) EXPECT_EQ(count, lines);
}

TEST_P(FileData, ManyThreadsWorkAtOnce) {
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const std::string file = "f" + std::to_string(t);
        const std::string data = pattern(100'000, static_cast<unsigned>(t * 100 + i));
        const auto fd = fs->open(at(file), O_RDWR | O_CREAT | O_TRUNC, 0644);
        if (!fd.ok()) {
          ++bad;
          continue;
        }
        const auto opened = fs->find(*fd);
        const auto n = opened->write(bytes_of(data));
        if (!n.ok() || *n != data.size() || read_at(*opened, data.size() + 1, 0) != data) ++bad;
        if (size_of(file) != static_cast<off_t>(data.size())) ++bad;
        if (!fs->closing(*fd)) ++bad;
        ::close(*fd);
        if (i % 4 == 3 && !fs->unlink(at(file)).ok()) ++bad;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(bad.load(), 0);
}

TEST_P(FileData, WritesBesideTruncationsAreWhole) {
  const std::string data = pattern(4096, 9);
  const int fd = open("f", O_RDWR | O_CREAT);
  const auto file = fs->find(fd);
  std::atomic<int> round{0};
  std::atomic<int> written{0};
  constexpr int rounds = 1500;
  std::thread writer([&] {
    for (int i = 1; i <= rounds; ++i) {
      while (round.load() < i) std::this_thread::yield();
      if (!file->write_at(bytes_of(data), 0).ok()) break;
      written.store(i);
    }
  });
  int bad = 0;
  for (int i = 1; i <= rounds && bad == 0; ++i) {
    round.store(i);
    if (!fs->truncate(at("f"), 0).ok()) ++bad;
    while (written.load() < i) std::this_thread::yield();
    const std::string seen = read_at(*file, 8192, 0);
    if (!seen.empty() && seen != data) ++bad;
    if (!fs->truncate(at("f"), 4096).ok()) ++bad;
    if (read_at(*file, 8192, 0) != (seen.empty() ? std::string(4096, '\0') : data)) ++bad;
    if (!fs->truncate(at("f"), 0).ok()) ++bad;
    if (!read_at(*file, 8192, 0).empty()) ++bad;
  }
  round.store(rounds);
  writer.join();
  EXPECT_EQ(bad, 0);
  close(fd);
}

TEST_P(FileData, RemovedFilesStayUntilClosed) {
  const std::string data = pattern(200'000, 11);
  put("f", data);
  const int fd = open("f", O_RDWR);
  EXPECT_TRUE(fs->unlink(at("f")).ok());
  EXPECT_EQ(stat_error("f"), ENOENT);
  EXPECT_EQ(read_at(*fs->find(fd), 300'000, 0), data);
  EXPECT_EQ(*fs->find(fd)->write_at(bytes_of("more"), 200'000), 4u);
  EXPECT_EQ(fs->find(fd)->stat()->st_size, 200'004);
  EXPECT_EQ(fs->find(fd)->stat()->st_nlink, 0u);
  close(fd);
}

INSTANTIATE_TEST_SUITE_P(Views, FileData, all_views(), view_name);

}  // namespace
}  // namespace benchfs
