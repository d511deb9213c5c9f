#include <sys/stat.h>
#include <unistd.h>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

// The sticky rules need no look: every inode of an instance belongs to one user.
Status may_remove(const Walked& walked, const Caller& caller) {
  if (!permits(*walked.directory, caller.uid, W_OK | X_OK)) return Error(EACCES);
  return Done{};
}

// What the name holds; 0: nothing, or the directory is gone.
std::uint64_t entry_inode(Server& server, std::uint64_t parent, std::string_view name) {
  const Inode* const directory = server.names.find(parent);
  const Entry* const entry = directory == nullptr ? nullptr : server.names.entry(*directory, name);
  return entry == nullptr ? 0 : entry->inode;
}

}  // namespace

Task<Answer> handle_unlink(Server& server, const Caller& caller, wire::Unlink request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked walked = std::get<Walked>(arrival);
  if (walked.directory == nullptr) co_return Answer(Error(EISDIR));
  if (!walked.found) co_return Answer(Error(ENOENT));
  if (walked.entry.type == S_IFDIR) co_return Answer(Error(EISDIR));
  if (walked.wants_directory) co_return Answer(Error(ENOTDIR));
  const Status allowed = may_remove(walked, caller);
  if (!allowed.ok()) co_return Answer(allowed.error());
  const std::uint64_t number = walked.entry.inode;
  server.names.remove(*walked.directory, walked.name);
  if (walked.inode != nullptr) {
    Inode& inode = server.names.change(*walked.inode);
    --inode.links;
    inode.changed = now();
    remove_if_unused(server, inode);
    co_return Answer(wire::Nothing{});
  }
  const wire::Unreference less{.inode = number, .names = 1};
  const auto done = co_await server.ask(home_rank(number), less);
  co_return done.ok() ? Answer(wire::Nothing{}) : Answer(done.error());
}

Task<Answer> handle_unreference(Server& server, const Caller&, wire::Unreference request, Tail) {
  Inode* const inode = server.names.change(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->is_directory()) co_return Answer(Error(EPERM));
  if (request.names > 0 && inode->links < request.names) co_return Answer(Error(EINVAL));
  if (request.names < 0 && inode->links == 0) co_return Answer(Error(ENOENT));  // being removed
  inode->links = static_cast<std::uint32_t>(inode->links - request.names);
  inode->changed = now();
  const wire::Attributes attributes = attributes_of(*inode);
  remove_if_unused(server, *inode);
  co_return Answer(attributes);
}

Task<Answer> handle_remove_directory(Server& server, const Caller& caller,
                                     wire::RemoveDirectory request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked walked = std::get<Walked>(arrival);
  if (walked.directory == nullptr) {
    const auto path = wire::text(tail, 0, request.where.path_bytes);
    const bool dot = path->ends_with('.') && !path->ends_with("..");
    co_return Answer(Error(!walked.ended_in_dots ? EBUSY : dot ? EINVAL : ENOTEMPTY));
  }
  if (!walked.found) co_return Answer(Error(ENOENT));
  if (walked.entry.type != S_IFDIR) co_return Answer(Error(ENOTDIR));
  const Status allowed = may_remove(walked, caller);
  if (!allowed.ok()) co_return Answer(allowed.error());

  const std::uint64_t parent = walked.directory->number;
  const std::uint64_t number = walked.entry.inode;
  const std::string name(walked.name);
  const wire::KillDirectory kill{.inode = number};
  if (walked.inode != nullptr) {
    const Answer killed = co_await handle_kill_directory(server, caller, kill, {});
    if (killed.error == 0) server.names.remove(*walked.directory, name);
    co_return killed;
  }
  co_await server.names.lock(server.loop, parent, name);
  if (entry_inode(server, parent, name) != number) {  // renamed or removed while we waited
    server.names.unlock(parent, name);
    co_return Answer(Error(ENOENT));
  }
  const auto killed = co_await server.ask(home_rank(number), kill);
  if (killed.ok() && entry_inode(server, parent, name) == number)
    server.names.remove(*server.names.find(parent), name);
  server.names.unlock(parent, name);
  co_return killed.ok() ? Answer(wire::Nothing{}) : Answer(killed.error());
}

Task<Answer> handle_kill_directory(Server& server, const Caller&, wire::KillDirectory request,
                                   Tail) {
  const Inode* const inode = server.names.find(request.inode);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (!inode->is_directory()) co_return Answer(Error(ENOTDIR));
  if (inode->number == root_inode) co_return Answer(Error(EBUSY));
  if (!inode->directory->entries.empty()) co_return Answer(Error(ENOTEMPTY));
  server.names.erase(inode->number);  // whoever still holds the number gets ENOENT
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
