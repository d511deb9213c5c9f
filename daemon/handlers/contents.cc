// What becomes of the contents of small files beside opening, closing and truncating them.
#include <sys/stat.h>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"
#include "daemon/handlers/open_state.h"

namespace benchfs {

Task<Answer> handle_move_to_chunks(Server& server, const Caller&, wire::MoveToChunks request,
                                   Tail) {
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->type() != S_IFREG) co_return Answer(Error(EINVAL));
  const Status moved = co_await move_to_chunks(server, request.inode);
  co_return moved.ok() ? Answer(wire::Nothing{}) : Answer(moved.error());
}

// What a host of other servers wrote is in its memory alone until it closes the file.
Task<Answer> handle_sync_content(Server& server, const Caller&, wire::SyncContent request, Tail) {
  co_await open_state_known(server, request.inode);
  const Inode* const found = server.names.find(request.inode);
  if (found == nullptr) co_return Answer(Error(ENOENT));
  if (found->open == nullptr || !found->is_small()) co_return Answer(wire::Nothing{});
  const auto hosts = found->open->hosts;
  for (const OpenHost& known : hosts) {
    if (!known.writes) continue;
    const std::uint32_t host = known.host;
    const wire::HostSize message{.inode = request.inode, .news = 0, .with_content = 1};
    std::string content;
    const auto size = co_await server.ask(host, message, {}, &content);
    if (!size.ok()) co_return Answer(size.error());
    content.resize(std::min<std::size_t>(content.size(), size->content_bytes));
    Inode* const inode = server.names.change(request.inode);
    if (inode == nullptr) co_return Answer(Error(ENOENT));
    if (learn(server, *inode, host, *size) && !content.empty() &&
        !keep_content(server, *inode, content))
      co_return Answer(Error(ENOSPC));
  }
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
