// Blobs: what other parts of a server want back after a restart, as bytes under a key, until they
// drop it. A put or drop belongs to the pending frame of the journal.
#pragma once

#include <absl/container/node_hash_map.h>

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/journal/journal.h"

namespace benchfs {

struct BlobKey {
  std::uint32_t kind;  // whose; each part has its own
  std::uint32_t rank;
  std::uint64_t counter;
  friend auto operator<=>(const BlobKey&, const BlobKey&) = default;
  template <class H>
  friend H AbslHashValue(H hash, const BlobKey& key) {
    return H::combine(std::move(hash), key.kind, key.rank, key.counter);
  }
};

class Blobs {
 public:
  using Map = absl::node_hash_map<BlobKey, std::vector<std::byte>>;

  void log_to(Journal& journal) { journal_ = &journal; }
  void put(BlobKey key, std::span<const std::byte> bytes) {
    restore(key, bytes);
    if (journal_ != nullptr) journal_->append(RecordType::blob, record_of(key), bytes);
  }
  void drop(BlobKey key) {
    if (all_.erase(key) != 0 && journal_ != nullptr)
      journal_->append(RecordType::blob_dropped, record_of(key));
  }
  const Map& all() const { return all_; }

  static BlobRecord record_of(BlobKey key) {
    return {.counter = key.counter, .rank = key.rank, .kind = key.kind};
  }
  // What the journal says of the time before.
  void restore(BlobKey key, std::span<const std::byte> bytes) {
    all_[key].assign(bytes.begin(), bytes.end());
  }
  void restore_drop(BlobKey key) { all_.erase(key); }

 private:
  Map all_;
  Journal* journal_ = nullptr;
};

}  // namespace benchfs
