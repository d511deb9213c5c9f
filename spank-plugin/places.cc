#include "spank-plugin/places.h"

namespace benchfs::spank {

std::string user_registry(const Settings& settings, uid_t uid) {
  return settings.registry + "/" + std::to_string(uid);
}

std::string job_registry(const Settings& settings, const Job& job) {
  return user_registry(settings, job.uid) + "/" + std::to_string(job.id) + "." +
         std::to_string(job.restarts);
}

bool is_registry_of(std::string_view name, std::uint32_t job_id) {
  const std::string prefix = std::to_string(job_id) + ".";
  return name.starts_with(prefix) && parse_number(name.substr(prefix.size()), UINT32_MAX);
}

std::string job_data(const Settings& settings, std::uint32_t job_id) {
  return settings.data + "/" + std::to_string(job_id);
}

}  // namespace benchfs::spank
