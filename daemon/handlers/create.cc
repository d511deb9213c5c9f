#include <sys/stat.h>
#include <unistd.h>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

// Whether a new name may be made where the walk arrived.
Status may_create(const Walked& walked, const Caller& caller) {
  if (walked.directory == nullptr) return Error(EEXIST);  // the root, "." or ".."
  if (walked.found) return Error(EEXIST);
  if (walked.directory->links == 0) return Error(ENOENT);  // being removed
  if (!permits(*walked.directory, caller.uid, W_OK | X_OK)) return Error(EACCES);
  return Done{};
}

std::uint32_t group_for(const Inode& directory, std::uint32_t gid) {
  return (directory.mode & S_ISGID) != 0 ? directory.gid : gid;
}

}  // namespace

Task<Answer> handle_make_directory(Server& server, const Caller& caller,
                                   wire::MakeDirectory request, Tail tail) {
  for (;;) {
    Arrival arrival = co_await arrive(server, caller, request.where, tail, true, Intent::create);
    if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
    const Walked walked = std::get<Walked>(arrival);
    const Status allowed = may_create(walked, caller);
    if (!allowed.ok()) co_return Answer(allowed.error());
    const std::uint64_t parent = walked.directory->directory->whole(walked.directory->number);
    std::uint32_t mode = S_IFDIR | (request.mode & 07777);
    if ((walked.directory->mode & S_ISGID) != 0) mode |= S_ISGID;
    const std::uint32_t gid = group_for(*walked.directory, request.gid);
    const std::uint32_t home = directory_rank(parent, walked.name, server.topology.size);
    if (home == server.topology.rank) {
      const auto made = server.names.make_directory(mode, server.owner, gid, parent, walked.name);
      if (!made.ok()) co_return Answer(made.error());
      server.names.insert(*walked.directory, walked.name, {(*made)->number, S_IFDIR});
      co_return Answer(attributes_of(**made));
    }
    Transaction change;
    change.kind = wire::TransactionKind::make_directory;
    change.uid = caller.uid;
    change.steps.push_back(set_entry(walked.directory->number, walked.name, 0, {}));
    change.steps.push_back(make_directory(home, parent, walked.name, mode, gid));
    const Status agreed = co_await server.coordinator.prepare(change);
    if (agreed.ok()) {
      change.steps[0].value = change.attributes.inode;
      change.steps[0].type = S_IFDIR;
      server.coordinator.commit(change, now());
      co_return Answer(change.attributes);
    }
    if (!has_changed(agreed)) co_return Answer(agreed.error());
  }
}

Task<Answer> handle_symlink(Server& server, const Caller& caller, wire::Symlink request,
                            Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true, Intent::create);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked walked = std::get<Walked>(arrival);
  const auto target = wire::text(tail, request.where.path_bytes, request.target_bytes);
  if (!target.ok()) co_return Answer(target.error());
  if (target->empty()) co_return Answer(Error(ENOENT));
  if (target->size() > wire::path_bytes_max) co_return Answer(Error(ENAMETOOLONG));
  const Status allowed = may_create(walked, caller);
  if (!allowed.ok()) co_return Answer(allowed.error());
  if (walked.wants_directory) co_return Answer(Error(ENOENT));
  const auto made =
      server.names.make(S_IFLNK | 0777, server.owner, group_for(*walked.directory, request.gid));
  if (!made.ok()) co_return Answer(made.error());
  (*made)->target = std::make_unique<std::string>(*target);
  server.names.insert(*walked.directory, walked.name, {(*made)->number, S_IFLNK});
  co_return Answer(attributes_of(**made));
}

Task<Answer> handle_link(Server& server, const Caller& caller, wire::Link request, Tail tail) {
  for (;;) {
    Arrival arrival = co_await arrive(server, caller, request.where, tail, true, Intent::create);
    if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
    const Walked walked = std::get<Walked>(arrival);
    const Status allowed = may_create(walked, caller);
    if (!allowed.ok()) co_return Answer(allowed.error());
    if (walked.wants_directory) co_return Answer(Error(ENOENT));
    if (!valid_inode(request.inode, server.topology.size) || request.type == S_IFDIR)
      co_return Answer(Error(EPERM));
    Transaction change;
    change.kind = wire::TransactionKind::link;
    change.uid = caller.uid;
    const Entry entry{.inode = request.inode, .type = request.type};
    change.steps.push_back(set_entry(walked.directory->number, walked.name, 0, entry));
    change.steps.push_back(add_links(request.inode, 1));
    const Status agreed = co_await server.coordinator.prepare(change);
    if (agreed.ok()) {
      change.steps[0].type = change.attributes.mode & S_IFMT;
      server.coordinator.commit(change, now());
      co_return Answer(wire::Nothing{});
    }
    if (!has_changed(agreed)) co_return Answer(agreed.error());
  }
}

}  // namespace benchfs
