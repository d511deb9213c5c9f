// What the user asked for (--benchfs) and what the administrator set (plugstack.conf): text in,
// plain structs out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace benchfs::spank {

enum class Choice : std::uint8_t { unset, on, off };

// `value` is null where the user wrote --benchfs alone. Nothing when it is neither on nor off.
std::optional<Choice> parse_choice(const char* value);

struct Settings {
  std::string server;                   // benchfsd_mpi, on the compute nodes
  std::string preload;                  // libbenchfs_preload.so, on the compute nodes
  std::string registry;                 // base directory that all nodes share
  std::string data = "/local/benchfs";  // base directory of each node's own
  std::string mpi;                      // srun --mpi for the servers; empty: found out
  std::string config;                   // benchfs.conf for the servers; empty: none
  std::string srun;                     // empty: found out
  std::uint32_t timeout_s = 60;         // from the start of the servers until all are ready

  // Empty, or one line that says what is wrong. It concerns only those who use --benchfs, so it is
  // kept here until somebody does.
  std::string problem;
};

Settings parse_settings(std::span<const char* const> arguments);

// A decimal number without sign, at most `largest`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t largest);

}  // namespace benchfs::spank
