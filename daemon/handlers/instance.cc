#include <absl/container/flat_hash_set.h>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

Task<int> tell(Server& server, std::uint32_t rank, wire::Stop message) {
  ++server.answering;
  co_await server.ask(rank, message);  // a rank that is gone needs no telling
  --server.answering;
  co_return 0;
}

}  // namespace

Task<Answer> handle_file_system(Server& server, const Caller&, wire::FileSystemInfo request, Tail) {
  const auto space = server.store.space();
  if (!space.ok()) co_return Answer(space.error());
  const std::string place =
      std::to_string(server.topology.host()) + ":" + std::to_string(space->device);
  wire::FileSystemReply sum{.bytes_total = space->bytes_total,
                            .bytes_free = space->bytes_free,
                            .inodes = server.names.size(),
                            .device = hash_bytes(place)};
  if (request.all == 0) co_return Answer(sum);
  absl::flat_hash_set<std::uint64_t> devices{sum.device};
  const wire::FileSystemInfo alone{.all = 0};
  for (std::uint32_t rank = 0; rank < server.topology.size; ++rank) {
    if (rank == server.topology.rank) continue;
    const auto reply = co_await server.ask(rank, alone);
    if (!reply.ok()) continue;
    sum.inodes += reply->inodes;
    if (!devices.insert(reply->device).second) continue;
    sum.bytes_total += reply->bytes_total;
    sum.bytes_free += reply->bytes_free;
  }
  co_return Answer(sum);
}

Task<Answer> handle_status(Server& server, const Caller&, wire::StatusRequest, Tail) {
  const auto space = server.store.space();
  co_return Answer(wire::StatusReply{
      .inodes = server.names.size(),
      .bytes_total = space.ok() ? space->bytes_total : 0,
      .bytes_free = space.ok() ? space->bytes_free : 0,
      .requests = server.counters.requests,
      .peer_requests = server.counters.peer_requests,
      .relayed = server.counters.relayed,
      .metadata_bytes = server.metadata_bytes(),
      .journal_bytes = server.journal != nullptr ? server.journal->file_bytes() : 0,
      .clients = server.counters.clients,
      .rank = server.topology.rank});
}

// Clients may ask any rank; rank 0 tells all.
Task<Answer> handle_stop(Server& server, const Caller&, wire::Stop request, Tail) {
  if (request.from_rank_0 == 0 && server.topology.rank != 0) {
    const auto passed = co_await server.ask(0, request);
    co_return passed.ok() ? Answer(wire::Nothing{}) : Answer(passed.error());
  }
  if (server.topology.rank == 0) {
    const wire::Stop message{.from_rank_0 = 1};
    for (std::uint32_t rank = 1; rank < server.topology.size; ++rank)
      server.loop.spawn(tell(server, rank, message));
  }
  server.on_stop();
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
