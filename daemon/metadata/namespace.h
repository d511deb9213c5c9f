// Namespace: the inodes and directories at home on one rank, and the walk along a path as far as
// this rank holds it. Plain memory: nothing here waits, sends or stores.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/host_table.h"
#include "common/host_view.h"
#include "common/placement.h"
#include "common/result.h"
#include "common/wire.h"
#include "daemon/journal/inode_record.h"
#include "daemon/journal/journal.h"
#include "daemon/metadata/inode.h"
#include "daemon/metadata/inode_table.h"
#include "daemon/metadata/leases.h"
#include "daemon/metadata/name_locks.h"
#include "daemon/metadata/removed_directories.h"

namespace benchfs {

// The walk's end: `inode` when it is at home here and exists; `directory` and `name` unless the
// path named the start itself or ended in "." or "..".
struct Walked {
  const Inode* directory = nullptr;
  std::string_view name;
  bool found = false;  // the name exists, as `entry`
  Entry entry{};
  const Inode* inode = nullptr;  // null: missing, or at home elsewhere
  bool wants_directory = false;  // trailing slash
  bool ended_in_dots = false;
};
struct WalkedAway {  // to be answered as a Redirect
  wire::Redirect redirect;
  std::string target;  // of a symlink
};
struct WalkedOntoLock {  // somebody is changing this: wait for the lock, walk again with it
  std::uint64_t directory;
  std::string name;  // empty: what is locked is the inode itself
};
struct WalkedOntoForeignLink {  // a symlink whose inode is at home elsewhere: ask for its target
  std::uint64_t directory;
  std::uint64_t inode;
  std::uint32_t consumed;
};
using Walk = std::variant<Walked, WalkedAway, WalkedOntoLock, WalkedOntoForeignLink, Error>;

// What a walk passed, to be leased to who asked: a name in a directory, there or not, or, with an
// empty name, the inode itself. The name lies in the path walked.
struct Passed {
  std::uint64_t inode;
  std::string_view name;
};

class Namespace {
 public:
  Namespace(std::uint32_t rank, std::uint32_t ranks, std::uint64_t inodes_max);

  // What clients of the host may read without asking is kept there from now on; its leader is
  // `host`.
  void show_in(HostView& view, std::uint32_t host);
  // Small contents are kept in cells of the host's table. Where none are kept, or inline_bytes is
  // 0, new files go to chunks at once.
  void keep_contents_in(HostTable& table, ProcessId self);
  // After what a namespace before this one knew was restored: its files' cells are theirs, the rest
  // of those it had is given back.
  void claim_contents();
  // A cell that is no file's any more, by a change that is not committed yet.
  void give_cell(Stored cell);
  // The bytes of a small file, as far as they are at home.
  std::span<const std::byte> content(const Inode& inode) const {
    if (table_ == nullptr || inode.type() != S_IFREG) return {};
    return table_->contents.content(inode.stored, inode.size);
  }
  // To be called before an answer leaves: shows what change() and touch() took back.
  void show_changes();

  // All changes from now on go to `journal`; a new namespace writes what it begins with.
  void log_to(Journal& journal);
  // To be called before the journal's commit: appends the inodes that were changed. What has no
  // room waits for the next time; only changes that nobody was promised do.
  void log_changes();
  void committed();

  // Directories that were removed a while ago are found, too: is_removed().
  const Inode* find(std::uint64_t number) const;
  // To be changed before the next suspension; clients ask until show_changes(). Null: no such
  // inode.
  Inode* change(std::uint64_t number);
  Inode& change(const Inode& inode) { return *change(inode.number); }
  // The same for its access time alone, which reads change once: it is leased again at once.
  Inode* change_access(std::uint64_t number);
  // The same if a client of that host, which knows the new time, has read it.
  Inode* change_access_of(std::uint64_t number, std::uint32_t host);
  // The same for which hosts have it open, and nothing else: leases on it stay.
  Inode* change_opens(std::uint64_t number);
  // A host that is being taken off its list.
  void closed(std::uint64_t number, std::uint32_t host);
  // The same for what is not logged: how often it is open, who may trust its own size.
  Inode* touch(std::uint64_t number);
  // A listing, or a link's target read: takes the access down as relatime does, if the last one is
  // not after the last change, or a day old.
  void note_access(const Inode& inode);
  // ENOSPC above metadata.max_inodes. Of a new number, one link, all times now.
  Result<Inode*> make(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid);
  Result<Inode*> make_directory(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                                std::uint64_t parent, std::string_view name);
  // Its chunks, if it has any, are to be removed; cut_done() is told when they are.
  void erase(std::uint64_t number);
  // One without entries, or a part of it. Who has it open still finds it: see is_removed().
  void remove_directory(std::uint64_t number, std::int64_t time);
  void cut_done(std::uint64_t number);
  // Erased inodes whose chunks may still be there, and what size they had.
  const absl::flat_hash_map<std::uint64_t, std::uint64_t>& uncut() const { return uncut_; }
  std::size_t size() const { return inodes_.size(); }
  // Calls look(const Inode&) for each inode at home here.
  template <class Look>
  void for_each(Look look) const {
    inodes_.for_each(look);
  }
  // Counters of inodes at home here are below this.
  std::uint64_t counter_end() const { return next_counter_; }
  // Counts what was made, changed and erased: equal numbers, equal state.
  std::uint64_t changes() const { return changes_; }
  // Those in one of InodeTable::shards now: visiting all shards visits all that stay throughout.
  std::vector<std::uint64_t> numbers(std::size_t shard) const { return inodes_.numbers(shard); }

