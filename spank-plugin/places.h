// Where the files of one job are. `benchfs-slurm`(8), FILES, lists them for people.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "spank-plugin/options.h"

namespace benchfs::spank {

struct Job {
  std::uint32_t id = 0;
  std::uint32_t restarts =
      0;  // a requeued job keeps its id, and what the first run left may be there
  uid_t uid = 0;
  std::uint32_t nodes = 0;
};

// <registry>/<uid>: of one user, 0700.
std::string user_registry(const Settings& settings, uid_t uid);
// <registry>/<uid>/<jobid>.<restarts>
std::string job_registry(const Settings& settings, const Job& job);
// Whether `name`, an entry of user_registry, belongs to any run of that job.
bool is_registry_of(std::string_view name, std::uint32_t job_id);

// <data>/<jobid>: on each node, 0700 of the user.
std::string job_data(const Settings& settings, std::uint32_t job_id);

// A symbolic link in job_data to the registry, made on each node by the servers' own step: the
// application's tasks learn it without asking the controller or a shared filesystem.
inline constexpr std::string_view registry_link = "registry";
// Names in job_data that start so are written by the servers when they are ready.
inline constexpr std::string_view host_record_prefix = "host_";

}  // namespace benchfs::spank
