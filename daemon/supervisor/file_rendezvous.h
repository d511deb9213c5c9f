// The meeting by the registry's files alone: for MPI, Slurm's environment and a single server.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/supervisor/bootstrap.h"

namespace benchfs {

class FileRendezvous : public Rendezvous {
 public:
  explicit FileRendezvous(Registry& registry) : registry_(registry) {}

  std::vector<NodeRecord> exchange(NodeRecord& own, Identity& identity,
                                   const Patience& patience) override;
  void leave_record(const NodeRecord&) override {}
  void barrier(NodeRecord& own, NodeState state, const Patience& patience) override;
  void finalize() override {}

 private:
  Registry& registry_;
};

// One per source of rank and size; each in the file of its name.
std::unique_ptr<Rendezvous> make_pmix_rendezvous(const Place& place, Registry& registry);
std::unique_ptr<Rendezvous> make_mpi_rendezvous(const Place& place, Registry& registry);
std::unique_ptr<Rendezvous> make_slurm_rendezvous(const Place& place, Registry& registry,
                                                  const Environment& environment);
std::unique_ptr<Rendezvous> make_single_rendezvous(Registry& registry);

// Slurm's compressed lists: "bn[1-3,07],ctl" and "2(x3),1". None: not such a list.
std::optional<std::vector<std::string>> expand_nodes(std::string_view list);
std::optional<std::vector<std::uint32_t>> expand_counts(std::string_view list);

}  // namespace benchfs
