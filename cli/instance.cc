#include "cli/instance.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "cli/failure.h"
#include "common/fd.h"
#include "common/process.h"
#include "common/text.h"
#include "registry/host_id.h"

namespace benchfs::cli {
namespace {

constexpr std::size_t line_bytes_max = 4096;

// None: not there. ESTALE is a file renamed over by another host at this instant.
Result<std::optional<std::vector<std::byte>>> read_file(int dir, const std::string& name,
                                                        std::size_t bytes_max) {
  const Fd in(::openat(dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in) {
    if (errno == ENOENT || errno == ESTALE) return std::optional<std::vector<std::byte>>();
    return Error::last();
  }
  std::vector<std::byte> bytes;
  for (;;) {
    std::array<std::byte, 4096> part;
    const ssize_t n = sys::read(in.get(), part.data(), part.size());
    if (n == -EINTR) continue;
    if (n < 0) return Error(static_cast<int>(-n));
    if (n == 0) return std::optional(std::move(bytes));
    bytes.insert(bytes.end(), part.data(), part.data() + n);
    if (bytes.size() > bytes_max) return Error(EFBIG);
  }
}

Fd open_registry(const std::string& registry, int code) {
  Fd dir(::open(registry.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir) return dir;
  const Error error = Error::last();
  if (error == Error(ENOENT))
    throw Failure(code, "Registry directory does not exist: " + registry +
                            ": create it and start servers there (mpirun -n N benchfsd_mpi " +
                            registry + ")");
  std::string cure = "check the path";
  if (error == Error(EACCES)) cure = "only the user who started the servers can use them";
  throw Failure(code, "Registry directory cannot be read: " + registry + ": " + describe(error) +
                          ": " + cure);
}

std::vector<std::uint32_t> ranks_in(int dir) {
  std::vector<std::uint32_t> ranks;
  DIR* const stream = ::fdopendir(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (const dirent* const entry = stream != nullptr ? ::readdir(stream) : nullptr) {
    std::string_view name = entry->d_name;
    if (!name.starts_with("node_") || !name.ends_with(".addr")) continue;
    name.remove_prefix(5);
    name.remove_suffix(5);
    if (const auto rank = parse_number<std::uint32_t>(name)) ranks.push_back(*rank);
  }
  if (stream != nullptr) ::closedir(stream);
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

}  // namespace

bool Instance::lives(const NodeRecord& record) const {
  return is_here(record) && is_alive(record.supervisor);
}

const NodeRecord* Instance::any() const {
  for (const auto& record : ranks)
    if (record) return &*record;
  return nullptr;
}

const NodeRecord* Instance::living_here() const {
  for (const auto& record : ranks)
    if (record && lives(*record)) return &*record;
  return nullptr;
}

std::string Instance::hosts() const {
  std::vector<std::string> names;
  std::string text;
  for (const auto& record : ranks) {
    if (!record || std::find(names.begin(), names.end(), record->host_name) != names.end())
      continue;
    names.push_back(record->host_name);
    text += (text.empty() ? "" : ", ") + record->host_name;
  }
  return text;
}

Instance read_instance(const std::string& registry, int code) {
  const Fd dir = open_registry(registry, code);
  const auto must = [&](auto result, const std::string& name) {
    if (result.ok()) return *std::move(result);
    throw Failure(code, "Registry file cannot be read: " + registry + "/" + name + ": " +
                            describe(result.error()) + ": end the servers and start them again");
  };
  Instance instance;
  char resolved[PATH_MAX];
  instance.registry =
      ::realpath(registry.c_str(), resolved) != nullptr ? std::string(resolved) : registry;
  const auto here = host_id();
  if (!here.ok()) throw Failure(code, "/proc cannot be read: " + describe(here.error()));
  instance.host_id = *here;
  struct stat there {};
  instance.ready = ::fstatat(dir.get(), "ready", &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (const auto failed = must(read_file(dir.get(), "failed", line_bytes_max), "failed")) {
    const std::string_view text(reinterpret_cast<const char*>(failed->data()), failed->size());
    instance.failure = one_line(text.substr(0, text.find('\n')));
  }

  // Rank 0's record says which start is meant; others' may be of an older one.
  std::optional<std::uint64_t> launch;
  for (const std::uint32_t rank : ranks_in(dir.get())) {
    const std::string name = node_record_name(rank);
    const auto bytes = must(read_file(dir.get(), name, node_record_bytes_max), name);
    if (!bytes) continue;
    std::string why;
    auto record = decode_node_record(*bytes, why);
    if (!record.ok())
      throw Failure(code, "Registry file is damaged: " + registry + "/" + name + ": " + why +
                              ": end the servers and start them again");
    if (record->rank != rank || record->size == 0) continue;
    if (!launch) launch = record->launch_id;
    if (record->launch_id != *launch) continue;
    if (instance.ranks.empty()) instance.ranks.resize(record->size);
    if (rank < instance.ranks.size()) instance.ranks[rank] = *std::move(record);
  }
  return instance;
}

const NodeRecord& reachable_here(const Instance& instance, int code) {
  if (const NodeRecord* const record = instance.living_here()) return *record;
  const NodeRecord* known = nullptr;
  for (const auto& record : instance.ranks)
    if (record && instance.is_here(*record) && known == nullptr) known = &*record;
  // A start that failed leaves the record of the rank that told why.
  const bool served = known != nullptr && known->state != NodeState::failed;
  if (!served && !instance.failure.empty())
    throw Failure(code,
                  "The servers of " + instance.registry + " did not start: " + instance.failure);
  if (served)
    throw Failure(code, "The servers of " + instance.registry + " on this host have died (rank " +
                            std::to_string(known->rank) + ", pid " +
                            std::to_string(pid_of(known->supervisor)) +
                            " is gone): start them again");
  if (instance.empty())
    throw Failure(code, "No servers in " + instance.registry +
                            ": start them first (mpirun -n N benchfsd_mpi " + instance.registry +
                            ")");
  throw Failure(code, "No server of " + instance.registry +
                          " runs on this host: use one of its hosts (" + instance.hosts() + ")");
}

}  // namespace benchfs::cli
