// WriteBracket: says in the host's table that this process writes an inode, so that a truncation
// waits for it, and waits while the inode is frozen.
//
// It nests: a signal handler may write the file whose write it interrupted, and must not wait there
// for a freeze that waits for its own thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/host_table.h"

namespace benchfs {

class WriteBracket {
 public:
  // `inode` is what the entry must still be of, else the bracket is not entered.
  WriteBracket(HostTable& table, ProcessRecord& record, std::uint32_t entry, std::uint64_t inode);
  ~WriteBracket();
  WriteBracket(const WriteBracket&) = delete;
  WriteBracket& operator=(const WriteBracket&) = delete;

  bool entered() const { return state_.load(std::memory_order_relaxed) != State::out; }
  // Of the entry; stays as long as the bracket does.
  std::uint32_t generation() const { return generation_; }

  // Whether this thread is inside a bracket of the entry: then it must not wait for a thaw.
  static bool this_thread_writes(const HostTable& table, std::uint32_t entry);
  // Waits until the entry is not frozen.
  static void wait_for_thaw(SizeEntry& entry);

 private:
  enum class State : std::uint32_t { out, claimed, in, nested };
  void enter(ProcessRecord& record);
  bool step_aside_or_join();

  HostTable& table_;
  const std::uint32_t entry_;
  std::uint32_t generation_ = 0;
  std::atomic<std::uint64_t>* word_ = nullptr;
  std::atomic<State> state_{State::out};
  std::atomic<bool> cleared_{false};  // by a handler that had to wait for the thaw
  WriteBracket* below_;
};

}  // namespace benchfs
