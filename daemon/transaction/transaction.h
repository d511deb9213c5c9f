// A change on several servers: its identity, its steps, what they lock, and their encoding.
//
// doc/design.md tells the protocol. The encoding is that of the prepare message; the journal keeps
// the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/wire.h"
#include "daemon/metadata/inode.h"
#include "daemon/metadata/name_locks.h"

namespace benchfs {

struct TransactionId {
  std::uint32_t coordinator = 0;  // rank
  std::uint64_t counter = 0;  // of the coordinator, never used again, not after a restart either
  friend bool operator==(const TransactionId&, const TransactionId&) = default;
  template <class H>
  friend H AbslHashValue(H state, const TransactionId& id) {
    return H::combine(std::move(state), id.coordinator, id.counter);
  }
};

// Kinds of blobs in the journal, under the change's coordinator and counter.
inline constexpr std::uint32_t prepared_blob = 1;   // a wire::Prepare and its steps
inline constexpr std::uint32_t committed_blob = 2;  // Coordinator's

inline constexpr std::size_t transaction_steps_max = 16;  // at one rank

// What the fields mean for which kind: wire::Step.
struct Step {
  wire::StepKind kind{};
  std::uint32_t rank = 0;  // where it is to be done
  std::uint64_t inode = 0;
  std::string name;
  std::uint64_t holds = 0;
  std::uint64_t value = 0;
  std::uint32_t type = 0;
  std::uint32_t gid = 0;
  std::int32_t links = 0;
};

// `now`: what the name holds, inode 0 for nothing; `then` likewise.
Step set_entry(std::uint64_t directory, std::string_view name, std::uint64_t now, Entry then);
Step add_links(std::uint64_t inode, std::int32_t links);
Step make_directory(std::uint32_t rank, std::uint64_t parent, std::string_view name,
                    std::uint32_t mode, std::uint32_t gid);
// `parts`: how many parts the directory must have, beside itself; each is to be removed too.
Step remove_directory(std::uint64_t inode, std::size_t parts = 0);
Step move_directory(std::uint64_t inode, std::uint64_t parent, std::string_view name);
Step make_part(std::uint64_t part, std::uint64_t directory);
Step split_off(std::uint64_t inode, const Partition::Later& part);
Step add_part(std::uint64_t directory, const Partition::Later& part);

// It makes an inode that nobody else knows yet, so there is nothing to wait for where it is done.
inline bool makes_inode(const Step& step) {
  return step.kind == wire::StepKind::make_directory || step.kind == wire::StepKind::make_part;
}

// In the order in which they are to be taken, each once.
std::vector<LockKey> lock_keys(std::span<const Step> steps, std::uint32_t rank);

// The steps of one rank as they follow a wire::Prepare.
std::string encode_steps(std::span<const Step> steps, std::uint32_t rank);
// EBADMSG: not `count` steps that this rank could be asked to do.
Result<std::vector<Step>> decode_steps(std::span<const std::byte> bytes, std::uint32_t count,
                                       std::uint32_t rank, std::uint32_t ranks);

}  // namespace benchfs
