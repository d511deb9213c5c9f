// Prolog and epilog of a job, as root in a process of slurmd's. Nothing here trusts a file or a
// variable that a user could have made: ids come from Slurm, directories of root are checked, and
// what a user may have filled is emptied as that user.
#include <dirent.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "spank-plugin/contexts.h"
#include "spank-plugin/directories.h"
#include "spank-plugin/places.h"
#include "spank-plugin/slurm_api.h"

namespace benchfs::spank {
namespace {

constexpr std::uint32_t remove_timeout_s = 60;
constexpr int remove_attempts = 3;

struct Owner {
  std::uint32_t job_id = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

std::optional<Owner> owner_of_job(spank_t spank) {
  Owner owner;
  if (spank_get_item(spank, S_JOB_ID, &owner.job_id) != ESPANK_SUCCESS ||
      spank_get_item(spank, S_JOB_UID, &owner.uid) != ESPANK_SUCCESS)
    return std::nullopt;
  // Set by slurmd itself: a user's variables have the prefix SPANK_ here.
  const char* const text = ::getenv("SLURM_JOB_GID");
  if (const auto gid = parse_number(text == nullptr ? "" : text, UINT32_MAX)) {
    owner.gid = static_cast<gid_t>(*gid);
    return owner;
  }
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(owner.uid, &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr)
    return std::nullopt;
  owner.gid = found->pw_gid;
  return owner;
}

// As the user.
bool remove_registries(const Settings& settings, const Owner& owner) {
  const std::string of_user = user_registry(settings, owner.uid);
  bool removed = true;
  {
    const auto close = [](DIR* directory) { ::closedir(directory); };
    const std::unique_ptr<DIR, decltype(close)> directory(::opendir(of_user.c_str()), close);
    while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
      if (!is_registry_of(entry->d_name, owner.job_id)) continue;
      const std::string path = of_user + "/" + entry->d_name;
      int attempts = 0;
      // Servers on other nodes may still be writing their last words.
      while (::rmdir(path.c_str()) != 0 && errno != ENOENT && attempts++ < remove_attempts)
        (void)clear_directory(path).ok();
      removed = removed && attempts <= remove_attempts;
    }
  }
  ::rmdir(of_user.c_str());  // stays while the user has other jobs
  return removed;
}

void report(const Owner& owner, const std::string& what, Error error) {
  slurm_error("benchfs: job %u: could not remove %s: %s", owner.job_id, what.c_str(),
              std::strerror(error.code()));
}

}  // namespace

int before_job(spank_t spank, const Settings& settings, bool enabled) {
  if (!enabled) return go_on;
  const auto owner = owner_of_job(spank);
  if (!owner) {
    slurm_error("benchfs: prolog: Slurm does not tell the job's owner");
    return go_on;
  }
  const std::string problem =
      make_job_directory(settings.data, std::to_string(owner->job_id), owner->uid, owner->gid);
  if (!problem.empty()) slurm_error("benchfs: job %u: %s", owner->job_id, problem.c_str());
  return go_on;
}

int after_job(spank_t spank, const Settings& settings, bool enabled) {
  const auto owner = owner_of_job(spank);
  if (!owner) return go_on;
  const std::string name = std::to_string(owner->job_id);
  const auto directory_uid = directory_owner(settings.data, name);
  const bool ours = directory_uid.ok() && *directory_uid == owner->uid;
  if (!ours && !enabled) return go_on;  // a job without BenchFS

  const std::string directory = job_data(settings, owner->job_id);
  if (ours) {
    const auto cleared = run_as_user(owner->uid, owner->gid, remove_timeout_s,
                                     [&] { return clear_directory(directory).ok(); });
    if (!cleared.ok()) report(*owner, "the contents of " + directory, cleared.error());
    // Only when empty, and its parent is root's alone.
    if (::rmdir(directory.c_str()) != 0) report(*owner, directory, Error::last());
  }
  // On one node: the registry is shared.
  const char* const nodes = ::getenv("SLURM_JOB_NODELIST");
  const std::string first = first_host(nodes != nullptr ? nodes : ::getenv("SLURM_NODELIST"));
  const char* const self = ::getenv("SLURMD_NODENAME");
  if (settings.registry.empty() || first.empty() || self == nullptr || first != self) return go_on;
  const auto removed = run_as_user(owner->uid, owner->gid, remove_timeout_s,
                                   [&] { return remove_registries(settings, *owner); });
  if (!removed.ok())
    report(*owner, "its registry in " + user_registry(settings, owner->uid), removed.error());
  return go_on;
}

}  // namespace benchfs::spank
