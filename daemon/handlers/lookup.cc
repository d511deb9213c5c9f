#include <dirent.h>
#include <sys/stat.h>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {

Task<Answer> handle_stat(Server& server, const Caller& caller, wire::Stat request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->open != nullptr) {
    const std::uint64_t number = inode->number;
    const Status known = co_await refresh(server, number, 0);
    if (!known.ok()) co_return Answer(known.error());
    inode = server.names.find(number);
  }
  if (inode->pages == Inode::pages_unknown) {
    const std::uint64_t number = inode->number;
    const Status counted = co_await count_blocks(server, number);
    if (!counted.ok()) co_return Answer(counted.error());
    inode = server.names.find(number);
  }
  co_return Answer(attributes_of(*inode));
}

Task<Answer> handle_resolve(Server& server, const Caller& caller, wire::Resolve request,
                            Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked& walked = std::get<Walked>(arrival);
  // The path ended in dots, perhaps at another rank, where only the way to here was left of it.
  if (walked.directory == nullptr) co_return Answer(Error(EBUSY));
  const auto path = wire::text(tail, 0, request.where.path_bytes);
  const auto consumed = static_cast<std::uint32_t>(walked.name.data() - path->data());
  co_return Answer(
      wire::ResolveReply{.inode = walked.directory->number, .consumed = consumed, .reserved = 0});
}

Task<Answer> handle_read_link(Server& server, const Caller& caller, wire::ReadLink request,
                              Tail tail) {
  request.where.flags &= ~std::uint32_t{wire::WhereFlag::follow};
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* const inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (!inode->is_symlink()) co_return Answer(Error(EINVAL));
  server.names.note_access(*inode);
  Answer answer(wire::Nothing{});
  answer.append(*inode->target);
  co_return answer;
}

Task<Answer> handle_list(Server& server, const Caller& caller, wire::List request, Tail) {
  const Status decided = co_await wait_for_decision(server, request.inode, {});
  if (!decided.ok()) co_return Answer(decided.error());
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  if (caller.passed != nullptr) caller.passed->push_back({.inode = inode->number, .name = {}});
  server.names.note_access(*inode);
  const auto& entries = inode->directory->entries;
  wire::ListReply head{.parent = inode->directory->parent, .entries = 0, .end = 1};
  Answer answer(head);
  auto it = entries.lower_bound(EntryKeyView{request.cookie, {}});
  for (; it != entries.end(); ++it) {
    const auto& [key, entry] = *it;
    if (answer.body.size() + sizeof(wire::ListEntry) + key.name.size() > wire::body_bytes_max) {
      head.end = 0;
      break;
    }
    const wire::ListEntry row{.cookie = key.cookie + 1,
                              .inode = entry.inode,
                              .type = static_cast<std::uint16_t>(IFTODT(entry.type)),
                              .name_bytes = static_cast<std::uint16_t>(key.name.size()),
                              .reserved = 0};
    answer.append(wire::bytes_of(row));
    answer.append(key.name);
    ++head.entries;
  }
  std::memcpy(answer.body.data(), &head, sizeof head);
  co_return answer;
}

Task<Answer> handle_name_of(Server& server, const Caller&, wire::NameOf request, Tail) {
  const Status decided = co_await wait_for_decision(server, request.inode, {});
  if (!decided.ok()) co_return Answer(decided.error());
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  Answer answer(wire::NameOfReply{.parent = inode->directory->parent});
  answer.append(inode->directory->name);
  co_return answer;
}

}  // namespace benchfs
