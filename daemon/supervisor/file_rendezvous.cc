#include "daemon/supervisor/file_rendezvous.h"

namespace benchfs {
namespace {

// Rank 0 names who is missing; the others wait a little longer, so that they find its word.
Patience after_rank_0(const NodeRecord& own, const Patience& patience) {
  Patience longer = patience;
  if (own.rank != 0) longer.deadline_ns += 500'000'000;
  return longer;
}

}  // namespace

std::vector<NodeRecord> FileRendezvous::exchange(NodeRecord& own, Identity& identity,
                                                 const Patience& patience) {
  const Patience longer = after_rank_0(own, patience);
  if (own.rank == 0) {
    // Nobody has written yet: the others wait for the identity.
    registry_.remove_leftovers(std::nullopt);
    registry_.write_identity(own, identity);
  } else {
    identity = registry_.await_identity(own, longer);
  }
  own.instance = identity.instance;
  own.state = NodeState::joined;
  registry_.publish(own, Registry::Sync::durable);
  return registry_.await_all(own, NodeState::joined, longer);
}

// Rank 0 counts, and the others wait for rank 0 alone: n reads and not n times n.
void FileRendezvous::barrier(NodeRecord& own, NodeState state, const Patience& patience) {
  own.state = state;
  if (own.rank == 0) {
    registry_.await_others(own, state, patience);
    registry_.publish(own, Registry::Sync::no);
    return;
  }
  registry_.publish(own, Registry::Sync::no);
  registry_.await_rank_0(own, state, after_rank_0(own, patience));
}

}  // namespace benchfs
