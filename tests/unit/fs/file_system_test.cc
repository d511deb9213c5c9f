// FileSystem against real servers, without any preload.
#include "client-preload/fs/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "tests/unit/fs/servers.h"

namespace benchfs {
namespace {

using namespace std::string_literals;

// How the same servers are seen: one rank; three whose chunks all lie here; three of which two seem
// to be on another host.
enum class View { one, three, one_of_three };

struct World {
  explicit World(int ranks) : servers(ranks) {}
  Settings seen_as(View view) const {
    Settings settings;
    settings.local_dir =
        view == View::one_of_three ? servers.dir_with_one_local_rank() : servers.local_dir();
    return settings;
  }
  Servers servers;
};

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string pattern(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>((i * 2654435761u + seed * 40503u) >> 11);
  return text;
}

class FileSystemTest : public testing::TestWithParam<View> {
 protected:
  // Made when first needed; the tests of the last two views share one.
  static std::map<int, std::unique_ptr<World>> worlds;

  void SetUp() override {
    std::unique_ptr<World>& world = worlds[GetParam() == View::one ? 1 : 3];
    if (!world) world = std::make_unique<World>(GetParam() == View::one ? 1 : 3);
    ASSERT_TRUE(world->servers.ready());
    fs = FileSystem::make(world->seen_as(GetParam()));
    const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
    top = "/benchfs/"s + info->name();
    std::replace(top.begin() + 9, top.end(), '/', '_');
    ASSERT_TRUE(fs->make_directory(at(""), 0755).ok());
  }
  static void TearDownTestSuite() { worlds.clear(); }

