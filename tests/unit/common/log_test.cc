#include "common/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <sstream>

#include "common/config.h"
#include "common/fd.h"

namespace benchfs {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() {
    std::string name = testing::TempDir() + "benchfs-log-XXXXXX";
    directory_ = ::mkdtemp(name.data()) != nullptr ? name : "";
    file_ = directory_ + "/log";
  }
  ~LogTest() override {
    init_log({});  // lets go of the file
    ::unlink(file_.c_str());
    ::rmdir(directory_.c_str());
  }
  std::string text() const {
    std::ifstream file(file_);
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
  }
  std::string directory_;
  std::string file_;
};

TEST_F(LogTest, LinesHaveTimeLevelRankAndHost) {
  init_log({.rank = 0, .host = "node%v7", .file = file_});
  log::info("chunk {} of inode {}", 7, 42);
  const std::string line = text();
  EXPECT_NE(line.find(" info rank 0 node%v7: chunk 7 of inode 42\n"), std::string::npos) << line;
  EXPECT_TRUE(line.starts_with("20")) << line;
  EXPECT_EQ(line[10], 'T') << line;
}

TEST_F(LogTest, OtherRanksOnlyWarnUnlessToldOtherwise) {
  init_log({.level = LogLevel::debug, .rank = 3, .host = "h", .file = file_});
  log::info("quiet");
  log::warn("loud");
  EXPECT_EQ(text().find("quiet"), std::string::npos);
  EXPECT_NE(text().find("warning rank 3 h: loud"), std::string::npos) << text();

  init_log({.level = LogLevel::error, .rank = 3, .host = "h", .file = file_});
  log::warn("not this");
  EXPECT_EQ(text().find("not this"), std::string::npos);

  init_log({.level = LogLevel::debug, .every_rank = true, .rank = 3, .host = "h", .file = file_});
  log::debug("details");
  EXPECT_NE(text().find("details"), std::string::npos);

  init_log({.level = LogLevel::off, .rank = 0, .file = file_});
  log::error("silence");
  EXPECT_EQ(text().find("silence"), std::string::npos);
}

TEST_F(LogTest, AMessageStaysOneLine) {
  init_log({.rank = 0, .host = "h", .file = file_});
  log::info("{}", "a\nb");
  log::info("{}", std::string(10000, 'x'));
  log::info("{}", Error(EIO));
  const std::string all = text();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 3);
  EXPECT_NE(all.find("a\\x0ab\n"), std::string::npos);
  EXPECT_NE(all.find(": Input/output error (EIO)\n"), std::string::npos);
  EXPECT_LT(all.size(), 4500U);
}

TEST_F(LogTest, AFileThatCannotBeOpenedIsAnErrorOfTheConfiguration) {
  init_log({.rank = 0, .host = "h", .file = file_});
  try {
    init_log({.file = "/nonexistent/log"});
    ADD_FAILURE();
  } catch (const ConfigError& failure) {
    EXPECT_STREQ(failure.what(),
                 "log.file '/nonexistent/log' cannot be opened: No such file or directory "
                 "(ENOENT)");
  }
  log::info("still here");
  EXPECT_NE(text().find("still here"), std::string::npos);
}

TEST_F(LogTest, AReaderThatStoppedStopsNobody) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const Fd saved(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  ASSERT_GE(::dup2(writer.get(), STDERR_FILENO), 0);
  init_log({.rank = 0, .host = "h"});
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) log::info("{}", std::string(1000, 'x'));  // a pipe holds 64 KiB
  const auto took = std::chrono::steady_clock::now() - begin;

  std::array<char, 65536> buffer;
  ASSERT_GT(::read(reader.get(), buffer.data(), buffer.size()), 0);
  log::info("awake");
  writer.reset();
  ASSERT_GE(::dup2(saved.get(), STDERR_FILENO), 0);
  std::string all;
  for (ssize_t got; (got = ::read(reader.get(), buffer.data(), buffer.size())) > 0;)
    all.append(buffer.data(), static_cast<std::size_t>(got));

  EXPECT_LT(took, std::chrono::seconds(5));
  EXPECT_NE(all.find(": awake (9"), std::string::npos) << all.substr(all.size() - 200);
  EXPECT_TRUE(all.ends_with(" lines before this one were lost)\n"));
}

TEST_F(LogTest, AReaderThatIsGoneKillsNobody) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(::close(ends[0]), 0);
  Fd writer(ends[1]);
  const Fd saved(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  ASSERT_GE(::dup2(writer.get(), STDERR_FILENO), 0);
  init_log({.rank = 0, .host = "h"});
  log::error("nobody hears this");
  ASSERT_GE(::dup2(saved.get(), STDERR_FILENO), 0);
}

}  // namespace
}  // namespace benchfs
