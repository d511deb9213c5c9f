// Every setting BenchFS has, with its default. Filled once at start-up, then const.
//
// One table names the settings; the configuration file, the environment, the command line,
// `--help-config`, etc/benchfs.conf and the dump for the worker all come from it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/log_level.h"
#include "common/waiting.h"

namespace benchfs {

// What of the metadata outlives a server that crashes: nothing, what was answered, or what was
// answered even if the whole node crashes.
enum class MetadataLog : std::uint8_t { off, write, fsync };

enum class Bootstrap : std::uint8_t { automatic, pmix, mpi, slurm, single };

std::string default_data_dir();  // /tmp/benchfs-<uid>

struct Config {
  struct Node {
    Bootstrap bootstrap = Bootstrap::automatic;
    bool keep_data = false;
    std::uint32_t start_timeout_s = 60;
    std::uint32_t drain_timeout_s = 25;
    friend bool operator==(const Node&, const Node&) = default;
  };
  struct Storage {
    std::string data_dir = default_data_dir();
    std::uint32_t chunk_size = 4U << 20;
    std::uint32_t buffer_size = 1U << 20;
    std::uint32_t queue_size = 2048;
    std::uint32_t submit_depth = 64;
    friend bool operator==(const Storage&, const Storage&) = default;
  };
  struct Network {
    std::uint32_t request_timeout_ms = 10000;
    std::uint32_t heartbeat_ms = 1000;
    Waiting wait = Waiting::adaptive;
    friend bool operator==(const Network&, const Network&) = default;
  };
  struct Metadata {
    MetadataLog log = MetadataLog::write;
    std::uint64_t max_inodes = 0;                  // per rank; 0: no limit
    std::uint32_t directory_split_entries = 4096;  // 0: never split
    std::uint32_t inline_bytes = 4096;             // contents up to here lie with the inode; 0: none
    friend bool operator==(const Metadata&, const Metadata&) = default;
  };
  struct Client {
    std::string mount_point = "/benchfs";
    Waiting wait = Waiting::adaptive;
    std::uint32_t spin_us = 50;
    bool read_only = false;
    friend bool operator==(const Client&, const Client&) = default;
  };
  struct Log {
    LogLevel level = LogLevel::info;
    std::string file;  // empty: standard error
    friend bool operator==(const Log&, const Log&) = default;
  };

  Node node;
  Storage storage;
  Network network;
  Metadata metadata;
  Client client;
  Log log;
  friend bool operator==(const Config&, const Config&) = default;
};

// What is wrong with the configuration, in one line that names file and line, variable or option,
// and what would be allowed.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// One row per setting.
struct Setting {
  std::string_view section;
  std::string_view key;
  std::string_view help;
  std::string_view default_text;
  bool must_agree;                                     // between all ranks of an instance
  bool (*set)(Config& config, std::string_view text);  // false: not an allowed value
  std::string (*get)(const Config& config);            // the canonical text; `set` takes it
  std::string (*allowed)();                            // which values are, for messages and help
};
std::span<const Setting> settings();

// Command line > environment (BENCHFS_SECTION_KEY; BENCHFS_LOG for log.level) > file > default.
// `overrides` are "section.key=value", with or without a leading "--"; `environment` may be null.
// Throws ConfigError.
Config load_config(const std::optional<std::string>& file, std::span<const std::string> overrides,
                   char** environment);

// Sets one key as the command line does: `key` is "section.key". Throws ConfigError.
// Checks the value alone; load_config also checks values against each other.
void set_option(Config& config, std::string_view key, std::string_view value);

// Whether BENCHFS_LOG is set: then the configured log level holds for all ranks, not for rank 0
// only.
bool log_level_forced(char** environment);

// Every key with help, allowed values and default: also the text of etc/benchfs.conf.
std::string help_config();

// Equal on two ranks if and only if (but for chance) all settings that must agree do.
std::uint64_t fingerprint(const Config& config);
std::string describe_fingerprinted(const Config& config);

// "section.key=value\n" for every setting: how the supervisor hands its configuration to the
// worker. decode wants every key once and throws ConfigError.
std::string encode(const Config& config);
Config decode(std::string_view dump);

}  // namespace benchfs
