// srun, sbatch and salloc, as the user.
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "common/config.h"
#include "spank-plugin/contexts.h"
#include "spank-plugin/environment.h"
#include "spank-plugin/servers.h"
#include "spank-plugin/slurm_api.h"

namespace benchfs::spank {

std::optional<std::string> find_mount_point(const Settings& settings, char** environment) {
  // The file is the compute nodes'; a login host may not have it.
  const bool readable = !settings.config.empty() && ::access(settings.config.c_str(), R_OK) == 0;
  try {
    return load_config(readable ? std::optional(settings.config) : std::nullopt, {}, environment)
        .client.mount_point;
  } catch (const ConfigError& error) {
    slurm_error("benchfs: %s", error.what());
    return std::nullopt;
  }
}

int check_submission(const Settings& settings, Choice choice) {
  if (choice != Choice::on || ::getenv(service_variable) != nullptr) return go_on;
  if (!settings.problem.empty()) {
    slurm_error("benchfs: %s", settings.problem.c_str());
    return refuse;
  }
  return find_mount_point(settings, environ) ? go_on : refuse;
}

int provide_servers(const Settings& settings, std::uint32_t job_id,
                    const char* const* environment) {
  const auto info = ask_for_job(job_id);
  if (!info) {
    slurm_error("benchfs: job %u: Slurm's controller does not answer; try again", job_id);
    return refuse;
  }
  if (info->heterogeneous) {
    slurm_error(
        "benchfs: job %u: heterogeneous jobs are not supported; use one component, or "
        "--benchfs=off",
        job_id);
    return refuse;
  }
  const Outcome outcome = ensure_servers(
      {.settings = settings, .job = info->job, .environment = environment, .facts = [&settings] {
         return ask_for_facts(settings);
       }});
  if (!outcome.ready) {
    slurm_error("benchfs: job %u: %s", job_id, outcome.problem.c_str());
    for (const std::string& line : outcome.details) slurm_error("benchfs: | %s", line.c_str());
    return refuse;
  }
  slurm_verbose("benchfs: job %u: %u servers ready after %.2f s (%s)", job_id, info->job.nodes,
                outcome.seconds, outcome.started_here ? "started" : "joined");
  return go_on;
}

int before_launch(spank_t spank, const Settings& settings, Choice choice) {
  if (choice != Choice::on || ::getenv(service_variable) != nullptr) return go_on;
  std::uint32_t job_id = 0;
  if (spank_get_item(spank, S_JOB_ID, &job_id) != ESPANK_SUCCESS) {
    slurm_error("benchfs: srun does not tell its job");
    return refuse;
  }
  return provide_servers(settings, job_id, environ);
}

}  // namespace benchfs::spank
