#include "common/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "common/placement.h"
#include "common/text.h"
#include "common/version.h"

namespace benchfs {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string name = testing::TempDir() + "benchfs-config-XXXXXX";
    directory_ = ::mkdtemp(name.data()) != nullptr ? name : "";
    file_ = directory_ + "/benchfs.conf";
  }
  ~ConfigTest() override {
    ::unlink(file_.c_str());
    ::rmdir(directory_.c_str());
  }

  Config load(const std::optional<std::string>& text, std::vector<std::string> overrides = {},
              std::vector<std::string> variables = {}) {
    std::optional<std::string> file;
    if (text) {
      std::ofstream(file_, std::ios::binary) << *text;
      file = file_;
    }
    std::vector<char*> environment;
    environment.reserve(variables.size() + 1);
    for (std::string& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);
    return load_config(file, overrides, environment.data());
  }

  // What load throws, with the file's directory taken off.
  std::string error(const std::optional<std::string>& text, std::vector<std::string> overrides = {},
                    std::vector<std::string> variables = {}) {
    try {
      load(text, std::move(overrides), std::move(variables));
    } catch (const ConfigError& failure) {
      std::string what = failure.what();
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
      const std::string prefix = directory_ + "/";
      if (what.starts_with(prefix)) what.erase(0, prefix.size());
      return what;
    }
    return "no error";
  }

  std::string directory_;
  std::string file_;
};

TEST_F(ConfigTest, DefaultsOfTheTableAreThoseOfTheStruct) {
  for (const Setting& setting : settings()) {
    Config config;
    ASSERT_TRUE(setting.set(config, setting.default_text)) << setting.key;
    EXPECT_EQ(config, Config()) << setting.section << "." << setting.key << " becomes "
                                << setting.get(config);
  }
  EXPECT_EQ(load(std::nullopt), Config());
}

TEST_F(ConfigTest, EveryCanonicalTextIsAllowed) {
  for (const Setting& setting : settings()) {
    Config config;
    EXPECT_TRUE(setting.set(config, setting.get(config))) << setting.key;
    EXPECT_EQ(config, Config());
  }
}

TEST_F(ConfigTest, ReadsAFile) {
  const Config config = load(
      "; comment\n# comment\n\n[node]\nbootstrap = slurm\nkeep_data=yes\n"
      "[storage] # the disks\r\n  data_dir = /scratch/me   \r\n\tchunk_size = 64K ; small\n"
      "queue_size: 8\nsubmit_depth=8\n[metadata]\nmax_inodes=8796093022207\nlog = fsync\n"
      "[client]\nwait=block\n[log]\nlevel=off\nfile=");
  EXPECT_EQ(config.node.bootstrap, Bootstrap::slurm);
  EXPECT_TRUE(config.node.keep_data);
  EXPECT_EQ(config.storage.data_dir, "/scratch/me");
  EXPECT_EQ(config.storage.chunk_size, 65536U);
  EXPECT_EQ(config.storage.queue_size, 8U);
  EXPECT_EQ(config.metadata.max_inodes, 8796093022207U);
  EXPECT_EQ(config.metadata.log, MetadataLog::fsync);
  EXPECT_EQ(config.client.wait, Waiting::block);
  EXPECT_EQ(config.network.wait, Waiting::adaptive);
  EXPECT_EQ(config.log.level, LogLevel::off);
  EXPECT_EQ(config.log.file, "");
}

TEST_F(ConfigTest, AnEmptyFileAndAByteOrderMarkAreFine) {
  EXPECT_EQ(load(""), Config());
  EXPECT_EQ(load("\xef\xbb\xbf[log]\nlevel=warn\n").log.level, LogLevel::warn);
}

TEST_F(ConfigTest, PlaceholderForTheUser) {
  const std::string uid = std::to_string(::getuid());
  EXPECT_EQ(load("[storage]\ndata_dir=/x/<uid>/y-<uid>\n").storage.data_dir,
            "/x/" + uid + "/y-" + uid);
}

