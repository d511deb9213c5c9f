// The registry directory: where the ranks of one start find each other, and where programs that
// want to use or stop them look first.
//
//   node_<rank>.addr  the node records (record.h)
//   lock              held by rank 0's supervisor for its life; holds rank 0's first record
//   instance          instance id and secret, where no PMIx carries them
//   ready             "<instance id> <size>": all ranks are ready
//   failed            one line: why this start failed
//
// Everything is private to the user, written under a temporary name and renamed. Shared
// filesystems tell nobody of a change, so waiting is polling, from every millisecond to every 50.
//
// All members throw StartFailure. They may be called from one thread while another calls
// withdraw(), after which nothing is written any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "registry/identity.h"
#include "registry/record.h"
#include "registry/start_failure.h"

namespace benchfs {

Identity make_identity();  // random

// The host of a rank that has not registered; empty if nobody knows.
using HostOf = std::function<std::string(std::uint32_t rank)>;

// How long to wait for other ranks, and what to say then.
struct Patience {
  std::int64_t deadline_ns = 0;  // CLOCK_MONOTONIC
  std::uint32_t timeout_s = 0;   // the setting behind it
  HostOf host_of;
  std::function<bool()> given_up;  // looked at while waiting; may be empty

  // Throws, for nobody to read, once it is.
  void check() const;
};

class Registry {
 public:
  explicit Registry(std::string directory);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  const std::string& directory() const { return directory_; }
  std::string file(const std::string& name) const { return directory_ + "/" + name; }

  // Rank 0, first: refuses the registry of a live instance. `own` tells others whose lock it is.
  void take_lock(const NodeRecord& own);
  // The other ranks, before they write: refuses a registry whose lock another start holds.
  void refuse_live(const NodeRecord& own) const;
  // Rank 0, with the lock: deletes what dead instances left. Records of the launch `keep` stay.
  void remove_leftovers(std::optional<std::uint64_t> keep);

  // Replaces this rank's record. Durable: also for readers on other hosts after a crash of this.
  enum class Sync : bool { no, durable };
  void publish(const NodeRecord& own, Sync sync);
  // None: not there, or of another launch. A damaged one throws.
  std::optional<NodeRecord> read(std::uint32_t rank, std::uint64_t launch_id) const;

  // Wait until all ranks, all but this one, or rank 0 alone have come as far as `state`. They throw
  // when a record does not fit `own`, when a rank failed, or when patience ends.
  std::vector<NodeRecord> await_all(const NodeRecord& own, NodeState state,
                                    const Patience& patience) const;
  void await_others(const NodeRecord& own, NodeState state, const Patience& patience) const;
  void await_rank_0(const NodeRecord& own, NodeState state, const Patience& patience) const;

  // Throws if rank 0 and another rank do not fit: another instance, size or settings.
  void check_fits(const NodeRecord& own, const NodeRecord& other) const;

  void write_identity(const NodeRecord& own, const Identity& identity);
  Identity await_identity(const NodeRecord& own, const Patience& patience) const;

  void mark_ready(const NodeRecord& own);
  // Rank 0, when clients are no longer wanted. Never throws.
  void retract_ready() noexcept;
  // Whether `ready` is there and of this instance.
  bool is_ready(const InstanceId& instance) const;

  // Says why this start failed, unless a rank of it did already. False: one did, for the same
  // reason. Never throws.
  bool mark_failed(NodeRecord own, const StartFailure& failure) noexcept;
  // Why another rank of this launch failed: its line and exit code, told by it.
  std::optional<StartFailure> failure(std::uint64_t launch_id) const;
  // Throws it.
  void throw_failure(std::uint64_t launch_id) const;

  // For launch ids that may come again: what `failed` says now is not of this start.
  void ignore_old_failure();

  // The ranks without a record of this launch in this state.
  std::vector<std::uint32_t> missing(const NodeRecord& own, NodeState state) const;
  // The line of a time-out for `ranks`.
  std::string timeout_line(const std::vector<std::uint32_t>& ranks, NodeState state,
                           const NodeRecord& own, const Patience& patience) const;

  // Removes what this rank wrote, the lock last. Never throws.
  void withdraw(const NodeRecord& own) noexcept;

 private:
  struct Holder {
    bool locked = false;
    bool unknown = false;  // on another host, and locks do not work here
    std::optional<NodeRecord> record;
  };
  Holder lock_holder() const;
  [[noreturn]] void throw_live(const std::optional<NodeRecord>& holder) const;
  void write_file(const std::string& name, std::span<const std::byte> bytes, Sync sync);
  std::optional<std::vector<std::byte>> read_file(const std::string& name,
                                                  std::size_t bytes_max) const;
  std::optional<NodeRecord> read_any(std::uint32_t rank) const;
  std::pair<std::uint64_t, std::int64_t> file_since(const std::string& name) const;
  std::optional<StartFailure> failure_in(const std::string& name, std::uint64_t launch_id) const;
  std::vector<NodeRecord> await(std::vector<std::uint32_t> ranks, const NodeRecord& own,
                                NodeState state, const Patience& patience) const;

  std::string directory_;
  Fd dir_;
  Fd lock_;
  mutable std::mutex writing_;
  // `failed` to be ignored: which file, and since when.
  std::pair<std::uint64_t, std::int64_t> old_failed_;
  bool withdrawn_ = false;
  bool published_ = false;
  mutable bool foreign_ = false;  // a live instance's: nothing is written
  bool failed_ = false;           // our record and `failed` stay, to be read
};

}  // namespace benchfs
