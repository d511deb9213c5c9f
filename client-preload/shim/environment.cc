#include "client-preload/shim/environment.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace benchfs::shim {

Settings settings_from_environment() {
  Settings settings;
  if (const char* mount = std::getenv("BENCHFS_MOUNT"); mount != nullptr && *mount != '\0')
    settings.mount_point = mount;
  if (const char* local = std::getenv("BENCHFS_LOCAL"); local != nullptr)
    settings.local_dir = local;
  if (const char* flag = std::getenv("BENCHFS_READ_ONLY"); flag != nullptr)
    settings.read_only = std::string_view(flag) == "1";
  return settings;
}

std::string search_path() {
  if (const char* path = std::getenv("PATH"); path != nullptr) return path;
  std::string standard(::confstr(_CS_PATH, nullptr, 0), '\0');
  if (standard.empty()) return "/bin:/usr/bin";
  ::confstr(_CS_PATH, standard.data(), standard.size());
  standard.pop_back();  // its terminator
  return standard;
}

}  // namespace benchfs::shim
