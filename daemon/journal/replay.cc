#include "daemon/journal/replay.h"

#include <algorithm>

namespace benchfs {

bool Replay::take_blob(RecordType type, std::span<const std::byte> body) {
  const auto record = wire::parse<BlobRecord>(body);
  if (!record.ok()) return false;
  const BlobKey key{.kind = record->kind, .rank = record->rank, .counter = record->counter};
  if (type == RecordType::blob_dropped)
    server_.blobs.restore_drop(key);
  else
    server_.blobs.restore(key, body.subspan(sizeof(BlobRecord)));
  return true;
}

bool Replay::take(RecordType type, std::span<const std::byte> body) {
  switch (type) {
    case RecordType::inode:
    case RecordType::inode_erased:
    case RecordType::chunks_cut:
    case RecordType::closed:
    case RecordType::entry:
      return server_.names.restore(type, body);
    case RecordType::counters: {
      const auto counters = wire::parse<CounterRecord>(body);
      if (!counters.ok()) return false;
      server_.names.restore_counter(counters->inode_counter);
      server_.next_session = std::max(server_.next_session, counters->session);
      return true;
    }
    case RecordType::blob:
    case RecordType::blob_dropped:
      return take_blob(type, body);
    case RecordType::answer:
      return server_.answers.restore(body);
    case RecordType::snapshot_end:
      return false;
  }
  return false;
}

}  // namespace benchfs
