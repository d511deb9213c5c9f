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

}  // namespace benchfs
