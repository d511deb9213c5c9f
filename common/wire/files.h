// Open files: their sizes, bytes and writers.
#pragma once

#include <cstdint>

#include "common/content_cells.h"
#include "common/wire/names.h"

namespace benchfs::wire {

struct OpenReply {  // the content follows if it is in a cell of another host than the caller's
  Attributes attributes;
  std::uint64_t session;  // see Session below
  std::uint64_t tenure;   // see Release
  std::uint32_t exact;    // 1: no other host writes it
  std::uint32_t created;
  Stored stored;
  std::uint32_t content_bytes;
};
struct Open {
  static constexpr Op op = Op::open;
  using Reply = OpenReply;
  Where where;
  std::uint32_t flags;  // O_*
  std::uint32_t mode;   // umask applied
  std::uint32_t gid;
  std::uint32_t slot;  // of the host's open-file table; the host's server fills it
};
static_assert(Message<Open> && sizeof(OpenReply) == 104 && sizeof(Open) == 32);

// The content follows a Release if it is in a cell of another host than the home's, and may have
// been written.
//
// A home and a host speak of an inode by session: a number that the home takes when the host opens
// the file first, and anew each time the size is set. Messages of the two may overtake each other;
// a size of another session than the home's is void, and a host that does not know the home's yet
// (the answer to its open is on its way) says so and is asked again.
//
// From a host's first open of an inode to the last close, the home counts the opens it granted, and
// the host those it got to know: its tenure, named by the session of the first. The host releases
// it by what it has counted. If the home has counted more, answers are on their way, and the host
// releases again after them; if it does not know the tenure, it has ended it before.
struct ReleaseReply {
  std::uint64_t session;  // of this host, as the home knew it then
  std::uint64_t opens;    // that the home still counts for this host: answers on their way
};
struct Release {
  static constexpr Op op = Op::release;
  using Reply = ReleaseReply;
  std::uint64_t inode;
  std::uint64_t session;
  std::uint64_t tenure;
  std::uint64_t end;      // size reached by this host's writers
  std::int64_t modified;  // 0: not written
  std::int64_t accessed;  // 0: not read, or not so that it counts
  std::uint32_t opens;    // granted to the host, as it has counted
  std::uint32_t undone;   // granted, but the host had no room for them
  std::uint32_t flags;    // HostFlag
  Stored stored;
};
static_assert(Message<Release>);
// What a host says of a file beside its size.
enum HostFlag : std::uint32_t {
  sparse = 1,  // its writers may have left holes
};

struct SizeReply {
  std::uint64_t size;
  std::int64_t modified;
};
struct Size {
  static constexpr Op op = Op::size;
  using Reply = SizeReply;
  std::uint64_t inode;
};
static_assert(Message<Size>);

struct Truncate {
  static constexpr Op op = Op::truncate;
  using Reply = Nothing;
  Where where;
  std::uint64_t size;
};
static_assert(Message<Truncate>);

struct ReserveReply {
  std::uint64_t offset;
};
struct Reserve {
  static constexpr Op op = Op::reserve;
  using Reply = ReserveReply;
  std::uint64_t inode;
  std::uint64_t bytes;
};
static_assert(Message<Reserve>);

// Bulk data of the next two lies in slot `buffer` of the host's transfer pool; between servers it
// travels beside the message.
struct ChunkReply {
  std::uint64_t bytes;  // read: fewer at the end of the chunk file; the rest reads as zeros
};
struct ReadChunk {
  static constexpr Op op = Op::read_chunk;
  using Reply = ChunkReply;
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t buffer;
  std::uint32_t reserved;
};
static_assert(Message<ReadChunk>);

struct WriteChunk {
  static constexpr Op op = Op::write_chunk;
  using Reply = ChunkReply;
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t buffer;
  std::uint32_t reserved;
};
static_assert(Message<WriteChunk>);

// Chunks of this inode at this rank: written to the device.
struct SyncChunks {
  static constexpr Op op = Op::sync_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t size;
};
static_assert(Message<SyncChunks>);

// What this host's writers reached.
// The content follows if it was asked for, is in a cell of another host than the home's, and may
// have been written.
struct HostSizeReply {
  std::uint64_t session;  // 0: not known here, or not this session yet
  std::uint64_t size;
  std::int64_t modified;
  std::int64_t accessed;
  std::uint32_t flags;  // HostFlag
  Stored stored;
  std::uint64_t content_bytes;
};
struct Freeze {
  static constexpr Op op = Op::freeze;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint64_t session;
};
static_assert(Message<Freeze>);

struct Thaw {
  static constexpr Op op = Op::thaw;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t session;  // the new one
  std::uint64_t size;
  std::uint32_t cut;        // 1: bytes were cut, cached descriptors are void
  std::uint32_t to_chunks;  // 1: the bytes are in chunks from now on
};
static_assert(Message<Thaw>);

struct HostSize {
  static constexpr Op op = Op::host_size;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint32_t news;  // News
  std::uint32_t with_content;
};
static_assert(Message<HostSize>);
// What a host is to know of a change at the home.
enum News : std::uint32_t {
  times_set = 1,         // utimens came after every write so far
  attributes_set = 2,    // ctime is now: the next read counts
  privileges_given = 4,  // a write by others than root takes the mode's privileges away
};

struct RevokeExact {
  static constexpr Op op = Op::revoke_exact;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint64_t session;
};
static_assert(Message<RevokeExact>);

// Bytes at and after `size` go; `known` bounds the chunks that may exist. size 0 and known 0:
// everything this rank has of the inode.
struct CutChunks {
  static constexpr Op op = Op::cut_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t size;
  std::uint64_t known;
};
static_assert(Message<CutChunks>);

// The bytes of a small file are to lie in chunks from now on: it grows.
struct MoveToChunks {
  static constexpr Op op = Op::move_to_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
};
static_assert(Message<MoveToChunks>);

// All but the chunks of an inode as of now is to be on its home's device: what its writers reached,
// the content of a small file, a directory's names.
struct SyncInode {
  static constexpr Op op = Op::sync_inode;
  using Reply = Nothing;
  std::uint64_t inode;
};
static_assert(Message<SyncInode>);

// 512-byte blocks that this rank's chunks of a file of `size` bytes take.
struct CountBlocksReply {
  std::uint64_t blocks;
};
struct CountBlocks {
  static constexpr Op op = Op::count_blocks;
  using Reply = CountBlocksReply;
  std::uint64_t inode;
  std::uint64_t size;
};
static_assert(Message<CountBlocks>);

// What the table of the answerer's host says of inodes at home at rank `home`, from entry `from`
// on.
struct HeldOpensReply {  // `count` HeldOpen follow
  std::uint32_t count;
  std::uint32_t next;  // where to go on; 0: that was all
};
struct HeldOpen {
  std::uint64_t inode;
  std::uint64_t session;
  std::uint64_t tenure;
  std::uint64_t size;     // its writers reached
  std::int64_t modified;  // 0: not written
  std::uint32_t granted;  // opens, as the host has counted them
  std::uint32_t flags;    // HeldFlag
  Stored stored;
  std::uint32_t reserved;
};
enum HeldFlag : std::uint32_t {
  held_exact = 1,   // the host trusts its own size
  held_frozen = 2,  // its writers are stopped
  held_sparse = 4,  // they may have left holes
};
struct HeldOpens {
  static constexpr Op op = Op::held_opens;
  using Reply = HeldOpensReply;
  std::uint32_t home;
  std::uint32_t from;
};
static_assert(Message<HeldOpens> && Struct<HeldOpen> && sizeof(HeldOpen) == 56);

}  // namespace benchfs::wire
