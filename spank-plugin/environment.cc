#include "spank-plugin/environment.h"

#include <algorithm>

namespace benchfs::spank {
namespace {

// Time for the servers to remove their data between the end of the drain and Slurm's SIGKILL.
constexpr std::uint32_t removal_s = 5;

// Slurm's own search for its configuration, and what makes a program find its user.
constexpr std::string_view kept[] = {"PATH",     "HOME", "USER",       "LOGNAME",   "LANG",
                                     "LANGUAGE", "TZ",   "KRB5CCNAME", "SLURM_CONF"};

// Ours to decide in a job. TMPDIR and the like are not kept above: they may lie under the mount.
constexpr std::string_view decided[] = {"BENCHFS_SERVICE_STEP",
                                        "BENCHFS_REGISTRY",
                                        "BENCHFS_LOCAL",
                                        "BENCHFS_MOUNT",
                                        "BENCHFS_STORAGE_DATA_DIR",
                                        "BENCHFS_NODE_START_TIMEOUT_S",
                                        "BENCHFS_NODE_KEEP_DATA",
                                        "BENCHFS_NODE_DRAIN_TIMEOUT_S"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0: the whole
}

// The dynamic loader takes spaces and colons alike.
std::string joined_without(std::string_view preload, std::string_view library) {
  std::string others;
  while (!preload.empty()) {
    const std::size_t length = std::min(preload.find_first_of(": "), preload.size());
    const std::string_view entry = preload.substr(0, length);
    if (!entry.empty() && file_name(entry) != file_name(library))
      others.append(others.empty() ? "" : ":").append(entry);
    preload.remove_prefix(std::min(length + 1, preload.size()));
  }
  return others;
}

}  // namespace

const char* find_variable(const char* const* environment, std::string_view name) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return *environment + name.size() + 1;
  }
  return nullptr;
}

std::string add_preload(std::string_view preload, std::string_view library) {
  const std::string others = joined_without(preload, library);
  return std::string(library) + (others.empty() ? "" : ":" + others);
}

std::string remove_preload(std::string_view preload, std::string_view library) {
  return joined_without(preload, library);
}

std::vector<Change> changes_on(const char* preload, const Settings& settings,
                               const TaskView& view) {
  return {{"LD_PRELOAD", add_preload(preload == nullptr ? "" : preload, settings.preload)},
          {"BENCHFS_MOUNT", view.mount_point},
          {"BENCHFS_LOCAL", view.local},
          {"BENCHFS_REGISTRY", view.registry}};
}

std::vector<Change> changes_off(const char* preload, const Settings& settings) {
  std::vector<Change> changes{{"BENCHFS_MOUNT", std::nullopt},
                              {"BENCHFS_LOCAL", std::nullopt},
                              {"BENCHFS_REGISTRY", std::nullopt}};
  if (preload != nullptr) {
    const std::string others = remove_preload(preload, settings.preload);
    changes.push_back({"LD_PRELOAD", others.empty() ? std::nullopt : std::optional(others)});
  }
  return changes;
}

std::vector<std::string> service_environment(const char* const* environment,
                                             const Settings& settings, const Job& job,
                                             std::uint32_t drain_timeout_s) {
  std::vector<std::string> result;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    const std::string_view name = variable.substr(0, variable.find('='));
    if (name.size() == variable.size()) continue;
    if (contains(kept, name) || name.starts_with("LC_") ||
        (name.starts_with("BENCHFS_") && !contains(decided, name)))
      result.emplace_back(variable);
  }
  result.push_back(std::string(service_variable) + "=1");
  result.push_back("BENCHFS_REGISTRY=" + job_registry(settings, job));
  result.push_back("BENCHFS_STORAGE_DATA_DIR=" + job_data(settings, job.id));
  result.push_back("BENCHFS_NODE_START_TIMEOUT_S=" + std::to_string(settings.timeout_s));
  result.push_back("BENCHFS_NODE_DRAIN_TIMEOUT_S=" + std::to_string(drain_timeout_s));
  return result;
}

std::uint32_t drain_timeout_s(std::uint32_t kill_wait_s) {
  return kill_wait_s > removal_s ? kill_wait_s - removal_s : 1;
}

}  // namespace benchfs::spank
