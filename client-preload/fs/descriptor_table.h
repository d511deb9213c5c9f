// DescriptorTable: which of the process's descriptors are ours, and the open file behind each.
//
// The truth lies in the kernel: a descriptor is ours when it is an opening of the placeholder whose
// file position names a live slot of the host's table. What is kept here by number only saves
// asking: "not ours" is believed, "ours" is checked by one lseek unless that was done a few
// microseconds ago. Look-ups lock nothing and allocate nothing, for signal handlers; changes take
// the lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "client-preload/fs/lazy_array.h"
#include "client-preload/fs/lock.h"
#include "client-preload/fs/recently.h"
#include "common/host_table.h"
#include "common/result.h"

namespace benchfs {

struct Core;
class OpenFile;

class DescriptorTable {
 public:
  explicit DescriptorTable(Core& core);
  ~DescriptorTable();

  // Null: not ours.
  std::shared_ptr<OpenFile> find(int fd);
  void not_ours(int fd);
  // Before the kernel closes or replaces `fd`. True: it was ours.
  bool closing(int fd);
  void duplicated(int fd, int copy);
  std::vector<int> ours();

  // A slot for an open about to be asked for, and its end when the open failed. `unasked`: it gets
  // its entry at once, if that is possible; see HostTable::open_unasked().
  Result<std::uint32_t> take_slot(const ShownFile* unasked = nullptr);
  void give_up_slot(std::uint32_t slot);
  // The open succeeded: `fd` is positioned on the slot.
  void opened(int fd, std::uint32_t slot);

  // A use of a slot that is not a descriptor: the working directory. Null: the slot is dead.
  OpenFile* use_slot(std::uint32_t slot);
  void add_use(OpenFile& file);
  void end_use(OpenFile& file);

  // What processes of this host know of an open file.
  HostSize host_size(std::uint64_t inode);

  // At the first connection: what this process held before exec, and still has.
  void adopt_inherited();
  void forked();    // in the child, locked
  void hold_all();  // locked: this process's record takes what the table knows
  void release_all();
  void before_exec();
  void exec_failed();
  Lock& lock() { return lock_; }

 private:
  static constexpr std::size_t numbers_max = std::size_t{1} << 20;

  static OpenFile* foreign() { return reinterpret_cast<OpenFile*>(std::uintptr_t{1}); }
  bool cached(int fd) const { return static_cast<std::size_t>(fd) < cells_.size(); }

  std::shared_ptr<OpenFile> identify(int fd);
  OpenFile* file_of_slot(std::uint32_t slot);
  void give_up_locks(const OpenFile& file);
  // The functions below run locked. The bool says that the leader must be rung, unlocked.
  bool set_cell(int fd, OpenFile* file);
  bool end_use_locked(OpenFile& file);
  bool sweep();
  bool retire(OpenFile& file);
  void ring(bool needed);

  Core& core_;
  Lock lock_;
  struct Cell {
    std::atomic<OpenFile*> file;  // null: unknown
    Recently seen;                // as this file's descriptor
  };
  LazyArray<Cell> cells_;                    // by number
  LazyArray<std::atomic<OpenFile*>> slots_;  // by slot of the host's table
  std::atomic<int> highest_{-1};
  // Files are made once and used again, never freed while the library lives: a look-up may touch
  // one that was just closed.
  std::vector<OpenFile*> all_;  // each owns itself (OpenFile::self_) until the table goes
  std::vector<OpenFile*> free_;
  std::vector<OpenFile*> closing_;   // in use by another thread, or by a handler's caller
  std::vector<std::uint64_t> left_;  // positions of slots given up for an exec
};

}  // namespace benchfs
