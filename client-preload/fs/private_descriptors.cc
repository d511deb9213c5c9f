#include "client-preload/fs/private_descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>

namespace benchfs {
namespace {

constexpr std::size_t spare_max = 4096;

Error error_of(long result) { return Error(static_cast<int>(-result)); }

rlimit number_limits() {
  rlimit limits{.rlim_cur = 1024, .rlim_max = 1024};
  sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys::pointer(&limits));
  return limits;
}

}  // namespace

PrivateDescriptors::PrivateDescriptors() : bits_(numbers_max / 64), lowest_(INT_MAX), highest_(-1) {
  const rlimit limits = number_limits();
  const bool above = limits.rlim_cur < limits.rlim_max && limits.rlim_cur <= reach_limit;
  reachable_ = !above;
  const rlim_t room = above ? (limits.rlim_max - limits.rlim_cur) / 2 : limits.rlim_cur / 4;
  spare_ = static_cast<std::size_t>(std::min<rlim_t>(room, spare_max));
}

void PrivateDescriptors::mark(int number) {
  const auto n = static_cast<std::size_t>(number);
  bits_[n / 64].fetch_or(std::uint64_t{1} << (n % 64));
  if (number < lowest_.load()) lowest_.store(number);
  if (number > highest_.load()) highest_.store(number);
}

bool PrivateDescriptors::contains(int fd) const {
  if (fd < lowest_.load(std::memory_order_relaxed)) return false;
  const auto n = static_cast<std::size_t>(fd);
  return n / 64 < bits_.size() && (bits_[n / 64].load() >> (n % 64) & 1) != 0;
}

std::vector<int> PrivateDescriptors::all() const {
  std::vector<int> numbers;
  for (int n = lowest_.load(); n <= highest_.load(); ++n)
    if (contains(n)) numbers.push_back(n);
  return numbers;
}

// The soft limit is raised for one call, under the lock: two threads at once would take each
// other's raised limit for the application's.
Result<int> PrivateDescriptors::place_above(int fd, long soft) {
  rlimit before{};
  const rlimit raised{.rlim_cur = number_limits().rlim_max, .rlim_max = number_limits().rlim_max};
  if (const long error =
          sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::pointer(&raised), sys::pointer(&before));
      error < 0)
    return error_of(error);
  const int placed = sys::fcntl(fd, F_DUPFD_CLOEXEC, soft);
  sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::pointer(&before), 0);
  if (placed < 0) return error_of(placed);
  return placed;
}

Result<int> PrivateDescriptors::place_below(int fd, long soft) {
  long base = std::min<long>(reachable_base, std::max(soft / 2, soft - soft / 4 - 64));
  for (; base > 2; base /= 2) {
    const int placed = sys::fcntl(fd, F_DUPFD_CLOEXEC, base);
    if (placed >= 0) return placed;
    if (placed != -EMFILE && placed != -EINVAL) return error_of(placed);
  }
  return Error(EMFILE);
}

Result<int> PrivateDescriptors::place(int fd) {
  const rlimit limits = number_limits();
  const bool above = limits.rlim_cur < limits.rlim_max && limits.rlim_cur <= reach_limit;
  const long soft = static_cast<long>(std::min<rlim_t>(limits.rlim_cur, numbers_max));
  Result<int> placed = above ? place_above(fd, soft) : Error(EMFILE);
  if (!placed.ok()) {  // there is no room above, or it is used up
    reachable_.store(true);
    placed = place_below(fd, soft);
  }
  if (placed.ok() && static_cast<std::size_t>(*placed) >= numbers_max) {
    sys::close(*placed);
    return Error(EMFILE);
  }
  if (placed.ok()) mark(*placed);
  return placed;
}

Result<int> PrivateDescriptors::adopt(Fd fd) {
  const Guard guard(lock_);
  return place(fd.get());
}

Result<int> PrivateDescriptors::copy(int number) {
  const Guard guard(lock_);
  return place(number);
}

Result<int> PrivateDescriptors::open(int directory, const char* name, int flags, mode_t mode) {
  int opened = sys::openat(directory, name, flags | O_CLOEXEC, mode);
  if (opened == -EMFILE) {
    // With the limit raised the lowest free number is a private one already.
    const Guard guard(lock_);
    const rlimit limits = number_limits();
    if (limits.rlim_cur == limits.rlim_max) return Error(EMFILE);
    const rlimit raised{.rlim_cur = limits.rlim_max, .rlim_max = limits.rlim_max};
    sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::pointer(&raised), 0);
    opened = sys::openat(directory, name, flags | O_CLOEXEC, mode);
    sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, sys::pointer(&limits), 0);
    if (opened < 0) return error_of(opened);
    if (static_cast<rlim_t>(opened) >= limits.rlim_cur &&
        static_cast<std::size_t>(opened) < numbers_max) {
      mark(opened);
      return opened;
    }
  }
  if (opened < 0) return error_of(opened);
  return adopt(Fd(opened));
}

void PrivateDescriptors::forget(int number) {
  const auto n = static_cast<std::size_t>(number);
  if (number >= 0 && n / 64 < bits_.size())
    bits_[n / 64].fetch_and(~(std::uint64_t{1} << (n % 64)));
}

void PrivateDescriptors::close(int number) {
  if (number < 0 || !contains(number)) return;
  forget(number);
  sys::close(number);
}

}  // namespace benchfs
