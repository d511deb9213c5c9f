// The tables that all processes of a host share: open files, sizes of open inodes, which process
// refers to which open file, and who holds which locks.
//
// One memfd, made by the host's leader and mapped by every server and client of the host. Indices
// instead of pointers; every lock word names its owner and is taken from the dead. doc/storage.md
// describes the layout and who may write what.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/content_cells.h"
#include "common/held_locks.h"
#include "common/process.h"
#include "common/result.h"
#include "common/robust_lock.h"
#include "common/sys.h"

namespace benchfs {

inline constexpr std::uint32_t open_slots = 65536;      // open files of a host, slot 0 unused
inline constexpr std::uint32_t size_entries = 65536;    // open inodes of a host, entry 0 unused
inline constexpr std::uint32_t process_records = 4096;  // processes with open files
inline constexpr std::uint32_t write_words = 32;        // writes at once of one process
inline constexpr std::uint32_t size_buckets = 65536;

// An open file description: what dup, fork and exec share. Its number, with check bits, is the
// kernel file position of a placeholder descriptor that leaves its process.
struct alignas(64) OpenSlot {
  std::atomic<std::uint32_t> refs;  // processes that hold it
  std::uint32_t check;              // changes each time the slot is given out
  std::atomic<std::uint64_t> offset;
  RobustLock offset_lock;            // read(2) and write(2) move the offset one at a time
  std::atomic<std::uint64_t> inode;  // 0 until the open was answered
  std::atomic<std::uint32_t> flags;  // O_*
  std::atomic<std::uint32_t> entry;  // of the size table; 0: a directory
  std::uint32_t next_free;
  std::uint32_t type;  // S_IFMT bits
};
static_assert(sizeof(OpenSlot) == 64);

// One per inode open on this host.
struct alignas(128) SizeEntry {
  std::uint64_t inode;
  std::uint64_t session;                  // what the home calls the size's history (table lock)
  std::atomic<std::uint32_t> generation;  // cached chunk descriptors of an older one are void
  std::atomic<std::uint32_t> frozen;      // futex; 1: writers wait
  std::atomic<std::uint64_t> floor;       // size known to be reached; lowered only when frozen
  std::atomic<std::uint64_t> end;         // size this host's writers reached
  std::atomic<std::int64_t> modified;     // ns, last write since the last release; 0: none
  std::atomic<std::uint32_t> exact;       // 1: no other host has it open, `end` is the size
  std::uint32_t opens;                    // slots that refer to it (table lock)
  std::uint32_t granted;                  // opens of this tenure, idle ones too; 0: its home, on
                                          // this host, was not asked (table lock)
  std::uint32_t next;                     // in its bucket, or of the free list (table lock)
  std::uint32_t next_release;             // of the release list
  std::atomic<std::uint32_t> releasing;   // 1: on the release list
  RobustLock append_lock;                 // O_APPEND while exact
  std::uint64_t tenure;                   // from the first grant to the release (table lock)
  std::atomic<std::int64_t> accessed;     // ns; a read that is not after `modified` counts anew
  std::atomic<std::uint32_t> sparse;      // 1: a write may have left a hole
  std::atomic<std::uint32_t> privileged;  // 1: set-user-ID or set-group-ID, which a write clears
  std::atomic<Stored> stored;             // where the bytes are; set once, by who writes first
  std::uint32_t place;                    // EntryPlace (table lock)
  std::int64_t access_told;               // `accessed` that its home knows (table lock)
};
static_assert(sizeof(SizeEntry) == 128);
enum EntryPlace : std::uint32_t {
  foreign = 1,     // at home on another host, so a cell is the entry's
  written = 2,     // opened for writing in this session
  given_back = 4,  // its release is under way
  kept = 8,        // foreign, only read, and not released while its home leases it to this host
  has_locks = 16,  // when it was put on a release list: the leader gives them back first
};

struct alignas(64) ProcessRecord {
  std::atomic<ProcessId> process;           // 0: free; start time 0: just forked
  std::atomic<std::uint32_t> working_slot;  // open directory slot that is the cwd; 0: not ours
  std::atomic<std::uint32_t> held;          // bits set below
  std::uint64_t reserved[6];
  std::array<std::atomic<std::uint64_t>, write_words> writing;  // entry | generation << 32
  std::array<std::atomic<std::uint64_t>, open_slots / 64> slots;
};

struct HostSize {
  std::uint64_t session;
  std::uint64_t size;
  std::int64_t modified;
  bool exact;  // nobody else has it open
  std::int64_t accessed;
  bool sparse;
  Stored stored;
};

// What a home says of an inode that it lets this host open.
struct Granted {
  std::uint64_t inode;
  std::uint64_t session;
  std::uint64_t tenure = 0;
  std::uint64_t size = 0;
  bool exact = false;
  std::int64_t accessed = 0;  // kept_access()
  bool privileged = false;
  bool writes = false;   // the open may write
  bool foreign = false;  // the home is on another host
  Stored stored = in_chunks;
  std::span<const std::byte> content = {};  // of a foreign inode that is in a cell of its home
};

// What a home shows of a file.
struct ShownFile {
  std::uint64_t inode;
  std::uint64_t size;
  std::int64_t accessed;  // kept_access()
  Stored stored;
  bool foreign;  // the home is on another host
};

// Opens that a home was not asked for.
struct Unasked {
  std::uint32_t opens;
  std::int64_t accessed;  // 0: nobody has read it
};

// To be told to the home: opens that are over or, if it was never asked for them or they go on
// (tenure 0), the last access.
struct Released {
  std::uint32_t opens;
  std::uint64_t inode;  // 0: nothing is to be told
  std::uint64_t tenure;
  HostSize reached;
  bool kept;  // from now on
};

// An entry at one moment.
struct HeldInode {
  std::uint64_t inode;
  std::uint64_t tenure;
  std::uint32_t granted;
  bool frozen;
  HostSize reached;
};

struct HostTable {
  std::uint64_t magic;
  RobustLock table_lock;                      // buckets, free lists, opens, granted
  RobustLock process_lock;                    // giving out process records
  std::atomic<std::uint32_t> process_events;  // the leader looks for new records
  std::atomic<std::uint32_t> process_high;    // records ever used
  std::atomic<std::uint32_t> release_help;    // 1: the leader is to take all release lists
  std::uint32_t slot_free, slot_high;
  std::uint32_t entry_free, entry_high;
  std::uint32_t inline_bytes;  // contents of up to so many stay in cells; 0: all go to chunks
  std::uint32_t reserved[4];
  static constexpr std::uint32_t release_lists = 64;
  // Entries whose last slot was closed, linked by next_release: see release_list().
  alignas(64) std::array<std::atomic<std::uint32_t>, release_lists> release_heads;
  alignas(64) std::array<std::atomic<std::uint32_t>, size_buckets> buckets;
  alignas(64) std::array<OpenSlot, open_slots> slots;
  std::array<SizeEntry, size_entries> entries;
  std::array<ProcessRecord, process_records> processes;
  HeldLocks locks;
  ContentCells contents;

