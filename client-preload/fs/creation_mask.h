// The process's file mode creation mask (umask), which the kernel cannot apply for us.
#pragma once

#include <sys/types.h>

#include <atomic>

namespace benchfs {

class CreationMask {
 public:
  // Reads the kernel's without changing it, the first time.
  mode_t get();
  void set(mode_t mask) { mask_.store(static_cast<int>(mask & 0777)); }

 private:
  std::atomic<int> mask_{-1};
};

}  // namespace benchfs
