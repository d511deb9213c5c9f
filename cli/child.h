// Child: a process started by this one, known by a descriptor. Used from one thread.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/environment.h"
#include "common/fd.h"
#include "common/result.h"

namespace benchfs::cli {

struct ChildPlan {
  std::string file;
  std::vector<std::string> arguments;  // the name it is called by first
  EnvironmentBlock environment;
  sigset_t signal_mask;

  // For a process that is ours and not the user's: own session (the terminal's Ctrl-C is not for
  // it), nothing to read, output into `output`, ends by SIGTERM if we die.
  bool detached = false;
  int output = -1;
  std::string working_directory;
};

class Child {
 public:
  // The error is that of execve (of a file without #! too: then a shell runs it, as execvp does).
  static Result<Child> start(ChildPlan plan);

  int pidfd() const { return pidfd_.get(); }  // readable: it has ended
  pid_t pid() const { return pid_; }
  void send(int signal) const;
  // Waits until `deadline_ns` (CLOCK_MONOTONIC); none: it has not ended. As waitpid gives it.
  std::optional<int> wait(std::int64_t deadline_ns);
  bool ended() { return wait(0).has_value(); }

 private:
  Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  pid_t pid_;
  Fd pidfd_;
  std::optional<int> status_;
};

// Readable within the time? CLOCK_MONOTONIC; a negative descriptor is none.
bool wait_readable(int fd, std::int64_t deadline_ns);
// For poll(2).
int milliseconds_until(std::int64_t deadline_ns);

// What a shell would answer in $?.
int shell_code(int wait_status);
// "exit code 3", "signal 9 (Killed)".
std::string describe_end(int wait_status);

}  // namespace benchfs::cli