TEST_F(ConfigTest, ErrorsOfTheFileNameFileAndLine) {
  EXPECT_EQ(error("[node]\n\nretries=3\n"),
            "benchfs.conf:3: unknown key 'retries' in [node]; known: bootstrap, keep_data, "
            "start_timeout_s, drain_timeout_s");
  EXPECT_EQ(error("[node]\n[storge]\n"),
            "benchfs.conf:2: unknown section 'storge'; known: [node], [storage], [network], "
            "[metadata], [client], [log]");
  EXPECT_EQ(error("[storage]\nchunk_size=3m\n"),
            "benchfs.conf:2: storage.chunk_size = '3m' is not allowed; allowed: a power of two "
            "from 64k to 1g");
  EXPECT_EQ(error("# x\nlevel=info\n"), "benchfs.conf:2: 'level' stands before any [section]");
  EXPECT_EQ(error("[log]\nlevel\n"),
            "benchfs.conf:2: neither a [section], nor key = value, nor a comment");
  EXPECT_EQ(error("[log\nlevel=info\n"),
            "benchfs.conf:1: neither a [section], nor key = value, nor a comment");
  EXPECT_EQ(error("[log] level=debug\n"),
            "benchfs.conf:1: text after [log]; put it on a line of its own");
  EXPECT_EQ(error("[log]\nlevel=info\n[node]\n[log]\nlevel=warn\n"),
            "benchfs.conf:5: log.level is set twice, first in line 2");
  EXPECT_EQ(error("[log]\nfile=/x/y # z\n"),
            "benchfs.conf:2: comment after a value: begin it with ';' or put it on a line of its "
            "own");
  EXPECT_EQ(error("[log]\nfile=/" + std::string(300, 'x') + "\n"),
            "benchfs.conf:2: longer than 197 bytes");
  EXPECT_EQ(error(std::string("[log]\nfi\0le=x\n", 14)),
            "benchfs.conf:2: holds a zero byte; this is not a text file");
}

// The first error is the one to mend.
TEST_F(ConfigTest, TheFirstOfTwoErrorsIsNamed) {
  EXPECT_TRUE(error("[log]\nlevel=loud\n[node]\nx=y\n").starts_with("benchfs.conf:2:"));
  EXPECT_TRUE(error("[log]\nlevel\nlevel=loud\n").starts_with("benchfs.conf:2:"));
}

// An INI parser of another mind would take the second for a continuation of the first.
TEST_F(ConfigTest, IndentedLinesAreLines) {
  const Config config = load("[log]\nlevel = warn\n  file = /x/log\n");
  EXPECT_EQ(config.log.level, LogLevel::warn);
  EXPECT_EQ(config.log.file, "/x/log");
}

TEST_F(ConfigTest, FilesThatCannotBeRead) {
  const auto what = [](const std::string& name) -> std::string {
    try {
      load_config(name, {}, nullptr);
    } catch (const ConfigError& failure) {
      return failure.what();
    }
    return "no error";
  };
  EXPECT_EQ(what("/nonexistent/benchfs.conf"),
            "/nonexistent/benchfs.conf: cannot be read: No such file or directory (ENOENT)");
  EXPECT_EQ(what("/"), "/: cannot be read: Is a directory (EISDIR)");
  EXPECT_EQ(what("/dev/zero"), "/dev/zero: cannot be read: longer than 1m");
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(load_config(file_, {}, nullptr), Config());  // does not hang
}

TEST_F(ConfigTest, CommandLineOverEnvironmentOverFileOverDefault) {
  const std::string file = "[node]\nstart_timeout_s=1\ndrain_timeout_s=1\nkeep_data=true\n";
  const Config config = load(file, {"node.start_timeout_s=3"},
                             {"BENCHFS_NODE_START_TIMEOUT_S=2", "BENCHFS_NODE_DRAIN_TIMEOUT_S=2"});
  EXPECT_EQ(config.node.start_timeout_s, 3U);
  EXPECT_EQ(config.node.drain_timeout_s, 2U);
  EXPECT_TRUE(config.node.keep_data);
  EXPECT_EQ(config.storage.queue_size, 2048U);
}

TEST_F(ConfigTest, EverySettingHasItsVariableAndOption) {
  for (const Setting& setting : settings()) {
    std::string name = "BENCHFS_" + std::string(setting.section) + "_" + std::string(setting.key);
    for (char& c : name)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    EXPECT_NE(error(std::nullopt, {}, {name + "=\x01"}).find(name), std::string::npos);
    const std::string option =
        "--" + std::string(setting.section) + "." + std::string(setting.key) + "=";
    EXPECT_TRUE(error(std::nullopt, {option + "\x01"})
                    .starts_with(option + "'\\x01' is not allowed; allowed: "));
  }
}

TEST_F(ConfigTest, ErrorsOfTheEnvironmentNameTheVariable) {
  EXPECT_EQ(error(std::nullopt, {}, {"BENCHFS_STORAGE_CHUNKSIZE=4m"}),
            "environment: unknown setting BENCHFS_STORAGE_CHUNKSIZE; known: "
            "BENCHFS_STORAGE_DATA_DIR, BENCHFS_STORAGE_CHUNK_SIZE, BENCHFS_STORAGE_BUFFER_SIZE, "
            "BENCHFS_STORAGE_QUEUE_SIZE, BENCHFS_STORAGE_SUBMIT_DEPTH");
  EXPECT_EQ(error(std::nullopt, {}, {"BENCHFS_NETWORK_WAIT=spin"}),
            "environment: BENCHFS_NETWORK_WAIT='spin' is not allowed; allowed: adaptive, poll, "
            "block");
  EXPECT_EQ(error(std::nullopt, {}, {"BENCHFS_LOG=loud"}),
            "environment: BENCHFS_LOG='loud' is not allowed; allowed: trace, debug, info, warn, "
            "error, off");
}

