// What the tests against real servers share: the servers, and a FileSystem of theirs with short
// ways to say things.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client-preload/fs/file_system.h"
#include "tests/unit/fs/servers.h"

namespace benchfs {

// How servers are seen: one rank; three whose chunks all lie here; the same three, two of which
// seem to be on another host.
enum class View { one, three, one_of_three };
Settings seen_as(View view, const Servers& servers);

std::string text_of(const std::vector<std::byte>& bytes);
std::span<const std::byte> bytes_of(const std::string& text);
std::string pattern(std::size_t size, unsigned seed);
int error_of(const Status& status);  // 0: none

// Each test has a directory of its own, `top`, which all names are below.
class FileSystemTest : public testing::TestWithParam<View> {
 protected:
  void SetUp() override;

  std::string name(const std::string& below) const;
  Path at(const std::string& below);
  // The descriptor, or -errno.
  int open(const std::string& below, int flags, mode_t mode = 0644);
  void close(int fd);
  void put(const std::string& below, const std::string& text);
  std::string get(const std::string& below);
  std::string read_at(File& file, std::size_t bytes, off_t offset);
  off_t size_of(const std::string& below);
  int stat_error(const std::string& below, bool follow = true);

  std::unique_ptr<FileSystem> fs;
  std::string top;
};

inline auto all_views() { return testing::Values(View::one, View::three, View::one_of_three); }
std::string view_name(const testing::TestParamInfo<View>& info);

}  // namespace benchfs
