// Leases: what a home lets another host read without asking, until it is recalled. The list of
// those that come with a reply, and the recall; doc/wire.md explains both.
#pragma once

#include <cstdint>

#include "common/host_view.h"
#include "common/placement.h"
#include "common/wire.h"

namespace benchfs::wire {

// What a lease is on: an inode's attributes, or what a name in a directory leads to.
struct LeaseKey {
  std::uint64_t inode;  // or the directory
  std::uint64_t name;   // hash of the name; 0: the inode itself

  friend bool operator==(const LeaseKey&, const LeaseKey&) = default;
  template <class H>
  friend H AbslHashValue(H h, const LeaseKey& key) {
    return H::combine(std::move(h), key.inode, key.name);
  }
};
static_assert(Struct<LeaseKey> && sizeof(LeaseKey) == 16);
inline LeaseKey lease_key(std::uint64_t inode) { return {.inode = inode, .name = 0}; }
inline LeaseKey lease_key(std::uint64_t directory, std::string_view name) {
  const std::uint64_t hash = name_hash(directory, name);
  return {.inode = directory, .name = hash != 0 ? hash : 1};
}

// One lease in a reply: the name follows if `directory` is not 0, else a ViewInode.
struct Lease {
  std::uint64_t directory;
  std::uint64_t inode;  // 0: there is no such name
  std::uint32_t type;   // S_IFMT bits
  std::uint32_t name_bytes;
};
static_assert(Struct<Lease> && sizeof(Lease) == 24 && Struct<ViewInode>);
// The last bytes of a reply with leases; `bytes` of Lease records stand before it.
struct LeaseList {
  std::uint64_t epoch;    // of the home, for this host: a new one when it has forgotten its leases
  std::uint64_t number;   // of the last recall to this host before these were given
  std::uint32_t good_ms;  // how long the leases may be used after the request was sent
  std::uint32_t bytes;
};
static_assert(Struct<LeaseList> && sizeof(LeaseList) == 24);
inline constexpr std::size_t lease_list_bytes_max = 8192;

// To the leader of a host; `count` LeaseKeys follow. Answered when no client there can still read
// what it names.
struct RecallLeases {
  static constexpr Op op = Op::recall_leases;
  using Reply = Nothing;
  std::uint64_t epoch;
  std::uint64_t number;  // grows from recall to recall to a host
  std::uint32_t count;
  std::uint32_t all;  // 1: everything of this home
};
static_assert(Message<RecallLeases> && sizeof(RecallLeases) == 24);
inline constexpr std::uint32_t recall_keys_max = 1000;

}  // namespace benchfs::wire