  const Entry* entry(const Inode& directory, std::string_view name) const;
  void insert(const Inode& directory, std::string_view name, Entry entry);
  void replace(const Inode& directory, std::string_view name, Entry entry);
  void remove(const Inode& directory, std::string_view name);
  // The same at a time that several servers agreed on; inode 0 removes the entry.
  void set(const Inode& directory, std::string_view name, Entry entry, std::int64_t time);
  // Splitting. A number for an inode that make_part() may make later.
  std::uint64_t reserve_number() { return make_inode(rank_, next_counter_++); }
  // With owner and mode of `like`.
  Result<Inode*> make_part(std::uint64_t number, const Inode& like, Partition partition);
  // Changes no time: the entry was there.
  void take_in(const Inode& part, std::string_view name, Entry entry);
  // What is at part.low and beyond is in `part` now.
  void split_off(const Inode& directory, const Partition::Later& part);
  // A part was split off from another one.
  void add_part(const Inode& directory, const Partition::Later& part);
  // Directories that can be split and have more entries than this come out of overfull(), each time
  // they grow. 0: none.
  void split_above(std::size_t entries) { split_entries_ = entries == 0 ? SIZE_MAX : entries; }
  std::vector<std::uint64_t> overfull() { return std::exchange(overfull_, {}); }
  bool has_overfull() const { return !overfull_.empty(); }
  // A look-up found no such name. The walk does not show it, as it may be made at once.
  void show_missing(const Inode& directory, std::string_view name);
  // Clients ask for the name until it is set or looked up: before several names change as one.
  void hide(std::uint64_t directory, std::string_view name);

  // `uid` of the caller, for search permission. `to_name`: stop before the last component, whatever
  // it is (symlinks are not followed, remote inodes do not redirect). `turn`: the lock of that name
  // is the caller's, if not null. What it passes goes into `passed`.
  Walk walk(const wire::Where& where, std::string_view path, std::uint32_t uid, bool to_name,
            const WalkedOntoLock* turn = nullptr, std::vector<Passed>* passed = nullptr);

  Leases& leases() { return leases_; }
  // Leases to `host` what it may have of `passed`, and puts the records (wire::Lease) into `out`,
  // `bytes_max` at most.
  void lease(std::uint32_t host, const std::vector<Passed>& passed, std::size_t bytes_max,
             std::vector<std::byte>& out);

  // At the start: takes a record of inodes, entries or chunks, in the order of the journal. False:
  // it is none, or cannot be of this rank.
  bool restore(RecordType type, std::span<const std::byte> body);
  void restore_counter(std::uint64_t next) {
    logged_counter_ = next_counter_ = std::max(next_counter_, next);
  }

  const NameLocks& locks() const { return locks_; }
  // Clients ask for what is locked, and what other hosts held of it has been dropped. 0 or a
  // negative errno; see NameLocks.
  Task<int> lock(EventLoop& loop, LockKey wanted);
  // Whoever waits or will wait for it gets `result`, until it is unlocked.
  void fail_lock(const LockKey& key, int result) { locks_.fail(key.inode, key.name, result); }
  void unlock(std::uint64_t directory, std::string_view name) { locks_.unlock(directory, name); }

 private:
  Inode* known(std::uint64_t number) const {
    Inode* const inode = inodes_.find(number);
    return inode != nullptr ? inode : removed_.find(number);
  }
  std::unique_ptr<Inode> take(std::uint64_t number);
  void show(const Inode& inode);
  static void stamp(Inode& directory, std::int64_t time);
  static void keep_below(Directory& directory, std::uint64_t cookie);
  bool is_overfull(const Directory& directory) const;
  Partition& begin_partition(const Inode& inode);
  void show(std::uint64_t directory, std::string_view name, Entry entry);
  // What the name holds from now on; inode 0: nothing.
  static void put(Inode& directory, std::string_view name, Entry entry);
  bool restore_inode(std::span<const std::byte> record);
  bool restore_erasure(const ErasedRecord& record);
  bool restore_closing(const ClosedRecord& record);
  bool restore_entry(std::span<const std::byte> body);
  void log_inode(const Inode& inode);
  void log_entry(const Inode& directory, std::string_view name, Entry entry);
  bool changing(std::uint64_t directory, std::string_view name);

  std::uint32_t rank_;
  std::uint32_t ranks_;
  std::uint64_t inodes_max_;
  std::uint64_t next_counter_ = 1;
  std::uint64_t changes_ = 0;
  std::uint32_t erased_ = 0;  // since freed memory was given back
  InodeTable inodes_;
  NameLocks locks_;
  Leases leases_;
  HostTable* table_ = nullptr;
  ProcessId self_ = 0;
  HostView* view_ = nullptr;
  std::uint32_t host_ = 0;
  std::vector<std::uint64_t> hidden_;  // to be shown again
  Journal* journal_ = nullptr;
  std::vector<std::uint64_t> changed_;  // to be logged
  std::vector<Stored> left_cells_;      // to be given back when that is known to the journal
  std::uint64_t logged_counter_ = 1;    // inodes from this one on were never logged
  absl::flat_hash_map<std::uint64_t, std::uint64_t> uncut_;
  RemovedDirectories removed_;
  std::size_t split_entries_ = SIZE_MAX;
  std::vector<std::uint64_t> overfull_;
};

// What a write, a truncation and a change of owner take away: the set-user-ID bit, and the
// set-group-ID bit of what the group may execute. Directories keep theirs.
std::uint32_t privileges(const Inode& inode);

// Owner's bits, as every inode of an instance belongs to one user. `want`: R_OK, W_OK, X_OK.
bool permits(const Inode& inode, std::uint32_t uid, int want);

}  // namespace benchfs
