// slurmstepd: the tasks of a step, the batch script and the servers themselves.
#include <dirent.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include <slurm/slurm.h>
}

#include "common/fd.h"
#include "spank-plugin/contexts.h"
#include "spank-plugin/directories.h"
#include "spank-plugin/environment.h"
#include "spank-plugin/places.h"
#include "spank-plugin/slurm_api.h"

namespace benchfs::spank {
namespace {

constexpr int batch_stop_ms = 5000;
constexpr int host_wait_ms = 5000;

struct Step {
  std::uint32_t job_id = 0;
  std::uint32_t step_id = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

std::optional<Step> step_of(spank_t spank) {
  Step step;
  if (spank_get_item(spank, S_JOB_ID, &step.job_id) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_STEPID, &step.step_id) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_UID, &step.uid) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_GID, &step.gid) != ESPANK_SUCCESS)
    return std::nullopt;
  return step;
}

// The environment the task will have. Slurm frees it when it changes it: read before, copy, change.
char** environment_of(spank_t spank) {
  char** environment = nullptr;
  return spank_get_item(spank, S_JOB_ENV, &environment) == ESPANK_SUCCESS ? environment : nullptr;
}

bool is_service(spank_t spank) {
  return find_variable(environment_of(spank), service_variable) != nullptr;
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

bool has_host_record(const std::string& directory) {
  const auto close = [](DIR* opened) { ::closedir(opened); };
  const std::unique_ptr<DIR, decltype(close)> opened(::opendir(directory.c_str()), close);
  while (const dirent* entry = opened ? ::readdir(opened.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(host_record_prefix) && name.find('.') == name.npos) return true;
  }
  return false;
}

// Rank 0's `ready` may be seen a moment before the record of this host is there.
bool await_host_record(const std::string& directory) {
  if (has_host_record(directory)) return true;
  const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch || ::inotify_add_watch(watch.get(), directory.c_str(), IN_MOVED_TO | IN_CREATE) < 0)
    return has_host_record(directory);
  const std::int64_t deadline = sys::now_ns() + host_wait_ms * std::int64_t{1000000};
  pollfd event{.fd = watch.get(), .events = POLLIN, .revents = 0};
  while (!has_host_record(directory)) {
    const std::int64_t left_ms = (deadline - sys::now_ns()) / 1000000;
    if (left_ms <= 0) return false;
    ::poll(&event, 1, static_cast<int>(left_ms) + 1);
    std::array<char, 4096> events;
    while (sys::read(watch.get(), events.data(), events.size()) > 0) {
    }
  }
  return true;
}

void change_environment(spank_t spank, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.value)
      spank_setenv(spank, change.name.c_str(), change.value->c_str(), 1);
    else
      spank_unsetenv(spank, change.name.c_str());
  }
}

// The servers of this node are about to be executed: leave the tasks a way to the registry.
int before_server(spank_t spank, const std::string& directory) {
  const char* const registry = find_variable(environment_of(spank), "BENCHFS_REGISTRY");
  if (registry == nullptr) return go_on;  // not started by this plugin
  const std::string link = directory + "/" + std::string(registry_link);
  if (::unlink(link.c_str()) != 0 && errno != ENOENT) {
    slurm_error("benchfs: %s: %s", link.c_str(), std::strerror(errno));
    return refuse;
  }
  if (::symlink(registry, link.c_str()) != 0) {
    slurm_error("benchfs: %s: %s", link.c_str(), std::strerror(errno));
    return refuse;
  }
  return go_on;
}

}  // namespace

int before_task_as_root(spank_t spank, const Settings& settings) {
  // Also where the prolog did not make it: for srun --benchfs=on in a job submitted without, and
  // without PrologFlags=Alloc. The variable is the user's to set; all it gets him is his own
  // directory.
  if (!is_service(spank)) return go_on;
  const auto step = step_of(spank);
  if (!step) return refuse;
  const std::string problem =
      make_job_directory(settings.data, std::to_string(step->job_id), step->uid, step->gid);
  if (problem.empty()) return go_on;
  slurm_error("benchfs: %s: %s; tell your administrator", host_name().c_str(), problem.c_str());
  return refuse;
}

int before_task(spank_t spank, const Settings& settings, Choice choice) {
  const auto step = step_of(spank);
  if (!step) return choice == Choice::on ? refuse : go_on;
  if (step->step_id == SLURM_EXTERN_CONT) return go_on;
  const std::string directory = job_data(settings, step->job_id);
  if (is_service(spank)) return before_server(spank, directory);
  if (choice == Choice::unset) return go_on;

  const char* const preload = find_variable(environment_of(spank), "LD_PRELOAD");
  if (choice == Choice::off) {
    change_environment(spank, changes_off(preload, settings));
    return go_on;
  }
  if (!settings.problem.empty()) {
    slurm_error("benchfs: %s", settings.problem.c_str());
    return refuse;
  }
  if (step->step_id == SLURM_BATCH_SCRIPT &&
      provide_servers(settings, step->job_id, environment_of(spank)) != go_on)
    return refuse;
  const auto mount_point = find_mount_point(settings, environment_of(spank));
  if (!mount_point) return refuse;
  if (!await_host_record(directory)) {
    slurm_error(
        "benchfs: job %u: no server is ready on %s (nothing in %s); the task was not run: see "
        "whether an earlier message says why, else submit again",
        step->job_id, host_name().c_str(), directory.c_str());
    return refuse;
  }
  std::array<char, PATH_MAX> registry{};
  const std::string link = directory + "/" + std::string(registry_link);
  if (::readlink(link.c_str(), registry.data(), registry.size() - 1) < 0) {
    slurm_error("benchfs: job %u: %s on %s: %s", step->job_id, link.c_str(), host_name().c_str(),
                std::strerror(errno));
    return refuse;
  }
  change_environment(
      spank,
      changes_on(preload, settings,
                 {.mount_point = *mount_point, .local = directory, .registry = registry.data()}));
  return go_on;
}

int after_task(spank_t spank, const Settings& settings) {
  // The batch script has ended, its control group lives. Were the servers' srun, which is in it,
  // killed with it, every node would retry for seconds to reach it.
  const auto step = step_of(spank);
  if (!step || step->step_id != SLURM_BATCH_SCRIPT) return go_on;
  // Jobs without BenchFS pay one look at the local disk.
  const auto owner = directory_owner(settings.data, std::to_string(step->job_id));
  if (owner.ok()) stop_servers(step->job_id, batch_stop_ms);
  return go_on;
}

}  // namespace benchfs::spank
