#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

// With the bytes, if the home cannot look at them itself.
Answer with_content(Server& server, std::uint32_t index, wire::HostSizeReply size) {
  const auto content = server.table.written_content(index);
  const auto bytes = content.first(std::min<std::size_t>(content.size(), size.size));
  size.content_bytes = bytes.size();
  Answer answer(size);
  answer.append(bytes);
  return answer;
}

}  // namespace

Task<Answer> handle_size(Server& server, const Caller&, wire::Size request, Tail) {
  const Status known = co_await refresh(server, request.inode, 0);
  if (!known.ok()) co_return Answer(known.error());
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  co_return Answer(wire::SizeReply{.size = inode->size, .modified = inode->modified});
}

Task<Answer> handle_truncate(Server& server, const Caller& caller, wire::Truncate request,
                             Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->is_directory()) co_return Answer(Error(EISDIR));
  if (inode->type() != S_IFREG) co_return Answer(Error(EINVAL));
  const bool by_name = (request.where.flags & wire::WhereFlag::opened) == 0;
  if (by_name && !permits(*inode, caller.uid, W_OK)) co_return Answer(Error(EACCES));
  if (caller.uid != 0 && privileges(*inode) != 0)
    server.names.change(*inode).mode &= ~privileges(*inode);
  const Status done = co_await set_size(server, inode->number, request.size);
  co_return done.ok() ? Answer(wire::Nothing{}) : Answer(done.error());
}

Task<Answer> handle_reserve(Server& server, const Caller&, wire::Reserve request, Tail) {
  if (request.bytes > wire::file_bytes_max) co_return Answer(Error(EFBIG));
  const Status known = co_await refresh(server, request.inode, 0);
  if (!known.ok()) co_return Answer(known.error());
  Inode* const inode = server.names.change(request.inode);
  if (inode == nullptr || inode->open == nullptr) co_return Answer(Error(ENOENT));
  std::uint64_t& end = inode->open->reserved_end;
  const std::uint64_t offset = std::max(inode->size, end);
  if (offset > wire::file_bytes_max - request.bytes) co_return Answer(Error(EFBIG));
  end = offset + request.bytes;
  co_return Answer(wire::ReserveReply{.offset = offset});
}

Task<Answer> handle_freeze(Server& server, const Caller&, wire::Freeze request, Tail) {
  const std::uint32_t index = server.table.find(server.self, request.inode, request.session);
  if (index == 0) co_return Answer(wire::HostSizeReply{});
  server.table.entries[index].frozen.store(1, std::memory_order_seq_cst);
  // Writers of a stopped program are waited for: a suspended process is not a failure.
  for (std::int64_t nap = 20'000; server.table.being_written(index);
       nap = std::min(nap * 2, std::int64_t{5'000'000}))
    co_await server.loop.sleep(nap);
  co_return with_content(server, index, host_size_here(server, request.inode, 0));
}

Task<Answer> handle_thaw(Server& server, const Caller&, wire::Thaw request, Tail) {
  server.table.thaw(server.self, request.inode, request.session, request.size, request.cut != 0,
                    request.to_chunks != 0);
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_host_size(Server& server, const Caller&, wire::HostSize request, Tail) {
  const auto size = host_size_here(server, request.inode, request.news);
  const std::uint32_t index = server.table.find(server.self, request.inode, 0);
  if (request.with_content == 0 || index == 0) co_return Answer(size);
  co_return with_content(server, index, size);
}

}  // namespace benchfs
