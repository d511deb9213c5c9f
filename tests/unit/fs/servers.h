// Servers of one test program: benchfsd_mpi in a directory of its own, ended with the object.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace benchfs {

class Servers {
 public:
  // One rank is started directly, more by mpirun. Chunks of 64 KiB, so that files have many.
  explicit Servers(int ranks);
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  bool ready() const { return ready_; }
  std::string local_dir() const { return top_ + "/data"; }
  // A directory through which only rank 0 seems to be on this host, so that the other ranks' chunks
  // are reached through it.
  std::string dir_with_one_local_rank() const;
  // The supervisor and the worker of a single rank.
  std::vector<pid_t> processes() const;
  void signal_all(int number) const;

 private:
  std::string top_;
  pid_t child_ = -1;
  bool ready_ = false;
};

}  // namespace benchfs
