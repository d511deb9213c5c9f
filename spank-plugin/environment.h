// What the servers inherit of the user's environment, and what the application's tasks get on top
// of theirs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spank-plugin/options.h"
#include "spank-plugin/places.h"

namespace benchfs::spank {

// Set in the servers' own step: it needs no servers, no preloaded library, and SIGTERM means drain
// there.
inline constexpr const char* service_variable = "BENCHFS_SERVICE_STEP";

// The value of `name` in a null-terminated environment; null when it is not set.
const char* find_variable(const char* const* environment, std::string_view name);

// LD_PRELOAD with `library` first and once; entries by other names keep their order. An entry with
// the same file name is another build of ours and goes, too: two in one process would fight.
std::string add_preload(std::string_view preload, std::string_view library);
std::string remove_preload(std::string_view preload, std::string_view library);

struct Change {
  std::string name;
  std::optional<std::string> value;  // nothing: unset
  friend bool operator==(const Change&, const Change&) = default;
};

struct TaskView {
  std::string mount_point;
  std::string local;  // job_data on this node
  std::string registry;
};

// For a task with --benchfs=on, and with --benchfs=off inside of a job that has BenchFS. `preload`
// is the task's LD_PRELOAD, or null.
std::vector<Change> changes_on(const char* preload, const Settings& settings, const TaskView& view);
std::vector<Change> changes_off(const char* preload, const Settings& settings);

// The environment of the servers' step: a short list of what is the user's, his BENCHFS_ settings
// but for those that are the job's, and what the job decides. What was meant for the application's
// MPI (UCX_TLS), step (SLURM_NTASKS) or libraries (LD_LIBRARY_PATH) must not reach the servers.
std::vector<std::string> service_environment(const char* const* environment,
                                             const Settings& settings, const Job& job,
                                             std::uint32_t drain_timeout_s);

// Seconds the servers may go on serving after SIGTERM: Slurm kills KillWait seconds after it.
std::uint32_t drain_timeout_s(std::uint32_t kill_wait_s);

}  // namespace benchfs::spank