  static constexpr std::uint64_t magic_value = 0x31656c6261546642;  // "BfTable1"

  // Kernel file position of the placeholder of slot `index`: tag bit, 22 check bits, 20 of index.
  std::uint64_t position(std::uint32_t index) const;
  // That of the opening that all placeholders share which have not left their process.
  static constexpr std::uint64_t common_position = std::uint64_t{1} << 42;
  // The slot a position means; 0 when it is none of ours (any more).
  std::uint32_t slot_at(std::uint64_t position) const;

  // A slot with one reference, held by `record`. 0: all are in use.
  std::uint32_t take_slot(ProcessId self, ProcessRecord& record);
  // Drops `record`'s reference; the last one closes the slot. Returns an entry that became idle and
  // was put on a release list (the caller rings the server that takes it), else 0.
  std::uint32_t drop_slot(ProcessId self, ProcessRecord& record, std::uint32_t index);
  bool holds(const ProcessRecord& record, std::uint32_t index) const;
  // One more process for a slot. False: it was closed meanwhile.
  bool hold(ProcessRecord& record, std::uint32_t index);

  // The record of `process`, made if there is none. Null: all are in use.
  ProcessRecord* record_of(ProcessId process, bool make);
  // A record with all that `parent` holds, for a process about to be forked by it. Its process
  // word is `parent | embryo` until one of the two writes the child's.
  ProcessRecord* fork_record(ProcessId self, ProcessRecord& parent);
  // Gives up everything `record` holds, and the record. True: entries were put on release lists.
  bool drop_record(ProcessId self, ProcessRecord& record);

