// Rename, in the server of the source directory. The target name is prepared (locked) at its own
// server, both are changed while locked, so no look-up sees both names or none. Names are locked in
// the order (rank, directory, name); renames of directories run one at a time under rank 0's
// ticket.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tuple>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

namespace benchfs {
namespace {

struct Side {
  std::uint64_t directory;
  std::string name;
  auto order() const { return std::tuple(home_rank(directory), directory, std::string_view(name)); }
};

// Locks the entry where it lives, this rank or another, and says what it holds.
Task<Result<Entry>> prepare(Server& server, const Side& side) {
  const wire::PrepareEntry request{.directory = side.directory, .name_bytes = side.name.size()};
  const auto reply = co_await server.ask(home_rank(side.directory), request, side.name);
  if (!reply.ok()) co_return reply.error();
  co_return Entry{.inode = reply->inode, .type = reply->type};
}

Task<Status> commit(Server& server, const Side& side, Entry entry) {
  const wire::CommitEntry request{.directory = side.directory,
                                  .inode = entry.inode,
                                  .type = entry.type,
                                  .name_bytes = static_cast<std::uint32_t>(side.name.size())};
  const auto reply = co_await server.ask(home_rank(side.directory), request, side.name);
  if (!reply.ok()) co_return reply.error();
  co_return Done{};
}

Task<int> abandon(Server& server, const Side& side) {
  const wire::AbortEntry request{.directory = side.directory, .name_bytes = side.name.size()};
  co_await server.ask(home_rank(side.directory), request, side.name);
  co_return 0;
}

// EINVAL when `directory` lies in the tree below `above`, or is it.
Task<Status> not_below(Server& server, std::uint64_t directory, std::uint64_t above) {
  for (int depth = 0; depth < 4096 && directory != root_inode; ++depth) {
    if (directory == above) co_return Error(EINVAL);
    const wire::NameOf question{.inode = directory};
    const auto reply = co_await server.ask(home_rank(directory), question);
    if (!reply.ok()) co_return reply.error();
    directory = reply->parent;
  }
  co_return Done{};
}

// Both names are locked; `source` is what is to move, `target` what is in its way.
Task<Status> place(Server& server, const Side& to, Entry source, Entry target,
                   std::uint32_t flags) {
  if (source.inode == 0) co_return Error(ENOENT);
  if (target.inode != 0) {
    if ((flags & RENAME_NOREPLACE) != 0) co_return Error(EEXIST);
    if (target.inode == source.inode) co_return Error(EALREADY);  // two names of one file: nothing
    if (target.type == S_IFDIR && source.type != S_IFDIR) co_return Error(EISDIR);
    if (target.type != S_IFDIR && source.type == S_IFDIR) co_return Error(ENOTDIR);
  }
  if (source.type == S_IFDIR) {
    const Status fits = co_await not_below(server, to.directory, source.inode);
    if (!fits.ok()) co_return fits.error();
  }
  if (target.inode != 0 && target.type == S_IFDIR) {
    const wire::KillDirectory kill{.inode = target.inode};
    const auto killed = co_await server.ask(home_rank(target.inode), kill);
    if (!killed.ok()) co_return killed.error();
  }
  const Status placed = co_await commit(server, to, source);
  if (!placed.ok()) co_return placed.error();
  if (source.type == S_IFDIR) {
    const wire::MoveDirectory move{
        .inode = source.inode, .parent = to.directory, .name_bytes = to.name.size()};
    co_await server.ask(home_rank(source.inode), move, to.name);
  }
  if (target.inode != 0 && target.type != S_IFDIR) {
    const wire::Unreference less{.inode = target.inode, .names = 1};
    co_await server.ask(home_rank(target.inode), less);
  }
  co_return Done{};
}

Task<Status> rename_locked(Server& server, const Side& from, const Side& to, std::uint32_t flags) {
  const bool target_first = to.order() < from.order();
  const Side& first = target_first ? to : from;
  const Side& second = target_first ? from : to;
  const auto one = co_await prepare(server, first);
  if (!one.ok()) co_return one.error();
  const auto two = co_await prepare(server, second);
  if (!two.ok()) {
    co_await abandon(server, first);
    co_return two.error();
  }
  const Entry source = target_first ? *two : *one;
  const Entry target = target_first ? *one : *two;
  const Status done = co_await place(server, to, source, target, flags);
  if (!done.ok()) {
    co_await abandon(server, to);
    co_await abandon(server, from);
    if (done.error().code() == EALREADY) co_return Done{};
    co_return done.error();
  }
  co_return co_await commit(server, from, Entry{.inode = 0, .type = 0});
}

}  // namespace

Task<Answer> handle_rename(Server& server, const Caller& caller, wire::Rename request, Tail tail) {
  const auto from_name = wire::text(tail, 0, request.from_bytes);
  const auto to_name = wire::text(tail, request.from_bytes, request.to_bytes);
  if (!from_name.ok() || !to_name.ok()) co_return Answer(Error(EBADMSG));
  if (!valid_inode(request.from_directory, server.topology.size) ||
      !valid_inode(request.to_directory, server.topology.size))
    co_return Answer(Error(ESTALE));
  for (const std::string_view name : {*from_name, *to_name}) {
    if (name.empty() || name == "." || name == "..") co_return Answer(Error(EBUSY));
    if (name.find('/') != std::string_view::npos) co_return Answer(Error(EINVAL));
    if (name.size() > wire::name_bytes_max) co_return Answer(Error(ENAMETOOLONG));
  }
  if ((request.flags & ~std::uint32_t{RENAME_NOREPLACE}) != 0) co_return Answer(Error(EINVAL));
  const Inode* const directory = server.names.find(request.from_directory);
  if (directory == nullptr) co_return Answer(Error(ENOENT));
  if (!directory->is_directory()) co_return Answer(Error(ENOTDIR));
  if (!permits(*directory, caller.uid, W_OK | X_OK)) co_return Answer(Error(EACCES));
  const Side from{request.from_directory, std::string(*from_name)};
  const Side to{request.to_directory, std::string(*to_name)};
  const Entry* const entry = server.names.entry(*directory, from.name);
  if (entry == nullptr && !server.names.locks().locked(from.directory, from.name))
    co_return Answer(Error(ENOENT));
  if (from.order() == to.order()) {
    if ((request.flags & RENAME_NOREPLACE) != 0) co_return Answer(Error(EEXIST));
    co_return Answer(wire::Nothing{});
  }
  const bool moves_directory = entry != nullptr && entry->type == S_IFDIR;
  const wire::RenameTicket take{.taking = 1};
  const wire::RenameTicket give{.taking = 0};
  if (moves_directory) {
    const auto taken = co_await server.ask(0, take);
    if (!taken.ok()) co_return Answer(taken.error());
  }
  const Status done = co_await rename_locked(server, from, to, request.flags);
  if (moves_directory) co_await server.ask(0, give);
  co_return done.ok() ? Answer(wire::Nothing{}) : Answer(done.error());
}

Task<Answer> handle_prepare_entry(Server& server, const Caller&, wire::PrepareEntry request,
                                  Tail tail) {
  const auto name = wire::text(tail, 0, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  const std::string key(*name);
  co_await server.names.lock(server.loop, request.directory, key);
  const Inode* const directory = server.names.find(request.directory);
  if (directory == nullptr || !directory->is_directory()) {
    server.names.unlock(request.directory, key);
    co_return Answer(Error(directory == nullptr ? ENOENT : ENOTDIR));
  }
  const Entry* const entry = server.names.entry(*directory, key);
  if (entry == nullptr) co_return Answer(wire::PrepareReply{.inode = 0, .type = 0, .reserved = 0});
  co_return Answer(wire::PrepareReply{.inode = entry->inode, .type = entry->type, .reserved = 0});
}

Task<Answer> handle_commit_entry(Server& server, const Caller&, wire::CommitEntry request,
                                 Tail tail) {
  const auto name = wire::text(tail, 0, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  if (!server.names.locks().locked(request.directory, *name)) co_return Answer(Error(EINVAL));
  const Inode* const directory = server.names.find(request.directory);
  if (directory == nullptr || !directory->is_directory()) co_return Answer(Error(ENOENT));
  if (request.inode == 0)
    server.names.remove(*directory, *name);
  else
    server.names.replace(*directory, *name, {request.inode, request.type});
  server.names.unlock(request.directory, *name);
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_abort_entry(Server& server, const Caller&, wire::AbortEntry request,
                                Tail tail) {
  const auto name = wire::text(tail, 0, request.name_bytes);
  if (!name.ok()) co_return Answer(name.error());
  if (server.names.locks().locked(request.directory, *name))
    server.names.unlock(request.directory, *name);
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_move_directory(Server& server, const Caller&, wire::MoveDirectory request,
                                   Tail tail) {
  const auto name = wire::text(tail, 0, request.name_bytes);
  Inode* const inode = server.names.change(request.inode);
  if (!name.ok()) co_return Answer(name.error());
  if (inode == nullptr || !inode->is_directory()) co_return Answer(Error(ENOENT));
  inode->directory->parent = request.parent;
  inode->directory->name = *name;
  inode->changed = now();
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_rename_ticket(Server& server, const Caller&, wire::RenameTicket request, Tail) {
  if (server.topology.rank != 0) co_return Answer(Error(EINVAL));
  if (request.taking != 0) {
    co_await server.rename_ticket.lock(server.loop);
  } else if (server.rename_ticket.locked()) {
    server.rename_ticket.unlock();
  }
  co_return Answer(wire::Nothing{});
}

}  // namespace benchfs
