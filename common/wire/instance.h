// The instance as a whole.
#pragma once

#include <cstdint>

#include "common/wire/base.h"

namespace benchfs::wire {

struct FileSystemReply {
  std::uint64_t bytes_total;
  std::uint64_t bytes_free;
  std::uint64_t inodes;
  std::uint64_t device;  // hash of host and device, so that ranks that share one count once
};
struct FileSystemInfo {
  static constexpr Op op = Op::file_system;
  using Reply = FileSystemReply;
  std::uint64_t all;  // 1: the sum over all ranks; 0: this rank alone
};
static_assert(Message<FileSystemInfo>);

struct StatusReply {
  std::uint64_t inodes;
  std::uint64_t bytes_total;  // of the device
  std::uint64_t bytes_free;
  std::uint64_t requests;
  std::uint64_t peer_requests;
  std::uint64_t relayed;
  std::uint64_t metadata_bytes;  // of memory, since the server began
  std::uint64_t journal_bytes;   // of its files
  std::uint32_t clients;
  std::uint32_t rank;
};
struct StatusRequest {
  static constexpr Op op = Op::status;
  using Reply = StatusReply;
  std::uint64_t reserved;
};
static_assert(Message<StatusRequest> && Struct<StatusReply>);

// Ends the instance. Clients send it to any rank, ranks pass it to rank 0, rank 0 to all.
struct Stop {
  static constexpr Op op = Op::stop;
  using Reply = Nothing;
  std::uint64_t from_rank_0;
};
static_assert(Message<Stop>);

}  // namespace benchfs::wire
