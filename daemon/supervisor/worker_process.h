// The worker as a child process: this same program, run as `--worker <fd>`.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/fd.h"

namespace benchfs {

class WorkerProcess {
 public:
  // Call from the thread that lives as long as the process: the kernel ends the child with it.
  // `control` is the worker's end. Throws StartFailure.
  explicit WorkerProcess(Fd control);
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  ~WorkerProcess() { kill(); }

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable: it has ended

  // True once it has ended; then `how()` says in which way.
  bool reap();
  bool ended() const { return ended_; }
  bool ended_well() const { return ended_ && status_ == 0; }
  std::string how() const;  // "signal 11 (Segmentation fault)", "exit code 3"

  // SIGKILL, and waits for its end.
  void kill() noexcept;

 private:
  pid_t pid_ = -1;
  Fd pidfd_;
  bool ended_ = false;
  int status_ = 0;  // as waitpid gives it
};

}  // namespace benchfs
