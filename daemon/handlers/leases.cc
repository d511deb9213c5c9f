#include <cstring>

#include "daemon/handlers/handlers.h"

namespace benchfs {

Task<Answer> handle_recall_leases(Server& server, const Caller& caller, wire::RecallLeases request,
                                  Tail tail) {
  if (server.held == nullptr || caller.rank == server.topology.rank)
    co_return Answer(Error(EINVAL));
  if (request.count > wire::recall_keys_max || request.count > tail.size() / sizeof(wire::LeaseKey))
    co_return Answer(Error(EBADMSG));
  std::vector<wire::LeaseKey> keys(request.count);
  if (!keys.empty()) std::memcpy(keys.data(), tail.data(), keys.size() * sizeof keys[0]);
  server.held->recall(caller.rank, request, keys);
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
