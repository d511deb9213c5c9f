// What benchfs fsck asks.
#pragma once

#include <cstdint>

#include "common/wire/base.h"

namespace benchfs::wire {

// What `benchfs fsck` asks of each rank. Whoever finds `changes` equal before and after, and
// nothing under way, has read one state.
struct CheckStateReply {       // the first locked name follows, if any
  std::uint64_t changes;       // counts all changes of inodes and names
  std::uint64_t removals;      // of chunks, under way
  std::uint64_t transactions;  // under way
  std::uint64_t locked_names;
  std::uint64_t locked_directory;  // of the first of them
  std::uint64_t chunk_bytes;
};
struct CheckState {
  static constexpr Op op = Op::check_state;
  using Reply = CheckStateReply;
  std::uint64_t reserved;
};
static_assert(Message<CheckState> && Struct<CheckStateReply>);

// Inodes at home here, by counter, from `counter` on.
struct CheckedInode {  // a directory's name in its parent follows
  std::uint64_t inode;
  std::uint64_t size;    // as the home knows it
  std::uint64_t parent;  // directories
  std::uint32_t mode;
  std::uint32_t links;  // of a directory: 2 and its subdirectories
  std::uint32_t open;   // 1: some host has it open; or checked_part
  std::uint32_t name_bytes;
  std::uint64_t small;  // 1: a file whose bytes are with the inode, so it has no chunk files
};
// Of CheckedInode::open: this rank holds those entries of directory `inode`, which was split, whose
// cookies are from `size` on and below `parent`; `links` of its subdirectories are not counted in
// the directory's own row.
inline constexpr std::uint32_t checked_part = 2;
struct CheckInodesReply {
  std::uint64_t next;  // to go on with; 0: that was all
  std::uint64_t inodes;
};
struct CheckInodes {
  static constexpr Op op = Op::check_inodes;
  using Reply = CheckInodesReply;
  std::uint64_t counter;
};
static_assert(Message<CheckInodes> && Struct<CheckInodesReply> && sizeof(CheckedInode) == 48 &&
              Struct<CheckedInode>);

// Entries held here, by directory and cookie: those after (cookie, name) of the directory with
// `counter`, then those of the next ones.
struct CheckedEntry {  // the name follows
  std::uint64_t directory;
  std::uint64_t cookie;
  std::uint64_t inode;
  std::uint32_t type;  // S_IFMT bits
  std::uint32_t name_bytes;
};
struct CheckEntriesReply {
  std::uint64_t next;  // counter to go on with; 0: that was all
  std::uint64_t entries;
};
struct CheckEntries {  // the name follows
  static constexpr Op op = Op::check_entries;
  using Reply = CheckEntriesReply;
  std::uint64_t counter;
  std::uint64_t cookie;
  std::uint64_t name_bytes;
};
static_assert(Message<CheckEntries> && Struct<CheckEntriesReply> && sizeof(CheckedEntry) == 32 &&
              Struct<CheckedEntry>);

// Chunk files of this rank, in no order.
struct CheckedChunk {
  std::uint64_t inode;
  std::uint64_t index;
  std::uint64_t bytes;
};
struct CheckChunksReply {
  std::uint64_t next;  // to go on with
  std::uint32_t chunks;
  std::uint32_t strangers;  // files that are no chunks
  std::uint64_t end;        // 1: that was all
};
struct CheckChunks {
  static constexpr Op op = Op::check_chunks;
  using Reply = CheckChunksReply;
  std::uint64_t cursor;  // 0: the start
};
static_assert(Message<CheckChunks> && Struct<CheckChunksReply> && sizeof(CheckedChunk) == 24 &&
              Struct<CheckedChunk>);

}  // namespace benchfs::wire