TEST_F(ConfigTest, OtherVariablesAreNotOurs) {
  EXPECT_EQ(
      load(std::nullopt, {},
           {"BENCHFS_MOUNT=/x", "BENCHFS_LOCAL=/y", "BENCHFS_REGISTRY=/z", "BENCHFS_SERVICE_STEP=1",
            "BENCHFS_UCX_TLS=tcp", "STORAGE_DATA_DIR=/x", "broken", "BENCHFS_"}),
      Config());
}

TEST_F(ConfigTest, BenchfsLogWinsOverLogLevelButNotOverTheCommandLine) {
  const std::string file = "[log]\nlevel=off\n";
  const std::vector<std::string> variables = {"BENCHFS_LOG=debug", "BENCHFS_LOG_LEVEL=warn"};
  EXPECT_EQ(load(file, {}, variables).log.level, LogLevel::debug);
  EXPECT_EQ(load(file, {"log.level=error"}, variables).log.level, LogLevel::error);

  char set[] = "BENCHFS_LOG=debug";
  char unset[] = "BENCHFS_LOG_LEVEL=debug";
  char* with[] = {unset, set, nullptr};
  char* without[] = {unset, nullptr};
  EXPECT_TRUE(log_level_forced(with));
  EXPECT_FALSE(log_level_forced(without));
  EXPECT_FALSE(log_level_forced(nullptr));
}

TEST_F(ConfigTest, ErrorsOfTheCommandLine) {
  EXPECT_EQ(error(std::nullopt, {"--storage.chunk_size=0"}),
            "--storage.chunk_size='0' is not allowed; allowed: a power of two from 64k to 1g");
  EXPECT_EQ(error(std::nullopt, {"log.colour=red"}),
            "--log.colour: unknown setting; known in [log]: level, file");
  EXPECT_EQ(error(std::nullopt, {"chunk_size=4m"}),
            "--chunk_size: unknown setting; known sections: [node], [storage], [network], "
            "[metadata], [client], [log]");
  EXPECT_EQ(error(std::nullopt, {"log=info"}),
            "--log: unknown setting; known sections: [node], [storage], [network], [metadata], "
            "[client], [log]");
  EXPECT_EQ(error(std::nullopt, {"--log.level"}), "--log.level: expected --section.key=value");
  EXPECT_EQ(error(std::nullopt, {""}), "--: expected --section.key=value");
  EXPECT_EQ(error(std::nullopt, {"log.level=in\nfo"}),
            "--log.level='in\\x0afo' is not allowed; allowed: trace, debug, info, warn, error, "
            "off");
}

TEST_F(ConfigTest, Bounds) {
  const auto takes = [](const std::string& key, const std::string& value) {
    Config config;
    try {
      set_option(config, key, value);
    } catch (const ConfigError&) {
      return false;
    }
    return true;
  };
  for (const char* good : {"64k", "65536", "1g", "4M"})
    EXPECT_TRUE(takes("storage.chunk_size", good)) << good;
  for (const char* bad : {"", "32k", "2g", "5m", "-4m", "+4m", "4 m", "4mb", "0x10000",
                          "4294967296", "18446744073709551616", "17179869184g", "m"})
    EXPECT_FALSE(takes("storage.chunk_size", bad)) << bad;
  EXPECT_TRUE(takes("storage.buffer_size", "68k"));
  EXPECT_FALSE(takes("storage.buffer_size", "65k"));
  EXPECT_FALSE(takes("storage.buffer_size", "128m"));
  EXPECT_TRUE(takes("metadata.max_inodes", "8796093022207"));
  EXPECT_FALSE(takes("metadata.max_inodes", "8796093022208"));
  for (const char* good : {"off", "write", "fsync"})
    EXPECT_TRUE(takes("metadata.log", good)) << good;
  EXPECT_FALSE(takes("metadata.log", "false"));
  EXPECT_TRUE(takes("metadata.inline_bytes", "0"));
  EXPECT_FALSE(takes("metadata.inline_bytes", "4097"));
  EXPECT_FALSE(takes("node.start_timeout_s", "0"));
  EXPECT_FALSE(takes("node.start_timeout_s", "4294967297"));
  EXPECT_FALSE(takes("node.keep_data", "maybe"));
  EXPECT_FALSE(takes("node.bootstrap", "Auto"));
  for (const char* good : {"/benchfs", "/a/b.c/..d", "/..."})
    EXPECT_TRUE(takes("client.mount_point", good)) << good;
  for (const char* bad : {"", "/", "benchfs", "/benchfs/", "//benchfs", "/a//b", "/a/./b", "/a/..",
                          "/.", "/a\nb", "/a\tb"})
    EXPECT_FALSE(takes("client.mount_point", bad)) << bad;
  EXPECT_FALSE(takes("client.mount_point", "/" + std::string(256, 'x')));
  EXPECT_FALSE(takes("storage.data_dir", "relative"));
  EXPECT_TRUE(takes("log.file", ""));
  EXPECT_FALSE(takes("log.file", "benchfs.log"));
}

