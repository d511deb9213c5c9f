// FileSystem against real servers: names, attributes and listings.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>

#include "tests/unit/fs/file_system_test.h"

namespace benchfs {
namespace {

using namespace std::string_literals;

class FileNames : public FileSystemTest {};

TEST_P(FileNames, ChecksHowAFileWasOpened) {
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
  EXPECT_EQ(open("", O_RDONLY | O_TMPFILE), -EINVAL);
  EXPECT_EQ(open("f", O_RDWR | O_TMPFILE), -ENOTDIR);
  const int directory = open("", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(fs->find(directory)->read(out).error(), Error(EISDIR));
  EXPECT_TRUE(fs->find(directory)->is_directory());
  for (const int fd : {reader, writer, directory}) close(fd);
}

TEST_P(FileNames, ChangesNames) {
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

TEST_P(FileNames, FollowsSymlinks) {
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

TEST_P(FileNames, ListsDirectories) {
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

TEST_P(FileNames, SetsAttributes) {
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
  EXPECT_TRUE(fs->access(at("f"), R_OK | W_OK | X_OK, true, true).ok());
  EXPECT_EQ(error_of(fs->access(at("g"), F_OK, true, true)), ENOENT);
  const auto space = fs->statistics();
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->f_blocks, 0u);
  EXPECT_EQ(space->f_namemax, 255u);
  close(fd);
}

// A file that is shown is opened for reading without a request, and is what it is all the time.
TEST_P(FileNames, OpensForReadingWhatIsShownWithoutARequest) {
  put("f", "12345");
  ASSERT_EQ(get("f"), "12345");  // the first reading sets the access time
  ASSERT_EQ(size_of("f"), 5);
  const auto accessed = fs->stat(at("f"), true)->st_atim;
  const std::uint64_t before = fs->requests_sent();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(get("f"), "12345");
  const int first = open("f", O_RDONLY | O_NOFOLLOW);
  const int second = open("f", O_PATH);
  EXPECT_EQ(open("f", O_RDONLY | O_DIRECTORY), -ENOTDIR);
  const std::uint64_t asked = fs->requests_sent() - before;
  if (GetParam() != View::one_of_three) {
    EXPECT_LE(asked, 3u) << "for ENOTDIR, and if the last access is reported just then";
  }
  EXPECT_EQ(fs->stat(at("f"), true)->st_atim.tv_nsec, accessed.tv_nsec);

  ASSERT_TRUE(fs->truncate(at("f"), 3).ok());
  EXPECT_EQ(read_at(*fs->find(first), 10, 0), "123");
  put("f", pattern(10'000, 5));  // grows out of its cell
  EXPECT_EQ(read_at(*fs->find(first), 20'000, 0), pattern(10'000, 5));
  put("g", "other");
  ASSERT_TRUE(fs->rename(at("g"), at("f"), 0).ok());
  EXPECT_EQ(read_at(*fs->find(first), 20'000, 0), pattern(10'000, 5));
  EXPECT_EQ(fs->find(first)->stat()->st_nlink, 0u);
  EXPECT_EQ(fs->find(second)->stat()->st_size, 10'000);
  close(first);
  close(second);
  EXPECT_EQ(get("f"), "other");
  ASSERT_TRUE(fs->change_mode(at("f"), 0, true).ok());
  EXPECT_EQ(open("f", O_RDONLY) >= 0, ::geteuid() == 0);
}

// What this host's servers show is read without a request, and is never old.
TEST_P(FileNames, ReadsWhatIsShownWithoutARequest) {
  ASSERT_TRUE(fs->make_directory(at("d"), 0755).ok());
  put("d/f", "12345");
  EXPECT_EQ(size_of("d/f"), 5);
  const int fd = open("d/f", O_RDWR);
  ASSERT_TRUE(fs->stat(at("d/f"), true).ok());
  EXPECT_EQ(stat_error("d/missing"), ENOENT);
  const std::uint64_t before = fs->requests_sent();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(size_of("d//./f"), 5 + i);
    EXPECT_TRUE(fs->access(at("d/f"), R_OK, true, true).ok());
    EXPECT_EQ(*fs->find(fd)->write_at(bytes_of("x"), 5 + i), 1u);
    EXPECT_EQ(fs->find(fd)->stat()->st_size, 6 + i);
    EXPECT_EQ(stat_error("d/missing"), ENOENT);
    EXPECT_EQ(stat_error("d/missing/too"), ENOENT);
  }
  if (GetParam() != View::one_of_three) {  // there two of three ranks seem to be elsewhere
    EXPECT_EQ(fs->requests_sent(), before);
  }

  const auto status = [&] { return *fs->stat(at("d/f"), false); };
  EXPECT_TRUE(fs->change_mode(at("d/f"), 0600, true).ok());
  EXPECT_EQ(status().st_mode & 07777, 0600u);
  const timespec times[2] = {{.tv_sec = 100, .tv_nsec = 5}, {.tv_sec = 200, .tv_nsec = 7}};
  EXPECT_TRUE(fs->set_times(at("d/f"), times, true).ok());
  EXPECT_EQ(status().st_mtim.tv_sec, 200);
  EXPECT_EQ(status().st_mtim.tv_nsec, 7);
  EXPECT_TRUE(fs->truncate(at("d/f"), 3).ok());
  EXPECT_EQ(status().st_size, 3);
  EXPECT_TRUE(fs->link(at("d/f"), at("d/g"), false).ok());
  EXPECT_EQ(status().st_nlink, 2u);
  EXPECT_TRUE(fs->unlink(at("d/g")).ok());
  EXPECT_EQ(status().st_nlink, 1u);
  EXPECT_EQ(stat_error("d/g"), ENOENT);
  EXPECT_TRUE(fs->rename(at("d/f"), at("d/g"), 0).ok());
  EXPECT_EQ(stat_error("d/f"), ENOENT);
  EXPECT_EQ(size_of("d/g"), 3);
  EXPECT_TRUE(fs->unlink(at("d/g")).ok());
  EXPECT_EQ(fs->find(fd)->stat()->st_nlink, 0u);
  EXPECT_TRUE(fs->remove_directory(at("d")).ok());
  EXPECT_EQ(stat_error("d/g"), ENOENT);
  EXPECT_TRUE(fs->make_directory(at("d"), 0755).ok());
  EXPECT_EQ(stat_error("d/missing"), ENOENT);
  put("d/missing", "now there");
  EXPECT_EQ(size_of("d/missing"), 9);
  close(fd);
}

// What seems to be elsewhere is not shown to the others.
class ShownFileNames : public FileNames {};

// No server keeps count of who has a directory open.
TEST_P(ShownFileNames, OpensDirectoriesAndMissesFilesWithoutARequest) {
  ASSERT_TRUE(fs->make_directory(at("d"), 0755).ok());
  ASSERT_TRUE(fs->stat(at("d"), true).ok());
  EXPECT_EQ(open("d/missing", O_RDONLY), -ENOENT);
  const std::uint64_t before = fs->requests_sent();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(open("d/missing", O_RDONLY), -ENOENT);
    const int fd = open("d", O_RDONLY | O_DIRECTORY);
    ASSERT_GE(fd, 0);
    EXPECT_TRUE(fs->find(fd)->is_directory());
    close(fd);
  }
  EXPECT_EQ(fs->requests_sent(), before);
  const int fd = open("d", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(fs->find(fd)->list(0)->size(), 2u);
  close(fd);
  put("d/missing", "there");
  EXPECT_EQ(get("d/missing"), "there");
}

// Each of its names is at one of the ranks, and who has found one there looks there at once.
TEST_P(ShownFileNames, FindsNamesOfASplitDirectoryWithoutARequest) {
  ASSERT_TRUE(fs->make_directory(at("d"), 0755).ok());
  const auto name_of = [](int i) { return "d/f" + std::to_string(i); };
  for (int i = 0; i < 300; ++i) put(name_of(i), "x");
  const auto look = [&] {
    for (int i = 0; i < 300; ++i) EXPECT_EQ(size_of(name_of(i)), 1) << i;
    for (int i = 300; i < 600; ++i) EXPECT_EQ(stat_error(name_of(i)), ENOENT) << i;
  };
  look();
  look();  // what was sent on before the last split
  const std::uint64_t before = fs->requests_sent();
  look();
  EXPECT_EQ(fs->requests_sent(), before);
  for (int i = 0; i < 300; ++i)
    EXPECT_TRUE(fs->rename(at(name_of(i)), at(name_of(i + 300)), 0).ok());
  for (int i = 0; i < 300; ++i) EXPECT_EQ(stat_error(name_of(i)), ENOENT) << i;
  for (int i = 300; i < 600; ++i) EXPECT_EQ(size_of(name_of(i)), 1) << i;
  ASSERT_TRUE(fs->change_mode(at("d"), 0600, true).ok());
  EXPECT_EQ(stat_error(name_of(400)), ::geteuid() == 0 ? 0 : EACCES);
}

// Wherever the directories above it are at home.
TEST_P(ShownFileNames, MakesAFileDeepDownWithOneRequest) {
  std::string deep = "d";
  for (int i = 0; i < 6; ++i, deep += "/d") ASSERT_TRUE(fs->make_directory(at(deep), 0755).ok());
  deep.resize(deep.size() - 2);
  for (std::size_t end = 1; end <= deep.size(); end += 2)
    ASSERT_TRUE(fs->stat(at(deep.substr(0, end)), true).ok());
  const std::uint64_t before = fs->requests_sent();
  const int fd = open((deep + "/new").c_str(), O_CREAT | O_EXCL | O_WRONLY);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fs->requests_sent(), before + 1);
  close(fd);
  EXPECT_TRUE(fs->rename(at("d/d/d"), at("moved"), 0).ok());
  EXPECT_EQ(stat_error(deep + "/new"), ENOENT);
  EXPECT_TRUE(fs->make_directory(at("d/d/d"), 0755).ok());
  EXPECT_EQ(stat_error("d/d/d/new"), ENOENT);
}

TEST_P(FileNames, AnswersAboutTheInstance) {
  const auto status = fs->status();
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(status->size(), GetParam() == View::one ? 1u : 3u);
  for (std::uint32_t rank = 0; rank < status->size(); ++rank) {
    ASSERT_TRUE((*status)[rank].has_value()) << rank;
    EXPECT_EQ((*status)[rank]->rank, rank);
  }
  EXPECT_GT(fs->requests_sent(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Views, FileNames, all_views(), view_name);
INSTANTIATE_TEST_SUITE_P(Views, ShownFileNames, testing::Values(View::one, View::three), view_name);

}  // namespace
}  // namespace benchfs
