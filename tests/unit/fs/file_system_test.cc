#include "tests/unit/fs/file_system_test.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

namespace benchfs {
namespace {

// By number of ranks; made when first needed, ended after the last test.
std::map<int, std::unique_ptr<Servers>> running;

class EndServers : public testing::Environment {
  void TearDown() override { running.clear(); }
};
[[maybe_unused]] const auto* const environment = testing::AddGlobalTestEnvironment(new EndServers);

const Servers& servers_of(View view) {
  const int ranks = view == View::one ? 1 : 3;
  std::unique_ptr<Servers>& servers = running[ranks];
  if (!servers) servers = std::make_unique<Servers>(ranks);
  return *servers;
}

}  // namespace

Settings seen_as(View view, const Servers& servers) {
  Settings settings;
  settings.local_dir =
      view == View::one_of_three ? servers.dir_with_one_local_rank() : servers.local_dir();
  return settings;
}

std::string view_name(const testing::TestParamInfo<View>& info) {
  constexpr const char* names[] = {"OneRank", "ThreeRanks", "OneLocalRankOfThree"};
  return names[static_cast<int>(info.param)];
}

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
int error_of(const Status& status) { return status.ok() ? 0 : status.error().code(); }

void FileSystemTest::SetUp() {
  const Servers& servers = servers_of(GetParam());
  ASSERT_TRUE(servers.ready());
  fs = FileSystem::make(seen_as(GetParam(), servers));
  const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
  top = std::string("/benchfs/") + info->name();
  std::replace(top.begin() + 9, top.end(), '/', '_');
  ASSERT_TRUE(fs->make_directory(at(""), 0755).ok());
}

std::string FileSystemTest::name(const std::string& below) const {
  return below.empty() ? top : top + "/" + below;
}
Path FileSystemTest::at(const std::string& below) {
  return *fs->locate(AT_FDCWD, name(below).c_str());
}

int FileSystemTest::open(const std::string& below, int flags, mode_t mode) {
  const auto fd = fs->open(at(below), flags, mode);
  return fd.ok() ? *fd : -fd.error().code();
}

void FileSystemTest::close(int fd) {
  EXPECT_TRUE(fs->closing(fd));
  ::close(fd);
}

void FileSystemTest::put(const std::string& below, const std::string& text) {
  const int fd = open(below, O_WRONLY | O_CREAT | O_TRUNC);
  ASSERT_GE(fd, 0) << below;
  EXPECT_EQ(*fs->find(fd)->write(bytes_of(text)), text.size());
  close(fd);
}

std::string FileSystemTest::get(const std::string& below) {
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

std::string FileSystemTest::read_at(File& file, std::size_t bytes, off_t offset) {
  std::vector<std::byte> out(bytes);
  const auto n = file.read_at(out, offset);
  if (!n.ok()) return "error " + std::to_string(n.error().code());
  out.resize(*n);
  return text_of(out);
}

off_t FileSystemTest::size_of(const std::string& below) {
  const auto status = fs->stat(at(below), true);
  return status.ok() ? status->st_size : -status.error().code();
}

int FileSystemTest::stat_error(const std::string& below, bool follow) {
  const auto status = fs->stat(at(below), follow);
  return status.ok() ? 0 : status.error().code();
}

}  // namespace benchfs
