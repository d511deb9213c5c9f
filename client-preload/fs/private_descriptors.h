// The library's own descriptors, kept at numbers the application is never given.
//
// Normally these are numbers at or above the soft RLIMIT_NOFILE: the kernel hands them to nobody
// and refuses dup2 onto them. Where the soft limit is the hard one (or so high that such numbers
// would make fork copy a huge table) they lie high below it; a program that bypasses libc could
// then replace one, so users check what a number refers to before each use (`reachable`).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "client-preload/fs/lazy_array.h"
#include "client-preload/fs/lock.h"
#include "common/fd.h"
#include "common/result.h"

namespace benchfs {

class PrivateDescriptors {
 public:
  PrivateDescriptors();

  // Moves `fd` to a private number, close-on-exec. On failure it is closed: EMFILE.
  Result<int> adopt(Fd fd);
  // openat into a private number. Works when the application has used up its own numbers.
  Result<int> open(int directory, const char* name, int flags, mode_t mode);
  void close(int number);
  // The number was closed or replaced behind our back: no longer ours, not to be closed.
  void forget(int number);
  // The same file under another private number; `number` stays.
  Result<int> copy(int number);

  bool contains(int fd) const;
  std::vector<int> all() const;  // ascending

  // Whether somebody who bypasses us could have replaced a number.
  bool reachable() const { return reachable_.load(std::memory_order_relaxed); }
  // How many numbers may be spent on cached descriptors.
  std::size_t spare() const { return spare_; }

  Lock& lock() { return lock_; }  // for fork

 private:
  static constexpr std::size_t numbers_max = std::size_t{1} << 20;
  static constexpr int reach_limit = 32768;  // above it the kernel's table itself would cost
  static constexpr int reachable_base = 4096;

  Result<int> place(int fd);
  Result<int> place_above(int fd, long soft);
  Result<int> place_below(int fd, long soft);
  void mark(int number);

  Lock lock_;
  LazyArray<std::atomic<std::uint64_t>> bits_;
  std::atomic<int> lowest_;
  std::atomic<int> highest_;
  std::atomic<bool> reachable_;
  std::size_t spare_;
};

}  // namespace benchfs
