// The subcommands of `benchfs`: each returns the exit code, or throws Failure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace benchfs::cli {

struct RunOptions {
  std::uint32_t servers = 1;
  std::optional<std::string> mount_point;
  std::optional<std::string> data_dir;
  std::optional<std::string> config_file;
  bool read_only = false;
  std::vector<std::string> command;
};
int run(const RunOptions& options);

struct ExecOptions {
  std::string registry;
  double wait_s = 5;
  bool read_only = false;
  std::vector<std::string> command;
};
int exec(const ExecOptions& options);

struct StatusOptions {
  std::string registry;
  bool json = false;
};
int status(const StatusOptions& options);

struct FsckOptions {
  std::string registry;
  bool json = false;
};
int fsck(const FsckOptions& options);

struct StopOptions {
  std::string registry;
};
int stop(const StopOptions& options);

}  // namespace benchfs::cli
