// Parts of split directories, between servers; see daemon/metadata/partition.h.
#include <sys/stat.h>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

std::vector<std::uint32_t> homes_of(const std::vector<std::uint64_t>& parts) {
  std::vector<std::uint32_t> ranks;
  for (const std::uint64_t part : parts) ranks.push_back(home_rank(part));
  return ranks;
}

// No two parts of a directory are at one rank.
std::uint64_t part_at(const std::vector<std::uint64_t>& parts, std::uint32_t rank) {
  const auto found = std::ranges::find(parts, rank, home_rank);
  return found != parts.end() ? *found : 0;
}

}  // namespace

std::vector<std::uint64_t> parts_here(const Inode& directory) {
  std::vector<std::uint64_t> parts;
  if (!directory.is_directory() || directory.directory->parts() == 0) return parts;
  for (const Partition::Later& part : directory.directory->partition->later)
    parts.push_back(part.inode);
  return parts;
}

Task<Result<std::vector<std::uint64_t>>> parts_of(Server& server, std::uint64_t directory) {
  const wire::PartsOf question{.inode = directory};
  const auto body = wire::bytes_of(question);
  Caller self;
  self.host = server.topology.host();
  self.is_peer = true;
  const Answer answer =
      co_await server.ask_raw(home_rank(directory), wire::Op::parts_of, self, body, {}, {});
  if (answer.error != 0) co_return Error(answer.error);
  const auto head = wire::parse<wire::PartsOfReply>(answer.body);
  if (!head.ok()) co_return head.error();
  std::vector<std::uint64_t> parts(head->parts);
  if (answer.body.size() != sizeof *head + parts.size() * sizeof(std::uint64_t))
    co_return Error(EIO);
  std::memcpy(parts.data(), answer.body.data() + sizeof *head, answer.body.size() - sizeof *head);
  for (const std::uint64_t part : parts)
    if (!valid_inode(part, server.topology.size)) co_return Error(EIO);
  co_return parts;
}

Task<Result<wire::Attributes>> attributes_of_whole(Server& server, std::uint64_t number) {
  const Inode* inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  const std::vector<std::uint64_t> parts = parts_here(*inode);
  const auto replies =
      co_await ask_all<wire::PartStatusReply>(server, homes_of(parts), [&](std::uint32_t rank) {
        const wire::PartStatus question{.part = part_at(parts, rank)};
        return server.ask(rank, question);
      });
  inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  wire::Attributes attributes = attributes_of(*inode);
  for (const auto& reply : replies) {
    if (!reply.ok()) co_return reply.error();
    attributes.size += reply->entries * directory_entry_bytes;
    attributes.links += static_cast<std::uint32_t>(reply->subdirectories);
    if (inode->directory->partition != nullptr &&
        reply->modified > inode->directory->partition->times_set)
      attributes.modified = std::max(attributes.modified, reply->modified);
    attributes.changed = std::max(attributes.changed, reply->changed);
  }
  co_return attributes;
}

Task<Status> tell_parts(Server& server, std::uint64_t number, std::uint32_t mode, std::uint32_t uid,
                        std::uint32_t gid) {
  const Inode* const inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  const std::vector<std::uint64_t> parts = parts_here(*inode);
  const auto replies =
      co_await ask_all<wire::Nothing>(server, homes_of(parts), [&](std::uint32_t rank) {
        const wire::PartAttributes message{
            .part = part_at(parts, rank), .mode = mode, .uid = uid, .gid = gid, .reserved = 0};
        return server.ask(rank, message);
      });
  for (const auto& reply : replies)
    if (!reply.ok()) co_return reply.error();
  co_return Done{};
}

Task<Answer> handle_fill_part(Server& server, const Caller&, wire::FillPart request, Tail tail) {
  if (!valid_inode(request.directory, server.topology.size) || request.low >= request.high ||
      request.high > cookies_end || request.depth > Partition::depth_max || !S_ISDIR(request.mode))
    co_return Answer(Error(EBADMSG));
  const auto part = server.splitter.fill(request, tail);
  if (!part.ok()) co_return Answer(part.error());
  co_return Answer(wire::FillPartReply{.part = *part});
}

Task<Answer> handle_part_status(Server& server, const Caller&, wire::PartStatus request, Tail) {
  const Status decided = co_await wait_for_decision(server, request.part, {});
  if (!decided.ok()) co_return Answer(decided.error());
  const Inode* const inode = server.names.find(request.part);
  if (inode == nullptr || !inode->is_directory()) co_return Answer(Error(ENOENT));
  co_return Answer(wire::PartStatusReply{.entries = inode->directory->entries.size(),
                                         .subdirectories = inode->directory->subdirectories,
                                         .modified = inode->modified,
                                         .changed = inode->changed});
}

Task<Answer> handle_part_attributes(Server& server, const Caller&, wire::PartAttributes request,
                                    Tail) {
  Inode* const inode = server.names.change(request.part);
  if (inode == nullptr || !inode->is_directory()) co_return Answer(Error(ENOENT));
  inode->mode = S_IFDIR | (request.mode & 07777);
  inode->uid = request.uid;
  inode->gid = request.gid;
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_parts_of(Server& server, const Caller&, wire::PartsOf request, Tail) {
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  const auto parts = parts_here(*inode);
  Answer answer(wire::PartsOfReply{.parts = parts.size()});
  for (const std::uint64_t part : parts) answer.append(wire::bytes_of(part));
  if (answer.body.size() > wire::body_bytes_max) co_return Answer(Error(EMSGSIZE));
  co_return answer;
}

}  // namespace benchfs
