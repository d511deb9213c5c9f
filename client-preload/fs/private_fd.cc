#include "client-preload/fs/private_fd.h"

#include <sys/stat.h>

namespace benchfs {

PrivateFd::Identity PrivateFd::identity_of(int fd) {
  struct stat attributes {};
  if (sys::call(SYS_fstat, fd, sys::pointer(&attributes)) < 0) return {};
  return {.device = attributes.st_dev, .inode = attributes.st_ino};
}

Status PrivateFd::take(Fd fd) {
  close();
  seen_.forget();
  TRY(const int number, privates_.adopt(std::move(fd)));
  identity_ = identity_of(number);
  number_.store(number, std::memory_order_release);
  return Done{};
}

int PrivateFd::get() const {
  const int number = number_.load(std::memory_order_acquire);
  if (number < 0 || !privates_.reachable()) return number;
  return identity_of(number) == identity_ ? number : -1;
}

int PrivateFd::get_lately() const {
  if (seen_.lately_checked()) return number_.load(std::memory_order_acquire);
  const int number = get();
  if (number >= 0) seen_.note();
  return number;
}

void PrivateFd::close() {
  const int number = number_.exchange(-1);
  if (number < 0) return;
  if (privates_.reachable() && identity_of(number) != identity_) {
    privates_.forget(number);
  } else {
    privates_.close(number);
  }
}

void PrivateFd::leave(int fd) {
  if (number_.load() != fd) return;
  const auto copy = privates_.copy(fd);
  number_.store(copy.ok() ? *copy : -1);
  privates_.close(fd);
}

}  // namespace benchfs
