// Splitter: gives half of a directory that grew too large to another rank, while it is in use.
//
// The half that goes is frozen: names in it can be looked up, but not made or removed. Its entries
// are copied to the other rank, then one change on several servers makes the copy count.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/wire.h"
#include "daemon/loop/event_loop.h"
#include "daemon/metadata/inode.h"

namespace benchfs {

class Server;

class Splitter {
 public:
  explicit Splitter(Server& server) : server_(server) {}

  // Splits these directory inodes in the background, but for those that are being split, or could
  // not be a moment ago.
  void start(const std::vector<std::uint64_t>& directories);

  // At the rank that gets a part. Its number; entries are added to what came before.
  Result<std::uint64_t> fill(const wire::FillPart& request, std::span<const std::byte> entries);
  bool has_draft(std::uint64_t part) const { return drafts_.contains(part); }
  // Makes the inode and its entries. ESTALE: this process was told nothing of it.
  Status make_part(std::uint64_t part);

 private:
  struct DraftEntry {
    std::string name;
    Entry entry;
  };
  struct Draft {
    wire::FillPart head{};
    std::vector<DraftEntry> entries;
    std::int64_t begun_ns = 0;
  };
  Task<int> split(std::uint64_t number);
  Task<Status> try_to_split(std::uint64_t number);
  Task<Status> send_entries(std::uint64_t number, wire::FillPart head);

  Server& server_;
  absl::flat_hash_map<std::uint64_t, std::int64_t> not_before_;  // CLOCK_MONOTONIC, ns
  absl::flat_hash_map<std::uint64_t, Draft> drafts_;
};

}  // namespace benchfs
