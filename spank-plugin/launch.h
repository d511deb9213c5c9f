// A program started so that it outlives its starter and is nobody's child: the batch script would
// otherwise wait for the servers (`wait` in Perl, os.wait() in Python), or be told of their end.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/fd.h"
#include "common/result.h"

namespace benchfs::spank {

// While a Launch exists a small process stands between us and the program. It ends the program when
// we die, and leaves it alone when we let go.
class Launch {
 public:
  // `output` becomes the program's standard output and error. In the child only system calls are
  // made: we may be one thread of many, with other threads' locks held for ever in the copy.
  static Result<Launch> start(const std::vector<std::string>& command,
                              const std::vector<std::string>& environment, int output);

  Launch(Launch&&) = default;
  Launch& operator=(Launch&&) = delete;
  ~Launch();  // ends the program unless let_go() was called

  // Waits at most `milliseconds` for the program's end. True when it has ended.
  bool wait(int milliseconds);
  int exit_code() const { return exit_code_; }  // after wait() returned true; 128 + signal

  void let_go();

 private:
  Launch(pid_t minder, Fd minder_ended, Fd order)
      : minder_(minder), minder_ended_(std::move(minder_ended)), order_(std::move(order)) {}
  void reap();

  pid_t minder_;
  Fd minder_ended_;
  Fd order_;
  int exit_code_ = -1;
};

}  // namespace benchfs::spank
