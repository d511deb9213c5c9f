// Bootstrap: how a server learns which rank of how many it is, and how the ranks of one start learn
// of each other. By PMIx where mpirun or srun brings it; otherwise rank and size come from MPI,
// from Slurm's environment or from nowhere, and the registry's files are the exchange.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/config.h"
#include "registry/identity.h"
#include "registry/record.h"
#include "registry/registry.h"

namespace benchfs {

// The environment as it was at the start; tests bring their own.
class Environment {
 public:
  explicit Environment(char** variables) : variables_(variables) {}
  std::optional<std::string> text(const char* name) const;
  std::optional<std::uint32_t> number(const char* name) const;  // none: missing or not a number
  bool has(const char* name) const { return text(name).has_value(); }

 private:
  char** variables_;
};

// What the environment tells before anybody was asked.
struct Place {
  Bootstrap kind = Bootstrap::single;  // never automatic
  std::uint32_t rank = 0;
  std::uint32_t size = 0;       // 0: only the bootstrap will tell
  bool first_on_host = true;    // tells what all ranks of a host meet
  bool under_mpirun = false;    // Open MPI's: it sends SIGCONT before it ends its processes
  std::uint64_t launch_id = 0;  // names this start; 0: nothing names it
};
// Whether this rank is the first on its host, or the only one that is known of.
bool is_first_on_host(const Environment& environment);
// `wanted` is node.bootstrap. Throws StartFailure if that cannot be.
Place find_place(Bootstrap wanted, const Environment& environment);
const char* name_of(Bootstrap kind);

// The meeting of all ranks. Used by one thread, in the order of the members. All throw
// StartFailure.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;

  // Learns rank, size and launch id for sure and puts them into `own`.
  virtual void connect(NodeRecord& own, const Patience& patience) = 0;
  // The host of a rank that has not been heard of; empty if nobody knows. Any time after connect().
  virtual std::string host_of(std::uint32_t rank) = 0;
  // Gives rank 0's identity and everybody's record to all. `identity` is an input at rank 0. On
  // return own.instance is set, own.state is joined, and all records are checked against `own`.
  virtual std::vector<NodeRecord> exchange(NodeRecord& own, Identity& identity,
                                           const Patience& patience) = 0;
  // Puts own record into the registry, unless exchange() did.
  virtual void leave_record(const NodeRecord& own) = 0;
  // Returns when all ranks have come as far as `state`, which becomes own.state.
  virtual void barrier(NodeRecord& own, NodeState state, const Patience& patience) = 0;
  // Leaves PMIx or MPI, also after a failure, so that their launcher does not take the loss of one
  // rank for that of all.
  virtual void finalize() = 0;
};

std::unique_ptr<Rendezvous> make_rendezvous(const Place& place, Registry& registry,
                                            const Environment& environment);

}  // namespace benchfs