  std::string name(const std::string& below) const {
    return below.empty() ? top : top + "/" + below;
  }
  Path at(const std::string& below) { return *fs->locate(AT_FDCWD, name(below).c_str()); }
  int open(const std::string& below, int flags, mode_t mode = 0644) {
    const auto fd = fs->open(at(below), flags, mode);
    return fd.ok() ? *fd : -fd.error().code();
  }
  void close(int fd) {
    EXPECT_TRUE(fs->closing(fd));
    ::close(fd);
  }
  void put(const std::string& below, const std::string& text) {
    const int fd = open(below, O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_GE(fd, 0) << below;
    EXPECT_EQ(*fs->find(fd)->write(bytes_of(text)), text.size());
    close(fd);
  }
  std::string get(const std::string& below) {
    const int fd = open(below, O_RDONLY);
    if (fd < 0) return "error " + std::to_string(-fd);
    std::string all;
    for (std::vector<std::byte> page(100'000);;) {
      const auto n = fs->find(fd)->read(page);
      if (!n.ok() || *n == 0) break;
      page.resize(*n);
      all += text_of(page);
      page.resize(100'000);
    }
    close(fd);
    return all;
  }
  std::string read_at(File& file, std::size_t bytes, off_t offset) {
    std::vector<std::byte> out(bytes);
    const auto n = file.read_at(out, offset);
    if (!n.ok()) return "error " + std::to_string(n.error().code());
    out.resize(*n);
    return text_of(out);
  }
  off_t size_of(const std::string& below) {
    const auto status = fs->stat(at(below), true);
    return status.ok() ? status->st_size : -status.error().code();
  }
  int stat_error(const std::string& below, bool follow = true) {
    const auto status = fs->stat(at(below), follow);
    return status.ok() ? 0 : status.error().code();
  }

  std::unique_ptr<FileSystem> fs;
  std::string top;
};
std::map<int, std::unique_ptr<World>> FileSystemTest::worlds;

int error_of(const Status& status) { return status.ok() ? 0 : status.error().code(); }

TEST_P(FileSystemTest, KeepsWhatWasWritten) {
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

TEST_P(FileSystemTest, SpansChunksAndHoles) {
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

TEST_P(FileSystemTest, MovesManyPiecesAsOne) {
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

TEST_P(FileSystemTest, CutsAndLengthens) {
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

TEST_P(FileSystemTest, ChecksHowAFileWasOpened) {
  put("f", "data");
  std::vector<std::byte> out(4);
  const int reader = open("f", O_RDONLY);
  EXPECT_EQ(fs->find(reader)->write(bytes_of("x")).error(), Error(EBADF));
  EXPECT_EQ(error_of(fs->find(reader)->truncate(0)), EINVAL);
  const int writer = open("f", O_WRONLY);
  EXPECT_EQ(fs->find(writer)->read(out).error(), Error(EBADF));
  EXPECT_EQ(fs->find(writer)->write_at(bytes_of("x"), -1).error(), Error(EINVAL));
  EXPECT_EQ(fs->find(writer)->write_at(bytes_of("x"), off_t{1} << 62).error(), Error(EFBIG));
  EXPECT_EQ(*fs->find(writer)->write({}), 0u);
  EXPECT_EQ(fs->find(writer)->flags() & (O_ACCMODE | O_APPEND), O_WRONLY);
  EXPECT_TRUE(fs->find(writer)->set_flags(O_APPEND | O_RDWR).ok());
  EXPECT_EQ(fs->find(writer)->flags() & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
  EXPECT_EQ(open("", O_WRONLY), -EISDIR);
  EXPECT_EQ(open("f", O_RDONLY | O_DIRECTORY), -ENOTDIR);
  EXPECT_EQ(open("f/x", O_RDONLY), -ENOTDIR);
  EXPECT_EQ(open("f/", O_RDONLY), -ENOTDIR);
  EXPECT_EQ(open("none", O_RDONLY), -ENOENT);
  EXPECT_EQ(open("none/x", O_RDONLY | O_CREAT), -ENOENT);
  EXPECT_EQ(open(std::string(256, 'n'), O_RDONLY | O_CREAT), -ENAMETOOLONG);
  EXPECT_EQ(open(std::string(5000, 'n'), O_RDONLY | O_CREAT), -ENAMETOOLONG);
  EXPECT_EQ(open("", O_RDWR | O_TMPFILE), -EOPNOTSUPP);
  const int directory = open("", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(fs->find(directory)->read(out).error(), Error(EISDIR));
  EXPECT_TRUE(fs->find(directory)->is_directory());
  for (const int fd : {reader, writer, directory}) close(fd);
}

TEST_P(FileSystemTest, AppendsOfManyProcessesKeepTheirPlaces) {
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

TEST_P(FileSystemTest, ChangesNames) {
  EXPECT_TRUE(fs->make_directory(at("d"), 0750).ok());
  EXPECT_EQ(error_of(fs->make_directory(at("d"), 0750)), EEXIST);
  EXPECT_TRUE(fs->make_directory(at("d/e/"), 0700).ok());
  put("d/f", "one");
  put("d/e/g", "two");
  EXPECT_EQ(error_of(fs->remove_directory(at("d/e"))), ENOTEMPTY);
  EXPECT_EQ(error_of(fs->unlink(at("d/e"))), EISDIR);
  EXPECT_EQ(error_of(fs->remove_directory(at("d/f"))), ENOTDIR);
  EXPECT_TRUE(fs->rename(at("d/f"), at("d/e/h"), 0).ok());
  EXPECT_EQ(stat_error("d/f"), ENOENT);
  EXPECT_EQ(get("d/e/h"), "one");
  EXPECT_TRUE(fs->rename(at("d/e/h"), at("d/e/g"), 0).ok());
  EXPECT_EQ(get("d/e/g"), "one");
  EXPECT_EQ(error_of(fs->rename(at("none"), at("x"), 0)), ENOENT);
  EXPECT_EQ(error_of(fs->rename(at("d/."), at("x"), 0)), EBUSY);
  EXPECT_EQ(error_of(fs->rename(at("d/e/g/"), at("x"), 0)), ENOTDIR);
  EXPECT_TRUE(fs->link(at("d/e/g"), at("hard"), false).ok());
  EXPECT_EQ(fs->stat(at("hard"), false)->st_nlink, 2u);
  EXPECT_EQ(fs->stat(at("hard"), false)->st_ino, fs->stat(at("d/e/g"), false)->st_ino);
  EXPECT_EQ(error_of(fs->link(at("d"), at("hard2"), false)), EPERM);
  EXPECT_TRUE(fs->unlink(at("d/e/g")).ok());
  EXPECT_EQ(get("hard"), "one");
  EXPECT_TRUE(fs->remove_directory(at("d/e")).ok());
  EXPECT_TRUE(fs->remove_directory(at("d/")).ok());
  EXPECT_TRUE(fs->unlink(at("hard")).ok());
  EXPECT_EQ(error_of(fs->unlink(at("hard"))), ENOENT);
  EXPECT_EQ(error_of(fs->rename(*fs->locate(AT_FDCWD, "/benchfs"), at("x"), 0)), EBUSY);
}

TEST_P(FileSystemTest, FollowsSymlinks) {
  EXPECT_TRUE(fs->make_directory(at("d"), 0755).ok());
  put("d/f", "text");
  EXPECT_TRUE(fs->symlink("d", at("l")).ok());
  EXPECT_TRUE(fs->symlink("../" + top.substr(9) + "/l/f", at("m")).ok());
  EXPECT_TRUE(fs->symlink(name("l/f"), at("n")).ok());
  EXPECT_TRUE(fs->symlink("loop", at("loop")).ok());
  EXPECT_TRUE(fs->symlink("/etc/passwd", at("out")).ok());
  EXPECT_TRUE(fs->symlink("/etc", at("outdir")).ok());
  EXPECT_EQ(get("l/f"), "text");
  EXPECT_EQ(get("m"), "text");
  EXPECT_EQ(get("n"), "text");
  EXPECT_EQ(*fs->read_link(at("n")), name("l/f"));
  EXPECT_EQ(fs->read_link(at("d")).error(), Error(EINVAL));
  EXPECT_EQ(open("l", O_RDONLY | O_NOFOLLOW), -ELOOP);
  EXPECT_EQ(stat_error("loop"), ELOOP);
  EXPECT_EQ(stat_error("loop", false), 0);
  EXPECT_EQ(stat_error("n/"), ENOTDIR);
  EXPECT_TRUE(S_ISLNK(fs->stat(at("l"), false)->st_mode));
  EXPECT_TRUE(S_ISDIR(fs->stat(at("l/"), false)->st_mode));
  EXPECT_EQ(stat_error("out"), left_mount);
  EXPECT_EQ(outside_path(), "/etc/passwd");
  EXPECT_EQ(stat_error("outdir/hosts"), left_mount);
  EXPECT_EQ(outside_path(), "/etc/hosts");
  EXPECT_EQ(stat_error("../../usr/lib"), left_mount);
  EXPECT_EQ(outside_path(), "/usr/lib");
  EXPECT_EQ(stat_error("../../benchfs/" + top.substr(9) + "/d/f"), 0);
  EXPECT_EQ(*fs->canonical(at("m")), name("d/f"));
  EXPECT_EQ(*fs->canonical(at("l/.././l/")), name("d"));
  EXPECT_EQ(fs->canonical(at("out")).error(), Error(left_mount));
  EXPECT_EQ(fs->canonical(at("none")).error(), Error(ENOENT));
  EXPECT_EQ(open("dangling/x", O_CREAT | O_WRONLY), -ENOENT);
  EXPECT_TRUE(fs->symlink("made", at("dangling")).ok());
  put("dangling", "through");
  EXPECT_EQ(get("made"), "through");
}

TEST_P(FileSystemTest, ListsDirectories) {
  constexpr int files = 700;  // several pages
  for (int i = 0; i < files; ++i) {
    const int fd = open("file_with_a_longer_name_" + std::to_string(i), O_CREAT | O_WRONLY);
    ASSERT_GE(fd, 0);
    close(fd);
  }
  EXPECT_TRUE(fs->make_directory(at("sub"), 0755).ok());
  const int fd = open("", O_RDONLY | O_DIRECTORY);
  const auto directory = fs->find(fd);
  std::set<std::string> names;
  std::uint64_t cookie = 0;
  std::uint64_t sub = 0;
  for (;;) {
    const auto page = directory->list(cookie);
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    for (const auto& entry : *page) {
      EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
      if (entry.name == "sub") sub = entry.inode;
      EXPECT_EQ(entry.type, entry.name == "sub" || entry.name.starts_with('.') ? DT_DIR : DT_REG);
      cookie = entry.cookie;
    }
  }
  EXPECT_EQ(names.size(), files + 3u);
  EXPECT_TRUE(names.contains(".") && names.contains(".."));
  EXPECT_EQ(sub, fs->stat(at("sub"), true)->st_ino);
  EXPECT_EQ(directory->list(1)->front().name, "..");
  close(fd);
}

TEST_P(FileSystemTest, SetsAttributes) {
  fs->umask_changed(027);
  const int fd = open("f", O_CREAT | O_RDWR, 0666);
  fs->umask_changed(022);
  EXPECT_EQ(fs->stat(at("f"), true)->st_mode, S_IFREG | 0640u);
  EXPECT_TRUE(fs->change_mode(at("f"), 0700, true).ok());
  EXPECT_EQ(fs->find(fd)->stat()->st_mode, S_IFREG | 0700u);
  const timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 3, .tv_nsec = 7}};
  EXPECT_TRUE(fs->set_times(at("f"), times, true).ok());
  EXPECT_EQ(fs->stat(at("f"), true)->st_atim.tv_sec, 1000);
  EXPECT_EQ(fs->stat(at("f"), true)->st_mtim.tv_sec, 3);
  EXPECT_EQ(fs->stat(at("f"), true)->st_mtim.tv_nsec, 7);
  EXPECT_EQ(*fs->find(fd)->write(bytes_of("x")), 1u);
  EXPECT_GT(fs->stat(at("f"), true)->st_mtim.tv_sec, 1'000'000);
  const timespec omit[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 9, .tv_nsec = 0}};
  EXPECT_TRUE(fs->find(fd)->set_times(omit).ok());
  EXPECT_EQ(fs->stat(at("f"), true)->st_atim.tv_sec, 1000);
  EXPECT_EQ(fs->stat(at("f"), true)->st_mtim.tv_sec, 9);
  const timespec wrong[2] = {{.tv_sec = 0, .tv_nsec = 2'000'000'000}, {}};
  EXPECT_EQ(error_of(fs->set_times(at("f"), wrong, true)), EINVAL);
  EXPECT_TRUE(fs->change_owner(at("f"), geteuid(), static_cast<gid_t>(-1), true).ok());
  EXPECT_TRUE(fs->access(at("f"), R_OK | W_OK | X_OK, true).ok());
  EXPECT_EQ(error_of(fs->access(at("g"), F_OK, true)), ENOENT);
  const auto space = fs->statistics();
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->f_blocks, 0u);
  EXPECT_EQ(space->f_namemax, 255u);
  close(fd);
}

TEST_P(FileSystemTest, KeepsTrackOfDescriptors) {
  put("f", "0123456789");
  const int fd = open("f", O_RDWR);
  const int copy = dup(fd);
  fs->duplicated(fd, copy);
  const int unseen = dup(fd);  // by somebody who bypassed us
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
  usleep(1000);
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

TEST_P(FileSystemTest, GivesItsNumbersUpWhenAskedTo) {
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

TEST_P(FileSystemTest, SharesOffsetsWithForkedChildren) {
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

TEST_P(FileSystemTest, NoticesAForkThatNobodyAnnounced) {
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

TEST_P(FileSystemTest, ChangesTheWorkingDirectory) {
  EXPECT_FALSE(fs->working_directory_is_ours());
  EXPECT_TRUE(fs->make_directory(at("d"), 0755).ok());
  put("d/f", "here");
  const std::string before = std::filesystem::current_path();
  ASSERT_TRUE(fs->change_directory(at("d")).ok());
  EXPECT_TRUE(fs->working_directory_is_ours());
  EXPECT_EQ(*fs->working_directory(), name("d"));
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

TEST_P(FileSystemTest, LeavesNothingWhenNumbersRunOut) {
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

TEST_P(FileSystemTest, ManyThreadsWorkAtOnce) {
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

// A write and a truncation at once: either order, but never half of one.
TEST_P(FileSystemTest, WritesBesideTruncationsAreWhole) {
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

TEST_P(FileSystemTest, RemovedFilesStayUntilClosed) {
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

TEST_P(FileSystemTest, AnswersAboutTheInstance) {
  const auto status = fs->status();
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(status->size(), GetParam() == View::one ? 1u : 3u);
  for (std::uint32_t rank = 0; rank < status->size(); ++rank) {
    ASSERT_TRUE((*status)[rank].has_value()) << rank;
    EXPECT_EQ((*status)[rank]->rank, rank);
  }
  EXPECT_GT(fs->requests_sent(), 0u);
}

std::string view_name(const testing::TestParamInfo<View>& info) {
  constexpr const char* names[] = {"OneRank", "ThreeRanks", "OneLocalRankOfThree"};
  return names[static_cast<int>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Views, FileSystemTest,
                         testing::Values(View::one, View::three, View::one_of_three), view_name);

TEST(FileSystem, ExecKeepsDescriptorsAndDirectory) {
  World world(1);
  ASSERT_TRUE(world.servers.ready());
  const auto fs = FileSystem::make(world.seen_as(View::one));
  const auto at = [&](const char* name) { return *fs->locate(AT_FDCWD, name); };
  const auto fd = fs->open(at("/benchfs/inherited"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  ASSERT_TRUE(fs->open(at("/benchfs/closed"), O_RDWR | O_CREAT | O_CLOEXEC, 0644).ok());
  EXPECT_EQ(*fs->find(*fd)->write(bytes_of("parent")), 6u);
  fs->before_fork();
  const pid_t child = fork();
  if (child == 0) {
    fs->after_fork_child();
    if (!fs->change_directory(at("/benchfs")).ok()) _exit(1);
    execl(FS_AFTER_EXEC, FS_AFTER_EXEC, world.servers.local_dir().c_str(),
          std::to_string(*fd).c_str(), nullptr);
    _exit(127);
  }
  fs->after_fork_parent(child);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(fs->stat(at("/benchfs/inherited"), true)->st_size, 10);
}

TEST(FileSystem, StoppedServersDoNotStopKnownFiles) {
  World world(1);
  ASSERT_TRUE(world.servers.ready());
  const auto fs = FileSystem::make(world.seen_as(View::one));
  const auto fd = fs->open(*fs->locate(AT_FDCWD, "/benchfs/f"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  const auto file = fs->find(*fd);
  const std::string data = pattern(300'000, 5);
  world.servers.signal_all(SIGSTOP);
  EXPECT_EQ(*file->write(bytes_of(data)), data.size());
  std::vector<std::byte> out(400'000);
  EXPECT_EQ(*file->read_at(out, 0), data.size());
  EXPECT_EQ(text_of(out).substr(0, data.size()), data);
  std::thread resume([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    world.servers.signal_all(SIGCONT);
  });
  EXPECT_EQ(file->stat()->st_size, 300'000);  // waits
  resume.join();
}

TEST(FileSystem, EndedServersAreAnError) {
  auto world = std::make_unique<World>(1);
  ASSERT_TRUE(world->servers.ready());
  const auto fs = FileSystem::make(world->seen_as(View::one));
  const auto fd = fs->open(*fs->locate(AT_FDCWD, "/benchfs/f"), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(fd.ok());
  const auto file = fs->find(*fd);
  world->servers.signal_all(SIGKILL);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(file->stat().error(), Error(EIO));
  EXPECT_EQ(fs->stat(*fs->locate(AT_FDCWD, "/benchfs/f"), true).error(), Error(EIO));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(FileSystem, MissingServersAreAnErrorAndElsewhereIsUntouched) {
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