  // What a server does with the home's answer to an open: entry for the inode with one more slot,
  // `slot`. Size, access time and content are taken when the session is new here. A slot that has
  // an entry already was filled for the same request by a server that died before it answered.
  // 0: table full, or no cell is free for the content.
  std::uint32_t opened(ProcessId self, const Granted& granted, OpenSlot* slot = nullptr);
  // Opens for reading what its home shows, and does not tell it. If the home is on this host, the
  // caller looks afterwards whether that is still shown, else drops the slot: a home that stops
  // showing a file looks for such opens after that (count_unasked). If it is on another, it must
  // have granted opens that are not given back. The slot has no entry then: ask the home.
  void open_unasked(ProcessId self, const ShownFile& shown, OpenSlot& slot);
  // The home, which does not show the inode any more and knows of no opens here: those that there
  // are count as granted from now on, in this session and tenure. What nobody has open any more is
  // told with its last access alone.
  Unasked count_unasked(ProcessId self, std::uint64_t inode, std::uint64_t session,
                        const HostSize& known);
  // False: no process of this host has it open.
  bool may_be_open(std::uint64_t inode) const;
  // Takes one opened() back: nobody uses the slot it was for.
  void undo_open(ProcessId self, std::uint32_t entry);
  // Entry of an inode open on this host in `session`, or a later one, 0 if none.
  std::uint32_t find(ProcessId self, std::uint64_t inode, std::uint64_t session);
  // What this host's writers reached; session 0: it is not open here. `news` of its home.
  HostSize host_size(ProcessId self, std::uint64_t inode, std::uint64_t news);
  // After a truncation: the new size, known by a new session; lets the writers in. `to_chunks`: the
  // bytes are in chunks from now on, if they were not.
  void thaw(ProcessId self, std::uint64_t inode, std::uint64_t session, std::uint64_t size,
            bool was_cut, bool to_chunks = false);
  // The content of a foreign inode in a cell of this host's that may have been written; else empty.
  std::span<const std::byte> written_content(std::uint32_t entry);

  // A server that begins: the cell of an inode at home here that clients have open; else nowhere.
  Stored cell_of(ProcessId self, std::uint64_t inode);
  // The same: cells that are lost by what it says of their inode are given back, but for inodes
  // open here: a client may be about to give its cell its place.
  void reclaim_cells(ProcessId self, const std::function<bool(std::uint64_t, Stored)>& is_lost);

  // The list of files at home at `rank`, which it takes itself. Those of other hosts, and those
  // that may be locked, are on the leader's.
  static constexpr std::uint32_t leaders_list = 0;
  static std::uint32_t release_list(std::uint32_t rank) { return 1 + rank % (release_lists - 1); }
  bool has_releases(std::uint32_t list) const { return release_heads[list].load() != 0; }
  std::uint32_t take_releases(std::uint32_t list) {
    return has_releases(list) ? release_heads[list].exchange(0) : 0;
  }
  // A leader that follows one that died, which may have been anywhere: counts the opens of each
  // entry anew, and puts those without any on the release lists.
  void recover(ProcessId self);
  // A server that follows one that died: the same for the files of its list.
  void recover(ProcessId self, std::uint32_t list);
  // Who took a list: what to tell the home. `keep`: if the home is on another host and nobody
  // wrote, nothing is given back until give_up().
  Released begin_release(ProcessId self, std::uint32_t entry, bool keep = false);
  // Leader: puts what is kept of an inode, or of all at home at a rank, on its release list.
  void give_up(ProcessId self, std::uint64_t inode);
  void give_up_all(ProcessId self, std::uint32_t home);
  // The home has ended this tenure, or knows the last access.
  void end_release(ProcessId self, std::uint32_t entry, const Released& told);
  // Up to `most` inodes at home at `home`, from entry `from` on, which becomes that of the next; 0:
  // there are no more.
  std::vector<HeldInode> held(ProcessId self, std::uint32_t home, std::uint32_t& from,
                              std::size_t most);

  // Writers' words that say "writing this entry" (dead processes excepted, their words cleared).
  bool being_written(std::uint32_t entry);

  std::uint32_t index_of(const SizeEntry& entry) const {
    return static_cast<std::uint32_t>(&entry - entries.data());
  }

 private:
  class Locked;
  ProcessRecord* known_record(ProcessId process);
  // Under the table lock:
  std::uint32_t find_locked(std::uint64_t inode) const;
  std::uint32_t new_entry(std::uint64_t inode);  // 0: all are in use
  void push_release(std::uint32_t entry);
  std::uint32_t list_of(const SizeEntry& entry) const;
  std::uint32_t closed(std::uint32_t entry);  // returns it if a server is to look
  std::uint32_t idle(std::uint32_t entry);
  void give_up(SizeEntry& entry);
  void free_entry(std::uint32_t entry);
  void recount();  // opens; whoever had the lock died
};

// relatime: the last access if a read leaves it as it is, else 0. All in ns since 1970.
inline std::int64_t kept_access(std::int64_t accessed, std::int64_t modified,
                                std::int64_t changed) {
  constexpr std::int64_t day_ns = 86'400'000'000'000;
  const bool counts_anew = accessed <= modified || accessed <= changed ||
                           sys::now_ns(CLOCK_REALTIME_COARSE) - accessed >= day_ns;
  return counts_anew ? 0 : accessed;
}

inline constexpr ProcessId embryo = ProcessId{1} << 63;

// Largest of the two, atomically.
template <class T>
void raise_to(std::atomic<T>& word, T value) {
  T seen = word.load(std::memory_order_relaxed);
  while (seen < value && !word.compare_exchange_weak(seen, value, std::memory_order_release,
                                                     std::memory_order_relaxed)) {
  }
}

}  // namespace benchfs
