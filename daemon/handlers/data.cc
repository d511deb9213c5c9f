#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

template <class Request>
Status check(const Server& server, const Caller& caller, const Request& request) {
  if (!valid_inode(request.inode, server.topology.size)) return Error(ESTALE);
  const std::uint64_t chunk_bytes = server.config.storage.chunk_size;
  if (request.offset > chunk_bytes || request.bytes > chunk_bytes - request.offset)
    return Error(EINVAL);
  if (request.bytes > caller.bulk.size()) return Error(EINVAL);
  if (stripe_rank(request.inode, request.chunk, server.topology.size) != server.topology.rank)
    return Error(ESTALE);
  return Done{};
}

}  // namespace

Task<Answer> handle_read_chunk(Server& server, const Caller& caller, wire::ReadChunk request,
                               Tail) {
  const Status fits = check(server, caller, request);
  if (!fits.ok()) co_return Answer(fits.error());
  const ChunkId id{.inode = request.inode, .index = request.chunk};
  const auto read =
      co_await server.store.read(id, request.offset, caller.bulk.first(request.bytes));
  if (!read.ok()) co_return Answer(read.error());
  co_return Answer(wire::ChunkReply{.bytes = *read});
}

Task<Answer> handle_write_chunk(Server& server, const Caller& caller, wire::WriteChunk request,
                                Tail) {
  const Status fits = check(server, caller, request);
  if (!fits.ok()) co_return Answer(fits.error());
  const ChunkId id{.inode = request.inode, .index = request.chunk};
  const auto written =
      co_await server.store.write(id, request.offset, caller.bulk.first(request.bytes));
  if (!written.ok()) co_return Answer(written.error());
  co_return Answer(wire::ChunkReply{.bytes = *written});
}

Task<Answer> handle_sync_chunks(Server& server, const Caller&, wire::SyncChunks request, Tail) {
  const Status done = co_await server.store.sync(request.inode, request.size);
  co_return done.ok() ? Answer(wire::Nothing{}) : Answer(done.error());
}

Task<Answer> handle_cut_chunks(Server& server, const Caller&, wire::CutChunks request, Tail) {
  const Status done = co_await server.store.cut(request.inode, request.size, request.known);
  co_return done.ok() ? Answer(wire::Nothing{}) : Answer(done.error());
}

}  // namespace benchfs
