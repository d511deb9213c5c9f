// Releases: tells the homes of files that nobody on this host has open any more. Each rank does so
// for the files at home there, the leader for those of other hosts, and for what the others were
// not rung for. Files of other hosts that were only read it keeps for the next who opens them, as
// long as they are leased to this host.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "daemon/rpc/server.h"

namespace benchfs {

class Releases final : public Source {
 public:
  // `followed`: the server before died, and what it had taken is to be found out from the table.
  explicit Releases(Server& server, bool followed = false);

  bool poll() override;
  bool arm() override { return !has_work(); }

 private:
  struct Ended {
    std::uint32_t entry;
    Released told;
  };

  // Files of other hosts that stay open at their homes though nobody here has them open: so many.
  static constexpr std::size_t kept_max = 8192;

  bool has_work() const;
  bool leads() const { return server_.topology.is_leader(); }
  Released begin_release(std::uint32_t entry);
  void take(std::uint32_t list);
  static Task<int> release(Server& server, std::uint32_t entry, Released told, std::string content);

  Server& server_;
  const std::uint32_t list_;
  std::deque<std::uint64_t> kept_;  // inodes, with some that are not any more
  std::vector<Ended> ended_;        // of the turn, no longer open at their home
  bool any_ = false;                // was released in this turn
};

}  // namespace benchfs
