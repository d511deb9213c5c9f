#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {

Task<Status> count_blocks(Server& server, std::uint64_t number) {
  const Inode* inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  const std::uint64_t size = inode->size;
  const std::int64_t modified = inode->modified;
  const wire::CountBlocks message{.inode = number, .size = size};
  const auto ranks = chunk_ranks(server, number, 0, size);
  const auto replies = co_await ask_all<wire::CountBlocksReply>(
      server, ranks, [&](std::uint32_t rank) { return server.ask(rank, message); });
  inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  std::uint64_t blocks = 0;
  for (const auto& reply : replies) {
    if (!reply.ok()) co_return Done{};
    blocks += reply->blocks;
  }
  if (inode->pages != Inode::pages_unknown || inode->size != size || inode->modified != modified)
    co_return Done{};
  const std::uint64_t pages = (blocks + 7) / 8;
  const bool dense = pages == wire::blocks_of(S_IFREG, size) / 8 || pages >= Inode::pages_unknown;
  server.names.change(*inode).pages =
      dense ? Inode::pages_dense : static_cast<std::uint32_t>(pages);
  co_return Done{};
}

Task<Answer> handle_count_blocks(Server& server, const Caller&, wire::CountBlocks request, Tail) {
  co_return Answer(
      wire::CountBlocksReply{.blocks = server.store.blocks(request.inode, request.size)});
}

}  // namespace benchfs
