// What our opendir returns: pages of entries of one open directory.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "client-preload/fs/file.h"
#include "common/result.h"

namespace benchfs::shim {

// libc's DIR starts with its descriptor; no descriptor is negative, so the first word tells ours
// from libc's without a look-up.
class Directory {
 public:
  Directory(int fd, std::shared_ptr<File> file) : fd_(fd), file_(std::move(file)) {}

  static Directory* of(DIR* stream) {
    auto* const directory = reinterpret_cast<Directory*>(stream);
    return directory->tag_ == tag_value ? directory : nullptr;
  }
  DIR* stream() { return reinterpret_cast<DIR*>(this); }

  int fd() const { return fd_; }
  // The entry after the last one given, in memory of this object; null at the end.
  Result<dirent*> next();
  long tell();
  void seek(long cookie);

  std::mutex& lock() { return lock_; }

 private:
  static constexpr std::int64_t tag_value = -0x42656e6368465344;

  const std::int64_t tag_ = tag_value;
  int fd_;
  std::shared_ptr<File> file_;
  std::mutex lock_;
  std::vector<DirectoryEntry> page_;
  std::size_t used_ = 0;      // of page_
  std::uint64_t cookie_ = 0;  // of the last entry given
  dirent entry_{};
};

// As the kernel lays it out.
dirent to_dirent(const DirectoryEntry& entry);

}  // namespace benchfs::shim
