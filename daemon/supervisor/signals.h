// What the supervisor is told from outside: signals by a descriptor, and the end of its parent.
#pragma once

#include <sys/types.h>

#include "common/fd.h"

namespace benchfs {

// What a signal asks for.
enum class Request {
  none,
  stop,       // this rank and all others
  stop_here,  // all others were told in the same way
  drain,      // serve while a client lives, then stop
  parent_ended,
};

struct SignalRules {
  bool service_step = false;  // of Slurm: SIGTERM means drain, the rest is the job's
  bool under_mpirun = false;  // Open MPI's
};

class Signals {
 public:
  // Blocks the signals in this thread and in all it will start: construct before the first one.
  explicit Signals(const SignalRules& rules);

  int fd() const { return signals_.get(); }
  // Readable when the parent has ended; -1 if there is none to watch.
  int parent_fd() const { return parent_fd_.get(); }

  // The next one that is pending; `name` is for the log.
  Request next(const char*& name);
  bool parent_ended() const;

 private:
  SignalRules rules_;
  pid_t parent_;
  Fd signals_;
  Fd parent_fd_;
};

}  // namespace benchfs
