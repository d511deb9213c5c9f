// The directories that `benchfs run` makes for itself, and removes with all that is in them.
#pragma once

#include <string>
#include <utility>

namespace benchfs::cli {

class PrivateDirectory {
 public:
  // <base>/benchfs-XXXXXX, 0700. Throws Failure.
  explicit PrivateDirectory(const std::string& base);
  PrivateDirectory(PrivateDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateDirectory& operator=(PrivateDirectory&&) = delete;
  ~PrivateDirectory();

  const std::string& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

// $TMPDIR, or /tmp.
std::string temporary_base();
// /dev/shm if that is memory that we may write to; otherwise temporary_base().
std::string memory_base();

// Removes what servers that were killed left of rank_0 … rank_<count - 1> and the host record in a
// directory that the user named. What a live instance has locked stays.
void remove_dead_ranks(const std::string& data_dir, unsigned count);

}  // namespace benchfs::cli
