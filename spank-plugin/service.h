// The servers' own step: its command line, and what srun's messages say about its end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spank-plugin/options.h"
#include "spank-plugin/places.h"

namespace benchfs::spank {

// How squeue shows the step, and how the batch host finds it at the end of the job.
inline constexpr const char* service_step_name = "benchfsd";

using Exists = std::function<bool(const std::string& path)>;

// The --mpi of the servers: the administrator's, else PMIx where this Slurm has it (`plugin_dirs`
// and `mpi_default` are PluginDir and MpiDefault of slurm.conf), else none: the servers then find
// each other by Slurm's environment and the registry.
std::string choose_mpi(const Settings& settings, std::string_view mpi_default,
                       std::string_view plugin_dirs, const Exists& exists);

// The administrator's; else the one that runs us or lies beside it (`self`: our executable).
std::string choose_srun(const Settings& settings, std::string_view self, const Exists& exists);

// What only the one who starts the servers has to ask Slurm for.
struct SlurmFacts {
  std::string srun;
  std::string mpi;
  bool binds_to_cpus = false;  // else srun warns of an option that has no effect
  std::uint32_t kill_wait_s = 30;
};

std::vector<std::string> service_command(const Settings& settings, const Job& job,
                                         const SlurmFacts& facts);

// Where Slurm puts what the server of `task` writes: <registry>/server.<task>.log
std::string server_log(const std::string& registry, std::uint32_t task);

struct EndedServer {
  std::uint32_t task;
  std::string what;  // "node3: task 2: Segmentation fault"
};
// From what srun wrote so far: the first server that has ended.
std::optional<EndedServer> find_ended_server(std::string_view srun_log);

// What this plugin itself reported in a step's log: the text after "error: benchfs: ". Slurm's own
// messages about the consequences follow it there.
std::string find_own_message(std::string_view log);

// The last line with anything in it, without control characters, at most 500 bytes of it.
std::string last_line(std::string_view text);

}  // namespace benchfs::spank
