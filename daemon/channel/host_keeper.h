// HostKeeper: what the leader of a host does for its tables. It watches the processes that hold
// open files, and gives back what the dead held, locks included.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>

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
  bool has_work() const;
  void watch_new_processes();
  void reap(std::uint32_t record, ProcessId process);

  Server& server_;
  std::uint32_t events_seen_ = 0;
  std::uint32_t orphans_seen_ = 0;
  absl::flat_hash_map<std::uint32_t, Fd> watched_;  // by record
};

}  // namespace benchfs
