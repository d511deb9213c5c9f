// What the journal says: typed records, each the full state of one thing, so that replaying one
// twice, or over a later state that a later record brings back, does no harm. doc/storage.md
// explains them; common/wire.h's rules hold: little-endian, no padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/wire.h"

namespace benchfs {

enum class RecordType : std::uint16_t {
  inode = 1,         // inode_record.h
  inode_erased = 2,  // ErasedRecord
  chunks_cut = 3,    // CutRecord
  entry = 4,         // EntryRecord, name
  counters = 5,      // CounterRecord
  answer = 6,        // AnswerRecord, body
  blob = 7,          // BlobRecord, bytes
  blob_dropped = 8,  // BlobRecord
  snapshot_end = 9,  // SnapshotEndRecord
  closed = 10,       // ClosedRecord
};

struct RecordHeader {
  std::uint16_t type;
  std::uint16_t reserved;  // zero
  std::uint32_t length;    // bytes that follow
};
static_assert(wire::Struct<RecordHeader> && sizeof(RecordHeader) == 8);

// The number is not used again.
struct ErasedRecord {
  std::uint64_t inode;
  std::uint64_t size;  // its chunks below this are still to be removed; 0: there are none
};
static_assert(wire::Struct<ErasedRecord> && sizeof(ErasedRecord) == 16);

// The chunks of an erased inode are removed.
struct CutRecord {
  std::uint64_t inode;
};
static_assert(wire::Struct<CutRecord>);

// A host has the inode open no longer. What an inode's record says of it, for a tenth of the bytes.
struct ClosedRecord {
  std::uint64_t inode;
  std::uint64_t host;
};
static_assert(wire::Struct<ClosedRecord> && sizeof(ClosedRecord) == 16);

// What a name of a directory holds from now on.
struct EntryRecord {
  std::uint64_t directory;
  std::uint64_t inode;    // 0: the name is gone
  std::int64_t modified;  // of the directory, as it is then
  std::int64_t changed;   // 0: both are left as they are
  std::uint32_t type;     // S_IFMT bits
  std::uint32_t name_bytes;
};
static_assert(wire::Struct<EntryRecord> && sizeof(EntryRecord) == 40);

// Numbers that were given out lie below these.
struct CounterRecord {
  std::uint64_t inode_counter;
  std::uint64_t session;
};
static_assert(wire::Struct<CounterRecord> && sizeof(CounterRecord) == 16);

// What a client was told of a change, for when it asks again.
struct AnswerRecord {
  std::uint64_t process;
  std::uint64_t request_id;
  std::uint32_t host;
  std::int32_t error;
  std::uint32_t flags;
  std::uint32_t body_bytes;
};
static_assert(wire::Struct<AnswerRecord> && sizeof(AnswerRecord) == 32);

// Bytes that some other part wants back after a restart, until it drops them.
struct BlobRecord {
  std::uint64_t counter;
  std::uint32_t rank;
  std::uint32_t kind;
};
static_assert(wire::Struct<BlobRecord> && sizeof(BlobRecord) == 16);

// The last record of a snapshot.
struct SnapshotEndRecord {
  std::uint64_t records;  // before this one
};
static_assert(wire::Struct<SnapshotEndRecord>);

// Who takes what is read back.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // False: no such type, or not its layout.
  virtual bool take(RecordType type, std::span<const std::byte> body) = 0;
};

// Gives `sink` each record of a frame's payload. Returns the offset of the first that does not
// parse, or the payload's size.
std::size_t read_records(std::span<const std::byte> payload, RecordSink& sink);

}  // namespace benchfs
