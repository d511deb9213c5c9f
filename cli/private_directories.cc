#include "cli/private_directories.h"

#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "cli/failure.h"
#include "common/fd.h"
#include "common/text.h"
#include "registry/host_record.h"

namespace benchfs::cli {
namespace {

// Symbolic links are removed, not followed.
void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error && error != std::errc::no_such_file_or_directory)
    std::fprintf(stderr, "benchfs: %s could not be removed: %s\n", path.c_str(),
                 error.message().c_str());
}

bool lock_is_held(const std::string& path) {
  const Fd lock(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

PrivateDirectory::PrivateDirectory(const std::string& base) : path_(base + "/benchfs-XXXXXX") {
  if (::mkdtemp(path_.data()) != nullptr) return;
  const Error error = Error::last();
  throw Failure(exit_code::no_servers, "No directory can be made in " + base + ": " +
                                           describe(error) +
                                           ": set TMPDIR to one that you may write to");
}

PrivateDirectory::~PrivateDirectory() {
  if (!path_.empty()) remove_tree(path_);
}

std::string temporary_base() {
  const char* const variable = ::getenv("TMPDIR");
  if (variable == nullptr || *variable == '\0') return "/tmp";
  std::error_code error;
  const auto absolute = std::filesystem::absolute(variable, error);
  return error ? std::string(variable) : absolute.lexically_normal().string();
}

std::string memory_base() {
  constexpr const char* shm = "/dev/shm";
  struct statfs there {};
  if (::statfs(shm, &there) == 0 && there.f_type == TMPFS_MAGIC && ::access(shm, W_OK | X_OK) == 0)
    return shm;
  return temporary_base();
}

void remove_dead_ranks(const std::string& data_dir, unsigned count) {
  for (unsigned rank = 0; rank < count; ++rank) {
    const std::string path = data_dir + "/rank_" + std::to_string(rank);
    if (::access(path.c_str(), F_OK) == 0 && !lock_is_held(path + "/lock")) remove_tree(path);
  }
  const auto record = host_record_path(data_dir.c_str());
  if (record.ok() && !lock_is_held(*record)) ::unlink(record->c_str());
}

}  // namespace benchfs::cli
