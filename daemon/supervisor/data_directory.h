// The node-local job directory on this host and the directory of one rank in it:
//
//   <data_dir>/host_<hostid>        the host record: written by the leader, locked while it lives
//   <data_dir>/rank_<rank>/lock     locked while the rank's supervisor or worker lives
//   <data_dir>/rank_<rank>/socket   the clients' listener
//   <data_dir>/rank_<rank>/…        the worker's: chunks and the like
//
// All members throw StartFailure unless they say otherwise.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/fd.h"
#include "registry/host_record.h"
#include "registry/record.h"

namespace benchfs {

class DataDirectory {
 public:
  // Makes <path>/rank_<rank>, takes its lock and wipes what a dead instance left in it.
  DataDirectory(std::string path, std::uint32_t rank);

  const std::string& path() const { return path_; }
  std::string rank_path() const;

  // The listening socket, bound to rank_<rank>/socket: made once.
  Fd make_listener();
  // Another descriptor of the lock: it is held until the last of them is closed.
  Fd share_lock() const;

  // The leader, when the records of all ranks are known: wipes ranks of dead instances, and refuses
  // the directory if a live one has ranks or a host record here.
  void claim_host(std::span<const NodeRecord> records, const NodeRecord& own);
  void write_host(const HostRecord& record);
  // Nobody finds the servers here any more. Never throws.
  void remove_host() noexcept;

  // Removes the rank's directory, or with `keep_data` only what is no data. Never throws.
  void remove(bool keep_data) noexcept;
  // After remove(): waits until the other ranks here have removed theirs, or are dead. Never
  // throws.
  void await_neighbours(std::int64_t deadline_ns) const noexcept;

 private:
  std::vector<std::uint32_t> other_ranks() const;  // that have a directory here

  std::string path_;
  std::uint32_t rank_;
  Fd dir_;
  Fd rank_dir_;
  Fd lock_;
  Fd host_record_;
};

// The ranks whose host is that of `own`, ascending.
std::vector<std::uint32_t> ranks_here(std::span<const NodeRecord> records, const NodeRecord& own);

}  // namespace benchfs
