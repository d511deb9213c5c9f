#include "spank-plugin/slurm_api.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>

extern "C" {
#include <slurm/slurm.h>
}

#include "common/sys.h"
#include "spank-plugin/service.h"

namespace benchfs::spank {
namespace {

// Signals the steps of the job that are named like ours; how many there are.
unsigned signal_servers(std::uint32_t job_id, std::optional<std::uint32_t> signal) {
  job_step_info_response_msg_t* answer = nullptr;
  if (::slurm_get_job_steps(0, job_id, NO_VAL, &answer, SHOW_ALL) != SLURM_SUCCESS) return 0;
  const std::unique_ptr<job_step_info_response_msg_t,
                        decltype(&::slurm_free_job_step_info_response_msg)>
      steps(answer, ::slurm_free_job_step_info_response_msg);
  unsigned found = 0;
  for (std::uint32_t i = 0; i < steps->job_step_count; ++i) {
    const job_step_info_t& step = steps->job_steps[i];
    if (step.step_id.job_id != job_id || step.name == nullptr ||
        std::string_view(step.name) != service_step_name)
      continue;
    ++found;
    if (signal) ::slurm_signal_job_step(job_id, step.step_id.step_id, *signal);
  }
  return found;
}

}  // namespace

std::optional<JobInfo> ask_for_job(std::uint32_t job_id) {
  job_info_msg_t* answer = nullptr;
  if (::slurm_load_job(&answer, job_id, SHOW_DETAIL) != SLURM_SUCCESS) return std::nullopt;
  const std::unique_ptr<job_info_msg_t, decltype(&::slurm_free_job_info_msg)> jobs(
      answer, ::slurm_free_job_info_msg);
  for (std::uint32_t i = 0; i < jobs->record_count; ++i) {
    const slurm_job_info_t& job = jobs->job_array[i];
    if (job.job_id != job_id && job.het_job_id != job_id) continue;
    return JobInfo{.job = {.id = job_id,
                           .restarts = job.restart_cnt,
                           .uid = job.user_id,
                           .nodes = job.num_nodes},
                   .heterogeneous = job.het_job_id != 0 && job.het_job_id != NO_VAL};
  }
  return std::nullopt;
}

SlurmFacts ask_for_facts(const Settings& settings) {
  const Exists exists = [](const std::string& path) { return ::access(path.c_str(), F_OK) == 0; };
  std::array<char, 4096> self{};
  if (::readlink("/proc/self/exe", self.data(), self.size() - 1) < 0) self[0] = '\0';

  SlurmFacts facts;
  facts.srun = choose_srun(settings, self.data(), exists);
  slurm_conf_t* answer = nullptr;
  std::string mpi_default;
  std::string plugin_dirs;
  if (::slurm_load_ctl_conf(0, &answer) == SLURM_SUCCESS) {
    facts.kill_wait_s = answer->kill_wait;
    facts.binds_to_cpus =
        answer->task_plugin != nullptr && std::string_view(answer->task_plugin) != "task/none";
    if (answer->mpi_default != nullptr) mpi_default = answer->mpi_default;
    if (answer->plugindir != nullptr) plugin_dirs = answer->plugindir;
    ::slurm_free_ctl_conf(answer);
  }
  facts.mpi = choose_mpi(settings, mpi_default, plugin_dirs, exists);
  return facts;
}

void stop_servers(std::uint32_t job_id, int timeout_ms) {
  if (signal_servers(job_id, SIGTERM) == 0) return;
  const std::int64_t deadline = sys::now_ns() + timeout_ms * std::int64_t{1000000};
  // The controller learns of a step's end and has no way to tell us.
  for (int wait_ms = 50; sys::now_ns() < deadline; wait_ms = std::min(wait_ms * 2, 500)) {
    ::poll(nullptr, 0, wait_ms);
    if (signal_servers(job_id, std::nullopt) == 0) return;
  }
}

std::string first_host(const char* node_list) {
  if (node_list == nullptr) return {};
  const hostlist_t hosts = ::slurm_hostlist_create(node_list);
  if (hosts == nullptr) return {};
  char* const first = ::slurm_hostlist_shift(hosts);
  const std::string name = first == nullptr ? "" : first;
  std::free(first);
  ::slurm_hostlist_destroy(hosts);
  return name;
}

}  // namespace benchfs::spank
