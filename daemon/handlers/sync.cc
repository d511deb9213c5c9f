// fsync of all but chunks: what of an inode only its writers know comes home, then the journal goes
// to its device.
#include <algorithm>
#include <string>
#include <vector>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

// What a host of other servers wrote into a small file is in its memory alone until it closes it.
Task<Status> fetch_content(Server& server, std::uint64_t number) {
  const Inode* const found = server.names.find(number);
  if (found == nullptr) co_return Error(ENOENT);
  if (found->open == nullptr || !found->is_small()) co_return Done{};
  const auto hosts = found->open->hosts;
  for (const OpenHost& known : hosts) {
    if (!known.writes) continue;
    const std::uint32_t host = known.host;
    const wire::HostSize message{.inode = number, .news = 0, .with_content = 1};
    std::string content;
    const auto size = co_await server.ask(host, message, {}, &content);
    if (!size.ok()) co_return size.error();
    content.resize(std::min<std::size_t>(content.size(), size->content_bytes));
    Inode* const inode = server.names.change(number);
    if (inode == nullptr) co_return Error(ENOENT);
    if (learn(server, *inode, host, *size) && !content.empty() &&
        !keep_content(server, *inode, content))
      co_return Error(ENOSPC);
  }
  co_return Done{};
}

Task<Status> sync_parts(Server& server, std::vector<std::uint64_t> parts) {
  std::vector<std::uint32_t> ranks;
  for (const std::uint64_t part : parts) ranks.push_back(home_rank(part));
  const auto replies = co_await ask_all<wire::Nothing>(server, ranks, [&](std::uint32_t rank) {
    const wire::SyncInode message{.inode = *std::ranges::find(parts, rank, home_rank)};
    return server.ask(rank, message);
  });
  for (const auto& reply : replies)
    if (!reply.ok()) co_return reply.error();
  co_return Done{};
}

}  // namespace

Task<Answer> handle_sync_inode(Server& server, const Caller&, wire::SyncInode request, Tail) {
  Status known = co_await refresh(server, request.inode, 0);
  if (known.ok()) known = co_await fetch_content(server, request.inode);
  // That it is gone, a directory that somebody has open, is in the journal as well.
  if (!known.ok() && known.error().code() != ENOENT) co_return Answer(known.error());
  server.commit();
  if (server.journal != nullptr) {
    const Status on_device = co_await server.journal->on_device();
    if (!on_device.ok()) co_return Answer(on_device.error());
  }
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(wire::Nothing{});
  const Status parts = co_await sync_parts(server, parts_here(*inode));
  co_return parts.ok() ? Answer(wire::Nothing{}) : Answer(parts.error());
}

}  // namespace benchfs
