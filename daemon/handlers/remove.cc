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

}  // namespace

Task<Answer> handle_unlink(Server& server, const Caller& caller, wire::Unlink request, Tail tail) {
  for (;;) {
    Arrival arrival = co_await arrive(server, caller, request.where, tail, true, Intent::remove);
    if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
    const Walked walked = std::get<Walked>(arrival);
    if (walked.directory == nullptr) co_return Answer(Error(EISDIR));
    if (!walked.found) co_return Answer(Error(ENOENT));
    const bool is_directory = walked.entry.type == S_IFDIR;
    if (walked.wants_directory) co_return Answer(Error(is_directory ? EISDIR : ENOTDIR));
    const Status allowed = may_remove(walked, caller);
    if (!allowed.ok()) co_return Answer(allowed.error());
    if (is_directory) co_return Answer(Error(EISDIR));
    if (walked.inode != nullptr) {
      server.names.remove(*walked.directory, walked.name);
      Inode& inode = server.names.change(*walked.inode);
      --inode.links;
      inode.changed = now();
      remove_if_unused(server, inode);
      co_return Answer(wire::Nothing{});
    }
    Transaction change;
    change.kind = wire::TransactionKind::unlink;
    change.uid = caller.uid;
    const std::uint64_t number = walked.entry.inode;
    change.steps.push_back(set_entry(walked.directory->number, walked.name, number, {}));
    change.steps.push_back(add_links(number, -1));
    const Status agreed = co_await server.coordinator.prepare(change);
    if (agreed.ok()) {
      server.coordinator.commit(change, now());
      co_return Answer(wire::Nothing{});
    }
    if (!has_changed(agreed)) co_return Answer(agreed.error());
  }
}

Task<Answer> handle_remove_directory(Server& server, const Caller& caller,
                                     wire::RemoveDirectory request, Tail tail) {
  std::vector<std::uint64_t> parts;  // of a directory that was split
  for (;;) {
    Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
    if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
    const Walked walked = std::get<Walked>(arrival);
    if (walked.directory == nullptr) {
      const auto path = wire::text(tail, 0, request.where.path_bytes);
      const bool dot = path->ends_with('.') && !path->ends_with("..");
      co_return Answer(Error(!walked.ended_in_dots ? EBUSY : dot ? EINVAL : ENOTEMPTY));
    }
    if (!walked.found) co_return Answer(Error(ENOENT));
    const Status allowed = may_remove(walked, caller);
    if (!allowed.ok()) co_return Answer(allowed.error());
    if (walked.entry.type != S_IFDIR) co_return Answer(Error(ENOTDIR));
    Transaction change;
    change.kind = wire::TransactionKind::remove_directory;
    change.uid = caller.uid;
    const std::uint64_t number = walked.entry.inode;
    change.steps.push_back(set_entry(walked.directory->number, walked.name, number, {}));
    change.steps.push_back(remove_directory(number, parts.size()));
    for (const std::uint64_t part : parts) change.steps.push_back(remove_directory(part));
    const Status agreed = co_await server.coordinator.prepare(change);
    if (agreed.ok()) {
      server.coordinator.commit(change, now());
      co_return Answer(wire::Nothing{});
    }
    if (agreed.error().code() == EAGAIN && change.refused_step != 0) {
      auto known = co_await parts_of(server, number);
      if (known.ok()) parts = *std::move(known);
    }
    if (!has_changed(agreed)) co_return Answer(agreed.error());
  }
}

}  // namespace benchfs
