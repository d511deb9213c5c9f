// Questions to Slurm's controller and configuration; no SPANK. The symbols are those of the program
// the plugin is loaded into.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "spank-plugin/options.h"
#include "spank-plugin/places.h"
#include "spank-plugin/servers.h"

namespace benchfs::spank {

struct JobInfo {
  Job job;
  bool heterogeneous = false;
};

// Nothing when the controller does not answer or does not know the job.
std::optional<JobInfo> ask_for_job(std::uint32_t job_id);

SlurmFacts ask_for_facts(const Settings& settings);

// Ends the servers' step of the job and waits at most `timeout_ms` for its end.
void stop_servers(std::uint32_t job_id, int timeout_ms);

// "node1" of "node[1-4]"; empty when it cannot be told.
std::string first_host(const char* node_list);

}  // namespace benchfs::spank