TEST_F(ConfigTest, ValuesThatDoNotGoTogether) {
  EXPECT_EQ(error("[storage]\nqueue_size=32\n"),
            "storage.submit_depth (64) must not be more than storage.queue_size (32)");
  EXPECT_EQ(error(std::nullopt, {"network.request_timeout_ms=1000"}),
            "network.heartbeat_ms (1000) must be less than network.request_timeout_ms (1000)");
  EXPECT_EQ(load("[storage]\nqueue_size=32\n", {"storage.submit_depth=32"}).storage.queue_size,
            32U);
}

TEST_F(ConfigTest, FingerprintCoversWhatMustAgreeAndNothingElse) {
  const Config base;
  EXPECT_EQ(
      describe_fingerprinted(base),
      "storage.chunk_size=4194304 metadata.max_inodes=0 metadata.directory_split_entries=4096 "
      "metadata.inline_bytes=4096 client.mount_point=/benchfs");
  for (const auto& [option, matters] :
       std::vector<std::pair<std::string, bool>>{{"storage.chunk_size=8m", true},
                                                 {"metadata.max_inodes=7", true},
                                                 {"metadata.inline_bytes=0", true},
                                                 {"client.mount_point=/other", true},
                                                 {"storage.data_dir=/other", false},
                                                 {"storage.chunk_size=4096k", false},
                                                 {"node.start_timeout_s=3", false},
                                                 {"log.level=off", false}}) {
    const Config changed = load(std::nullopt, {option});
    EXPECT_EQ(fingerprint(changed) != fingerprint(base), matters) << option;
    EXPECT_EQ(describe_fingerprinted(changed) != describe_fingerprinted(base), matters) << option;
  }
}

TEST_F(ConfigTest, EncodeAndDecode) {
  EXPECT_EQ(decode(encode(Config())), Config());
  const Config config =
      load(std::nullopt, {"node.bootstrap=mpi", "node.keep_data=true", "storage.data_dir=/x y/=z",
                          "storage.chunk_size=1g", "network.wait=poll", "client.spin_us=0",
                          "log.file=/var/log/x.log", "metadata.max_inodes=5", "log.level=error"});
  EXPECT_EQ(decode(encode(config)), config);
  EXPECT_NE(encode(config).find("storage.data_dir=/x y/=z\n"), std::string::npos);
}

TEST_F(ConfigTest, DecodeWantsEveryKeyOnce) {
  const std::string dump = encode(Config());
  EXPECT_THROW(decode(""), ConfigError);
  EXPECT_THROW(decode(dump + "log.level=info\n"), ConfigError);
  EXPECT_THROW(decode(dump + "log.colour=red\n"), ConfigError);
  EXPECT_THROW(decode(dump + "\n"), ConfigError);
  EXPECT_THROW(decode(dump.substr(0, dump.size() - 1)), ConfigError);
  EXPECT_THROW(decode(dump.substr(dump.find('\n') + 1)), ConfigError);
}

TEST_F(ConfigTest, TheShippedFileIsWhatTheTableSays) {
  std::ifstream file(BENCHFS_SOURCE_DIR "/etc/benchfs.conf");
  ASSERT_TRUE(file);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), help_config()) << "write what benchfsd_mpi --help-config prints";
  EXPECT_EQ(load(text.str()), Config());
}

// Who removes the # in front of a default must get a file that is read, and means the same.
TEST_F(ConfigTest, TheShippedFileIsReadWithEveryDefaultUncommented) {
  std::istringstream lines(help_config());
  std::string text;
  std::size_t uncommented = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U);
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') {
      line.erase(0, 1);
      ++uncommented;
    }
    text += line + "\n";
  }
  EXPECT_EQ(uncommented, settings().size());
  EXPECT_EQ(load(text), Config());
}

TEST(Version, IsTheProjects) { EXPECT_EQ(version(), BENCHFS_EXPECTED_VERSION); }

}  // namespace
}  // namespace benchfs
