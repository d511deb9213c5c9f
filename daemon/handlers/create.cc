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

// As it was before the wait for the name's lock?
Status still_free(Server& server, std::uint64_t parent, std::string_view name) {
  const Inode* const directory = server.names.find(parent);
  if (directory == nullptr || directory->links == 0) return Error(ENOENT);
  if (server.names.entry(*directory, name) != nullptr) return Error(EEXIST);
  return Done{};
}

std::uint32_t group_for(const Inode& directory, std::uint32_t gid) {
  return (directory.mode & S_ISGID) != 0 ? directory.gid : gid;
}

}  // namespace

Task<Answer> handle_make_directory(Server& server, const Caller& caller,
                                   wire::MakeDirectory request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked walked = std::get<Walked>(arrival);
  const Status allowed = may_create(walked, caller);
  if (!allowed.ok()) co_return Answer(allowed.error());
  const std::uint64_t parent = walked.directory->number;
  std::uint32_t mode = S_IFDIR | (request.mode & 07777);
  if ((walked.directory->mode & S_ISGID) != 0) mode |= S_ISGID;
  const std::uint32_t gid = group_for(*walked.directory, request.gid);
  const std::uint32_t home = directory_rank(parent, walked.name, server.topology.size);

  if (home == server.topology.rank) {
    const auto made = server.names.make_directory(mode, ::geteuid(), gid, parent, walked.name);
    if (!made.ok()) co_return Answer(made.error());
    server.names.insert(*walked.directory, walked.name, {(*made)->number, S_IFDIR});
    co_return Answer(attributes_of(**made));
  }
  const std::string name(walked.name);
  co_await server.names.lock(server.loop, parent, name);
  const Status still = still_free(server, parent, name);
  if (!still.ok()) {
    server.names.unlock(parent, name);
    co_return Answer(still.error());
  }
  const wire::AdoptDirectory adopt{.parent = parent,
                                   .name_bytes = static_cast<std::uint32_t>(name.size()),
                                   .mode = mode,
                                   .gid = gid,
                                   .reserved = 0};
  const auto made = co_await server.ask(home, adopt, name);
  const Inode* const directory = server.names.find(parent);  // it may have gone meanwhile
  Answer answer;
  if (!made.ok()) {
    answer = Answer(made.error());
  } else if (directory == nullptr || directory->links == 0) {
    const wire::KillDirectory kill{.inode = made->inode};
    co_await server.ask(home, kill);
    answer = Answer(Error(ENOENT));
  } else {
    server.names.insert(*directory, name, {made->inode, S_IFDIR});
    answer = Answer(*made);
  }
  server.names.unlock(parent, name);
  co_return answer;
}

Task<Answer> handle_adopt_directory(Server& server, const Caller&, wire::AdoptDirectory request,
                                    Tail tail) {
  const auto name = wire::text(tail, 0, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  const auto made = server.names.make_directory(S_IFDIR | (request.mode & 07777), ::geteuid(),
                                                request.gid, request.parent, *name);
  if (!made.ok()) co_return Answer(made.error());
  co_return Answer(attributes_of(**made));
}

Task<Answer> handle_symlink(Server& server, const Caller& caller, wire::Symlink request,
                            Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
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
      server.names.make(S_IFLNK | 0777, ::geteuid(), group_for(*walked.directory, request.gid));
  if (!made.ok()) co_return Answer(made.error());
  (*made)->target = std::make_unique<std::string>(*target);
  server.names.insert(*walked.directory, walked.name, {(*made)->number, S_IFLNK});
  co_return Answer(attributes_of(**made));
}

Task<Answer> handle_link(Server& server, const Caller& caller, wire::Link request, Tail tail) {
  Arrival arrival = co_await arrive(server, caller, request.where, tail, true);
  if (auto* answer = std::get_if<Answer>(&arrival)) co_return std::move(*answer);
  const Walked walked = std::get<Walked>(arrival);
  const Status allowed = may_create(walked, caller);
  if (!allowed.ok()) co_return Answer(allowed.error());
  if (walked.wants_directory) co_return Answer(Error(ENOENT));
  if (!valid_inode(request.inode, server.topology.size) || request.type == S_IFDIR)
    co_return Answer(Error(EPERM));
  const std::uint64_t parent = walked.directory->number;
  const std::string name(walked.name);
  co_await server.names.lock(server.loop, parent, name);
  const Status still = still_free(server, parent, name);
  if (!still.ok()) {
    server.names.unlock(parent, name);
    co_return Answer(still.error());
  }
  const wire::Unreference add{.inode = request.inode, .names = -1};
  const auto added = co_await server.ask(home_rank(request.inode), add);
  const Inode* const directory = server.names.find(parent);
  Answer answer(wire::Nothing{});
  if (!added.ok()) {
    answer = Answer(added.error());
  } else if (directory == nullptr || directory->links == 0) {
    const wire::Unreference undo{.inode = request.inode, .names = 1};
    co_await server.ask(home_rank(request.inode), undo);
    answer = Answer(Error(ENOENT));
  } else {
    server.names.insert(*directory, name, {request.inode, added->mode & S_IFMT});
  }
  server.names.unlock(parent, name);
  co_return answer;
}

}  // namespace benchfs
