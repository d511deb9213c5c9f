#include <dirent.h>
#include <sys/stat.h>

#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"
#include "daemon/handlers/open_state.h"

namespace benchfs {

Task<Answer> handle_stat(Server& server, const Caller& caller, wire::Stat request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, false);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Inode* inode = std::get<Walked>(arrival).inode;
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->is_directory() && inode->directory->parts() != 0) {
    const auto whole = co_await attributes_of_whole(server, inode->number);
    co_return whole.ok() ? Answer(*whole) : Answer(whole.error());
  }
  if (may_be_open(server, *inode)) {
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
  const std::uint64_t number = walked.directory->number;
  co_return Answer(wire::ResolveReply{.inode = number,
                                      .whole = walked.directory->directory->whole(number),
                                      .consumed = consumed,
                                      .reserved = 0});
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
  if (inode == nullptr || inode->is_removed()) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  if (caller.passed != nullptr) caller.passed->push_back({.inode = inode->number, .name = {}});
  if (!inode->directory->is_part()) server.names.note_access(*inode);
  const auto& entries = inode->directory->entries;
  const Partition* const partition = inode->directory->partition.get();
  wire::ListReply head{.parent = inode->directory->parent,
                       .entries = 0,
                       .end = 1,
                       .next = 0,
                       .next_cookie = request.cookie};
  if (partition != nullptr) head.next = partition->elsewhere(request.cookie).inode;
  if (head.next != 0) {
    head.end = 0;
    co_return Answer(head);
  }
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
  if (head.end != 0 && partition != nullptr && request.cookie < partition->high &&
      partition->high < cookies_end) {
    head.end = 0;
    head.next = partition->elsewhere(partition->high).inode;
    head.next_cookie = partition->high;
  }
  std::memcpy(answer.body.data(), &head, sizeof head);
  co_return answer;
}

Task<Answer> handle_name_of(Server& server, const Caller&, wire::NameOf request, Tail) {
  const Status decided = co_await wait_for_decision(server, request.inode, {});
  if (!decided.ok()) co_return Answer(decided.error());
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr || inode->is_removed()) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  const wire::NameOfReply head{.parent = inode->directory->parent,
                               .whole = inode->directory->whole(inode->number)};
  Answer answer(head);
  answer.append(inode->directory->name);
  co_return answer;
}

}  // namespace benchfs
