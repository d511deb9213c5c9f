// Rename, in the server of the source directory: one change of both names, of what they led to and
// of what was in their way. Which steps that takes shows only when the names are read, so it is
// looked, prepared, and looked again when something had changed in between.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <optional>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

namespace benchfs {
namespace {

struct Side {
  std::uint64_t directory;
  std::string name;
  friend bool operator==(const Side&, const Side&) = default;
};

struct Renaming {
  Side from;
  Side to;
  std::uint32_t flags;
  std::uint32_t slashes;
  std::uint32_t uid;
  std::optional<Entry> target;              // what `to` was last seen to hold; inode 0: nothing
  std::vector<std::uint64_t> target_parts;  // if it is a directory that was split
  std::optional<std::uint64_t> ticket;

  bool exchanges() const { return (flags & RENAME_EXCHANGE) != 0; }
  bool changes_parent() const { return from.directory != to.directory; }
};

constexpr std::size_t target_step = 1;  // of plan()
constexpr int depth_max = 1 << 20;

// `directory` is `above`, or lies below it. Nobody else moves directories to other parents
// meanwhile: the caller has the ticket.
Task<Result<bool>> below(Server& server, std::uint64_t directory, std::uint64_t above) {
  for (int depth = 0; depth < depth_max; ++depth) {
    if (directory == above) co_return true;
    if (directory == root_inode) co_return false;
    const wire::NameOf question{.inode = directory};
    const auto reply = co_await server.ask(home_rank(directory), question);
    if (!reply.ok()) co_return reply.error();
    directory = reply->parent;
  }
  co_return Error(ELOOP);
}

// What Linux checks of the two names; EALREADY: there is nothing to do.
Status may_rename(const Renaming& r, Entry source, Entry target) {
  const bool source_slash = (r.slashes & wire::NameFlag::from_slash) != 0;
  const bool target_slash = (r.slashes & wire::NameFlag::to_slash) != 0;
  if (source.inode == 0) return Error(ENOENT);
  if ((r.flags & RENAME_NOREPLACE) != 0 && target.inode != 0) return Error(EEXIST);
  if (r.exchanges()) {
    if (target.inode == 0) return Error(ENOENT);
    if (target.type != S_IFDIR && target_slash) return Error(ENOTDIR);
  }
  if (source.type != S_IFDIR && (source_slash || (target_slash && !r.exchanges())))
    return Error(ENOTDIR);
  if (target.inode == source.inode) return Error(EALREADY);
  return Done{};
}

Task<Status> may_change(Server& server, std::uint64_t directory, std::uint32_t uid) {
  const wire::Stat question{.where = {.inode = directory, .path_bytes = 0, .flags = 0}};
  const auto attributes = co_await server.ask(home_rank(directory), question);
  if (!attributes.ok()) co_return attributes.error();
  constexpr std::uint32_t owner_may = S_IWUSR | S_IXUSR;
  if (uid != 0 && (attributes->mode & owner_may) != owner_may) co_return Error(EACCES);
  co_return Done{};
}

// A directory and something else would take each other's place. Linux looks first whether one lies
// in the other, then whether the directories may be changed.
Task<Error> types_differ(Server& server, const Renaming& r, Entry source, Entry target) {
  const bool is_directory = source.type == S_IFDIR;
  if (r.changes_parent()) {
    const std::uint64_t start = is_directory ? r.to.directory : r.from.directory;
    const std::uint64_t above = is_directory ? source.inode : target.inode;
    const auto inside = co_await below(server, start, above);
    if (!inside.ok()) co_return inside.error();
    if (*inside) co_return Error(is_directory ? EINVAL : ENOTEMPTY);
  }
  for (const std::uint64_t directory : {r.from.directory, r.to.directory}) {
    const Status allowed = co_await may_change(server, directory, r.uid);
    if (!allowed.ok()) co_return allowed.error();
  }
  co_return Error(is_directory ? ENOTDIR : EISDIR);
}

// No directory may come to lie below itself.
Task<Status> may_move(Server& server, const Renaming& r, Entry source, Entry target) {
  if (source.type == S_IFDIR) {
    const auto inside = co_await below(server, r.to.directory, source.inode);
    if (!inside.ok()) co_return inside.error();
    if (*inside) co_return Error(EINVAL);
  }
  if (r.exchanges() && target.type == S_IFDIR) {
    const auto inside = co_await below(server, r.from.directory, target.inode);
    if (!inside.ok()) co_return inside.error();
    if (*inside) co_return Error(EINVAL);
  }
  co_return Done{};
}

wire::TransactionKind kind_of(const Renaming& r, Entry source, Entry target) {
  using enum wire::TransactionKind;
  if (r.exchanges()) return exchange;
  if (target.inode != 0) return target.type == S_IFDIR ? replace_directory : replace_file;
  return source.type == S_IFDIR ? rename_directory : rename_file;
}

// A moved inode's time changes, and a directory's parent and name.
Step moved(Entry entry, std::uint64_t parent, const std::string& name) {
  return entry.type == S_IFDIR ? move_directory(entry.inode, parent, name)
                               : add_links(entry.inode, 0);
}

// Which directory a directory inode is, or is a part of.
struct Parents {
  std::uint64_t from;
  std::uint64_t to;
};

std::vector<Step> plan(const Renaming& r, const Parents& parents, Entry source, Entry target) {
  const Entry left_behind = r.exchanges() ? target : Entry{.inode = 0, .type = 0};
  std::vector<Step> steps;
  steps.push_back(set_entry(r.from.directory, r.from.name, source.inode, left_behind));
  steps.push_back(set_entry(r.to.directory, r.to.name, target.inode, source));
  steps.push_back(moved(source, parents.to, r.to.name));
  if (target.inode == 0) return steps;
  if (r.exchanges())
    steps.push_back(moved(target, parents.from, r.from.name));
  else if (target.type == S_IFDIR) {
    steps.push_back(remove_directory(target.inode, r.target_parts.size()));
    for (const std::uint64_t part : r.target_parts) steps.push_back(remove_directory(part));
  } else
    steps.push_back(add_links(target.inode, -1));
  return steps;
}

// Of a directory at home here.
Task<Result<Entry>> read_entry(Server& server, const Side& side) {
  const Status decided = co_await wait_for_decision(server, side.directory, side.name);
  if (!decided.ok()) co_return decided.error();
  const Inode* const directory = server.names.find(side.directory);
  if (directory == nullptr) co_return Error(ENOENT);
  if (!directory->is_directory()) co_return Error(ENOTDIR);
  if (!directory->directory->has_place_for(side.directory, side.name)) co_return Error(ESTALE);
  const Entry* const entry = server.names.entry(*directory, side.name);
  co_return entry != nullptr ? *entry : Entry{.inode = 0, .type = 0};
}

Task<Result<std::uint64_t>> whole_of(Server& server, std::uint64_t directory) {
  const wire::NameOf question{.inode = directory};
  const auto reply = co_await server.ask(home_rank(directory), question);
  if (!reply.ok()) co_return reply.error();
  co_return reply->whole;
}

// What a name at another rank holds, by an expectation that cannot be met.
Task<Status> look_at_target(Server& server, Renaming& r) {
  Transaction question;
  question.kind = wire::TransactionKind::exchange;
  question.uid = r.uid;
  question.steps.push_back(set_entry(r.to.directory, r.to.name, UINT64_MAX, {}));
  const Status refused = co_await server.coordinator.prepare(question);
  assert(!refused.ok());
  if (refused.error().code() != EAGAIN) co_return refused.error();
  r.target = question.found;
  co_return Done{};
}

// Why the names must not change, unless the first reason is that the target's is taken.
Task<Error> unless_taken(Server& server, Renaming& r, Error error) {
  if ((r.flags & RENAME_NOREPLACE) == 0 || r.target.has_value()) co_return error;
  const Status looked = co_await look_at_target(server, r);
  if (!looked.ok()) co_return looked.error();
  co_return r.target->inode != 0 ? Error(EEXIST) : error;
}

// One attempt. EAGAIN: something had changed, look again.
Task<Status> attempt(Server& server, Renaming& r) {
  if (home_rank(r.to.directory) == server.topology.rank) {
    const auto target = co_await read_entry(server, r.to);
    if (!target.ok()) co_return target.error();
    r.target = *target;
  } else if (r.exchanges() && !r.target.has_value()) {
    const Status looked = co_await look_at_target(server, r);
    if (!looked.ok()) co_return looked.error();
  }
  const auto read = co_await read_entry(server, r.from);
  if (!read.ok()) co_return read.error();
  const Entry source = *read;
  const Entry target = r.target.value_or(Entry{.inode = 0, .type = 0});  // a guess: mostly so
  const Status allowed = may_rename(r, source, target);
  if (!allowed.ok() && source.inode == 0) co_return allowed.error();
  if (!allowed.ok()) co_return co_await unless_taken(server, r, allowed.error());
  if (target.inode != 0 && !r.exchanges() && (source.type == S_IFDIR) != (target.type == S_IFDIR))
    co_return co_await types_differ(server, r, source, target);
  const bool moves_directory = source.type == S_IFDIR || (r.exchanges() && target.type == S_IFDIR);
  if (moves_directory && r.changes_parent()) {
    if (!r.ticket.has_value()) {
      const auto ticket = co_await server.rename_ticket.take();
      if (!ticket.ok()) co_return ticket.error();
      r.ticket = *ticket;
      co_return Error(EAGAIN);  // what the names hold may have changed meanwhile
    }
    const Status fits = co_await may_move(server, r, source, target);
    if (!fits.ok()) co_return co_await unless_taken(server, r, fits.error());
  }
  Parents parents{.from = r.from.directory, .to = r.to.directory};
  if (moves_directory) {
    const auto from = co_await whole_of(server, r.from.directory);
    if (!from.ok()) co_return from.error();
    const auto to = co_await whole_of(server, r.to.directory);
    if (!to.ok()) co_return to.error();
    parents = {.from = *from, .to = *to};
  }
  Transaction change;
  change.kind = kind_of(r, source, target);
  change.uid = r.uid;
  change.steps = plan(r, parents, source, target);
  const Status agreed = co_await server.coordinator.prepare(change);
  if (agreed.ok()) {
    server.coordinator.commit(change, now());
    co_return Done{};
  }
  if (agreed.error().code() == EAGAIN && change.refused_step == target_step)
    r.target = change.found;
  if (agreed.error().code() == EAGAIN && change.refused_step > target_step) {
    auto parts = co_await parts_of(server, target.inode);
    if (parts.ok()) r.target_parts = *std::move(parts);
  }
  co_return agreed.error();
}

Status check_names(const Server& server, const wire::Rename& request, std::string_view from,
                   std::string_view to) {
  if (!valid_inode(request.from_directory, server.topology.size) ||
      !valid_inode(request.to_directory, server.topology.size))
    return Error(ESTALE);
  for (const std::string_view name : {from, to}) {
    if (name.empty() || name == "." || name == "..") return Error(EBUSY);
    if (name.find('/') != std::string_view::npos) return Error(EINVAL);
  }
  if (from.size() > wire::name_bytes_max) return Error(ENAMETOOLONG);
  constexpr std::uint32_t known = RENAME_NOREPLACE | RENAME_EXCHANGE;
  if ((request.flags & ~known) != 0 || request.flags == known) return Error(EINVAL);
  return Done{};
}

}  // namespace

Task<Answer> handle_rename(Server& server, const Caller& caller, wire::Rename request, Tail tail) {
  const auto from_name = wire::text(tail, 0, request.from_bytes);
  const auto to_name = wire::text(tail, request.from_bytes, request.to_bytes);
  if (!from_name.ok() || !to_name.ok()) co_return Answer(Error(EBADMSG));
  const Status sensible = check_names(server, request, *from_name, *to_name);
  if (!sensible.ok()) co_return Answer(sensible.error());
  Renaming renaming;
  renaming.from = {request.from_directory, std::string(*from_name)};
  renaming.to = {request.to_directory, std::string(*to_name)};
  renaming.flags = request.flags;
  renaming.slashes = request.slashes;
  renaming.uid = caller.uid;
  if (to_name->size() > wire::name_bytes_max) {  // the source is looked up before it
    const auto source = co_await read_entry(server, renaming.from);
    if (!source.ok()) co_return Answer(source.error());
    co_return Answer(Error(source->inode == 0 ? ENOENT : ENAMETOOLONG));
  }
  Status done = co_await attempt(server, renaming);
  while (!done.ok() && done.error().code() == EAGAIN) done = co_await attempt(server, renaming);
  if (renaming.ticket.has_value()) server.rename_ticket.give(*renaming.ticket);
  if (done.ok() || done.error().code() == EALREADY) co_return Answer(wire::Nothing{});
  Answer answer(done.error());
  if (done.error().code() == ESTALE) {  // one of the directories was split: resolve again
    const wire::Redirect away{
        .inode = request.from_directory, .consumed = 0, .kind = wire::RedirectKind::moved};
    answer = Answer(away);
    answer.flags = wire::Flag::redirected;
  }
  co_return answer;
}

}  // namespace benchfs
