// The record of an inode: all of it but a directory's entries. A field that Inode or Directory gets
// and that must survive the worker gets its place here: a new kind of part.
//
//   InodeRecord, then for each part InodePart and its bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/wire.h"
#include "daemon/metadata/inode.h"

namespace benchfs {

struct InodeRecord {
  std::uint64_t number;
  std::uint64_t size;
  std::int64_t accessed;
  std::int64_t modified;
  std::int64_t changed;
  std::int64_t born;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t links;
  std::uint32_t pages;
  std::uint32_t flags;
};
static_assert(wire::Struct<InodeRecord> && sizeof(InodeRecord) == 72);

enum class InodePartKind : std::uint16_t {
  directory = 1,   // u64 parent, name
  target = 2,      // of a symlink
  open_hosts = 3,  // u64 reserved_end, then an OpenHostRecord each
  xattrs = 4,      // an XattrRecord each
  partition = 5,   // PartitionRecord, then a Partition::Later each
  cell = 6,        // u64: where a small file's bytes are; a file without it is in chunks
};

struct InodePart {
  std::uint16_t kind;
  std::uint16_t reserved;  // zero
  std::uint32_t length;    // bytes that follow
};
static_assert(wire::Struct<InodePart> && sizeof(InodePart) == 8);

// A host that has the inode open. How often, it knows itself.
struct OpenHostRecord {
  std::uint64_t session;
  std::uint32_t host;
  std::uint32_t writes;  // 1: an open of it may write
};
static_assert(wire::Struct<OpenHostRecord> && sizeof(OpenHostRecord) == 16);

// An extended attribute; its name and its value follow.
struct XattrRecord {
  std::uint32_t name_bytes;
  std::uint32_t value_bytes;
};
static_assert(wire::Struct<XattrRecord> && sizeof(XattrRecord) == 8);
// Of a directory that was split, or of a part of one.
struct PartitionRecord {
  std::uint64_t of;
  std::uint64_t low;
  std::uint64_t high;
  std::uint64_t limit;
  std::int64_t times_set;
  std::uint32_t index;
  std::uint32_t depth;
};
static_assert(wire::Struct<PartitionRecord> && wire::Struct<Partition::Later>);

std::size_t inode_record_bytes(const Inode& inode);
// Writes inode_record_bytes(inode) bytes.
void encode_inode(const Inode& inode, std::byte* out);
// Makes `inode` what the record says; a directory keeps its entries. Of hosts that have it open
// `opens` is 0, as only they know. False: not such a record.
bool decode_inode(std::span<const std::byte> record, Inode& inode);

}  // namespace benchfs
