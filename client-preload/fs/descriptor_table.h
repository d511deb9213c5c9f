// DescriptorTable: which of the process's descriptors are ours, and the open file behind each.
//
// A descriptor is ours when it is an opening of the placeholder whose file position names a live
// slot of the host's table. Opening one takes the kernel more than half of what a small file does,
// so within its process a descriptor is a copy of one common opening, and the cell here says what
// it stands for; before it leaves the process, by exec or in a message, it is settled: given an
// opening of its own. "Not ours" is believed, "ours" is checked by one lseek unless that was done
// a few microseconds ago. Look-ups lock nothing and allocate nothing, for signal handlers; changes
// take the lock.
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

  // Several changes in one section, in which no signal is taken. Servers are rung at its end.
  class Changes {
   public:
    explicit Changes(DescriptorTable& table);
    ~Changes();
    Changes(const Changes&) = delete;
    Changes& operator=(const Changes&) = delete;

    // A slot for an open about to be asked for, and its end when the open failed. 0: all are in
    // use. `unasked`: it gets its entry at once, if that is possible; see
    // HostTable::open_unasked().
    std::uint32_t take_slot(const ShownFile* unasked = nullptr);
    void give_up_slot(std::uint32_t slot);
    // The open succeeded: `fd`, a copy of the common opening, stands for the slot.
    void opened(int fd, std::uint32_t slot);

   private:
    friend class DescriptorTable;
    DescriptorTable& table_;
    bool rings_for_releases_ = false;
    bool rings_leader_ = false;
  };
  // `fd` is about to be given to another process. It keeps its number. EMFILE: it cannot.
  Status sending(int fd);

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
  Status before_exec();
  void exec_failed();
  Lock& lock() { return lock_; }

 private:
  static constexpr std::size_t numbers_max = std::size_t{1} << 20;

  static OpenFile* foreign() { return reinterpret_cast<OpenFile*>(std::uintptr_t{1}); }
  bool cached(int fd) const { return static_cast<std::size_t>(fd) < cells_.size(); }

  std::shared_ptr<OpenFile> identify(int fd);
  OpenFile* file_of_slot(std::uint32_t slot);
  void give_up_locks(const OpenFile& file);
  // The functions below run locked. The bool says that servers must be rung, unlocked.
  bool set_cell(int fd, OpenFile* file, bool settled = false);
  Status settle(int fd, std::uint64_t position);
  OpenFile* common_file(int fd);
  bool end_use_locked(OpenFile& file);
  bool sweep();
  bool retire(OpenFile& file);

  Core& core_;
  Lock lock_;
  struct Cell {
    std::atomic<OpenFile*> file;  // null: unknown
    std::atomic<bool> settled;    // an opening of its own, not the common one
    Recently seen;                // as this file's descriptor
  };
  static std::uint64_t position_of(const Cell& cell, const OpenFile& file);
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
