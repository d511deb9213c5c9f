// WorkingDirectory: the process's, when it lies in the mount. The kernel's is the placeholder then.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/result.h"

namespace benchfs {

struct Core;
class OpenFile;

class WorkingDirectory {
 public:
  explicit WorkingDirectory(Core& core) : core_(core) {}

  // Asks the kernel the first time, for what was inherited through exec.
  bool is_ours() {
    const State state = state_.load(std::memory_order_acquire);
    return state == State::unknown ? find_out() : state == State::ours;
  }
  std::uint64_t inode() const;
  // `file` is a directory with one use more for this.
  Status change(OpenFile& file);
  void left();
  void note_in_record();  // of the process, made anew

 private:
  enum class State : std::uint8_t { unknown, elsewhere, ours };
  bool find_out();
  void replace(OpenFile* file);

  Core& core_;
  std::atomic<State> state_{State::unknown};
  std::atomic<OpenFile*> file_{nullptr};
};

}  // namespace benchfs
