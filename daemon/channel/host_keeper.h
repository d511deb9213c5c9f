// HostKeeper: what the leader of a host does for its tables. It watches the processes that hold
// open files and gives back what the dead held, locks included; it reports files that nobody on
// this host has open any more to their homes. Files of other hosts that were only read it keeps for
// the next who opens them, as long as they are leased to this host.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "common/fd.h"
#include "daemon/rpc/server.h"

namespace benchfs {

class HostKeeper final : public Source {
 public:
  // `followed`: the one before died, and what it was at is to be found out from the table.
  explicit HostKeeper(Server& server, bool followed = false);

  bool poll() override;
  bool arm() override { return !has_work(); }
  // Processes of this host that have files open.
  std::size_t processes() const { return watched_.size(); }
  // A connected client has ended.
  void process_ended(ProcessId process);

 private:
  struct Ended {
    std::uint32_t entry;
    Released told;
  };

  // Files of other hosts that stay open at their homes though nobody here has them open: so many.
  static constexpr std::size_t kept_max = 8192;

  bool has_work() const;
  Released begin_release(std::uint32_t entry);
  void watch_new_processes();
  void reap(std::uint32_t record, ProcessId process);
  void release_all();
  static Task<int> release(Server& server, std::uint32_t entry, Released told, std::string content);

  Server& server_;
  std::uint32_t events_seen_ = 0;
  std::uint32_t orphans_seen_ = 0;
  absl::flat_hash_map<std::uint32_t, Fd> watched_;  // by record
  std::deque<std::uint64_t> kept_;                  // inodes, with some that are not any more
  std::vector<Ended> ended_;                        // of the turn, no longer open at their home
};

}  // namespace benchfs
