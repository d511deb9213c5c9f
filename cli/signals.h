// The signals that a user or a batch system sends to `benchfs run`: read from a descriptor, so that
// servers are ended and files removed whatever comes.
#pragma once

#include <signal.h>

#include <optional>

#include "common/fd.h"

namespace benchfs::cli {

class Signals {
 public:
  // Blocks them. Those that were ignored (nohup) stay so.
  Signals();

  int fd() const { return fd_.get(); }
  const sigset_t& original_mask() const { return original_mask_; }

  struct Received {
    int number = 0;
    // By the kernel for the terminal's whole foreground group: COMMAND has had it too.
    bool from_terminal = false;
  };
  std::optional<Received> next();

 private:
  sigset_t original_mask_;
  Fd fd_;
};

}  // namespace benchfs::cli
