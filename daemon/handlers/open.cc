#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"
#include "daemon/handlers/open_state.h"

namespace benchfs {
namespace {

constexpr std::uint32_t tmpfile_bit = O_TMPFILE & ~O_DIRECTORY;

std::uint32_t group_for(const Inode& directory, std::uint32_t gid) {
  return (directory.mode & S_ISGID) != 0 ? directory.gid : gid;
}

int wanted(std::uint32_t flags) {
  if ((flags & O_PATH) != 0) return 0;
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return (flags & O_TRUNC) != 0 ? R_OK | W_OK : R_OK;
    case O_WRONLY:
      return W_OK;
    default:
      return R_OK | W_OK;
  }
}

Status may_open(const Inode& inode, std::uint32_t uid, std::uint32_t flags) {
  if ((flags & O_DIRECTORY) != 0 && !inode.is_directory()) return Error(ENOTDIR);
  if (inode.is_symlink() && (flags & O_PATH) == 0) return Error(ELOOP);
  const int want = wanted(flags);
  if (inode.is_directory() && ((want & W_OK) != 0 || (flags & O_CREAT) != 0)) return Error(EISDIR);
  if (!permits(inode, uid, want)) return Error(EACCES);
  return Done{};
}

// Takes the one host that knew the size by itself its exactness, and learns the size.
Task<int> revoke_exact(Server& server, std::uint64_t number, OpenState& open) {
  const std::uint32_t host = open.exact_host;
  const wire::RevokeExact revoke{.inode = number, .session = session_of(server, number, host)};
  const auto told = co_await ask_open_host(server, host, revoke);
  const Inode* const inode = server.names.find(number);
  if (told.ok() && inode != nullptr) learn(server, *inode, host, *told);
  if (open.exact_host == host) open.exact_host = OpenState::nobody;
  co_return 0;
}

// A file that several hosts have open and one writes has its bytes in chunks, where all find them.
bool to_be_moved(const Inode& inode, std::uint32_t host, bool writes) {
  const OpenState& open = *inode.open;
  return inode.is_small() &&
         (open.written_elsewhere(host) || (writes && open.open_elsewhere(host)));
}

// Counts the open for the caller's host; one that may write may cost another host its exactness.
Task<Answer> grant(Server& server, std::uint64_t number, const Caller& caller, bool writes,
                   bool created) {
  const std::uint32_t host = caller.host;
  Inode* const inode = server.names.touch(number);
  if (inode == nullptr) co_return Answer(Error(ENOENT));
  if (inode->open == nullptr) inode->open = std::make_unique<OpenState>();
  OpenState* const open = inode->open.get();
  ++open->users;
  const auto costs_exactness = [&] {
    return writes && open->exact_host != OpenState::nobody && open->exact_host != host;
  };
  const auto in_the_way = [&](bool had_turn) {
    server.names.touch(number);  // not shown from here on, so that nobody opens it unasked
    if (!created) count_unasked(server, *inode);
    return server.surveys.under_way(host) || (!had_turn && open->mutex.locked()) ||
           costs_exactness() || to_be_moved(*inode, host, writes);
  };
  // Who has had the mutex goes on: it is handed over locked, so two who looked at it again would
  // wait for each other's turns for ever.
  bool had_turn = false;
  bool recalled = false;
  while (in_the_way(had_turn)) {
    co_await server.surveys.wait(server.loop, host);
    // Hosts that keep it though nobody there has it open any more give it up with their lease.
    if (writes && !std::exchange(recalled, true)) {
      server.names.change(number);
      co_await server.names.leases().settled(server.loop, wire::lease_key(number));
      continue;
    }
    co_await open_state_known(server, number);  // who is exact
    co_await open->mutex.lock(server.loop);     // a truncation must not meet half a grant
    Status moved = Done{};
    if (to_be_moved(*inode, host, writes)) moved = co_await move_to_chunks_locked(server, *inode);
    if (moved.ok() && costs_exactness()) co_await revoke_exact(server, number, *open);
    open->mutex.unlock();
    had_turn = true;
    if (!moved.ok()) {
      --open->users;
      close_if_unused(server, number);
      co_return Answer(moved.error());
    }
  }
  if (caller.is_peer && caller.leader != server.peers.incarnation(host)) {
    // Whoever asked is gone, and its successor has said what it holds: this is not counted, and if
    // the successor asks again, it is granted then.
    const Answer unheard(wire::OpenReply{.attributes = attributes_of(*inode),
                                         .session = 0,
                                         .tenure = 0,
                                         .exact = 0,
                                         .created = created ? 1u : 0u,
                                         .stored = in_chunks,
                                         .content_bytes = 0});
    --open->users;
    close_if_unused(server, number);
    co_return unheard;
  }
  auto known = std::ranges::find(open->hosts, host, &OpenHost::host);
  if (known == open->hosts.end()) {
    server.names.change_opens(number);
    const std::uint64_t session = ++server.next_session;
    open->hosts.push_back({.host = host, .opens = 0, .session = session, .tenure = session});
    known = open->hosts.end() - 1;
    if (open->exact_host == OpenState::nobody && !open->written()) open->exact_host = host;
  }
  if (writes && !known->writes) {
    known->writes = true;
    server.names.change(number);  // its size and times are the writers' from here on
  }
  ++known->opens;
  --open->users;
  wire::OpenReply reply{.attributes = attributes_of(*inode),
                        .session = known->session,
                        .tenure = known->tenure,
                        .exact = open->exact_host == host ? 1u : 0u,
                        .created = created ? 1u : 0u,
                        .stored = inode->stored,
                        .content_bytes = 0};
  if (host == server.topology.host()) co_return Answer(reply);
  const auto content = server.names.content(*inode);
  reply.content_bytes = static_cast<std::uint32_t>(content.size());
  Answer answer(reply);
  answer.append(content);
  co_return answer;
}

// O_TMPFILE: an inode that no name leads to, at home where the names of its directory are.
Task<Answer> open_unnamed(Server& server, const Caller& caller, wire::Open request,
                          const Inode& directory) {
  if (!directory.is_directory()) co_return Answer(Error(ENOTDIR));
  if ((request.flags & O_ACCMODE) == O_RDONLY) co_return Answer(Error(EINVAL));
  if (!permits(directory, caller.uid, W_OK | X_OK)) co_return Answer(Error(EACCES));
  const auto made = server.names.make(S_IFREG | (request.mode & 07777), server.owner,
                                      group_for(directory, request.gid));
  if (!made.ok()) co_return Answer(made.error());
  (*made)->links = 0;
  if ((request.flags & O_EXCL) == 0) (*made)->flags |= InodeFlag::unnamed;
  co_return co_await grant(server, (*made)->number, caller, true, true);
}

}  // namespace

Task<Answer> handle_open(Server& server, const Caller& caller, wire::Open request, Tail tail) {
  const bool create = (request.flags & O_CREAT) != 0;
  const bool exclusive = create && (request.flags & O_EXCL) != 0;
  const bool writes = (wanted(request.flags) & W_OK) != 0;
  if ((request.flags & O_NOFOLLOW) != 0 || exclusive)
    request.where.flags &= ~std::uint32_t{wire::WhereFlag::follow};
  // "name/" is never made, whatever is there.
  const auto path = wire::text(tail, 0, request.where.path_bytes);
  const bool slash = create && path.ok() && path->ends_with('/');
  const Intent intent = create ? Intent::create : Intent::look;
  Arrival arrival = co_await arrive(server, caller, request.where, tail, slash, intent);
  while (server.surveys.under_way(caller.host)) {  // so that nothing is made and then waits
    co_await server.surveys.wait(server.loop, caller.host);
    arrival = co_await arrive(server, caller, request.where, tail, slash, intent);
  }
  if (auto* answer = std::get_if<Answer>(&arrival)) {
    // A name whose inode is at home elsewhere exists, which is all that O_EXCL asks.
    if (exclusive && (answer->flags & wire::Flag::redirected) != 0) {
      const auto away = wire::parse<wire::Redirect>(answer->body);
      if (away.ok() && away->kind == wire::RedirectKind::moved &&
          path->substr(away->consumed).find_first_not_of('/') == std::string_view::npos)
        co_return Answer(Error(EEXIST));
    }
    co_return std::move(*answer);
  }
  const Walked walked = std::get<Walked>(arrival);
  if (slash) co_return Answer(Error(walked.directory == nullptr && exclusive ? EEXIST : EISDIR));
  if (walked.inode == nullptr) {
    if (!create) co_return Answer(Error(ENOENT));
    if (walked.directory->links == 0) co_return Answer(Error(ENOENT));
    if (!permits(*walked.directory, caller.uid, W_OK | X_OK)) co_return Answer(Error(EACCES));
    const auto made = server.names.make(S_IFREG | (request.mode & 07777), server.owner,
                                        group_for(*walked.directory, request.gid));
    if (!made.ok()) co_return Answer(made.error());
    server.names.insert(*walked.directory, walked.name, {(*made)->number, S_IFREG});
    co_return co_await grant(server, (*made)->number, caller, writes, true);
  }
  const Inode& inode = *walked.inode;
  if ((request.flags & tmpfile_bit) != 0)
    co_return co_await open_unnamed(server, caller, request, inode);
  if (exclusive && request.where.path_bytes != 0) co_return Answer(Error(EEXIST));
  const Status allowed = may_open(inode, caller.uid, request.flags);
  if (!allowed.ok()) co_return Answer(allowed.error());
  if (inode.is_directory())
    co_return Answer(wire::OpenReply{.attributes = attributes_of(inode),
                                     .session = 0,
                                     .tenure = 0,
                                     .exact = 0,
                                     .created = 0,
                                     .stored = in_chunks,
                                     .content_bytes = 0});
  const std::uint64_t number = inode.number;
  if ((request.flags & O_TRUNC) != 0 && (request.flags & O_PATH) == 0) {
    if (caller.uid != 0 && privileges(inode) != 0)
      server.names.change(inode).mode &= ~privileges(inode);
    const Status cut = co_await set_size(server, number, 0);
    if (!cut.ok()) co_return Answer(cut.error());
  }
  co_return co_await grant(server, number, caller, writes, false);
}

// Nobody has heard that it was counted: when its home or its host's leader began anew, and the host
// was asked what it holds, it was left out. So it is counted now, of the same file.
Task<Answer> open_again(Server& server, const Caller& caller, Tail body, Answer known) {
  const auto request = wire::parse<wire::Open>(body);
  const auto reply = wire::parse<wire::OpenReply>(known.body);
  if (!request.ok() || !reply.ok() || S_ISDIR(reply->attributes.mode)) co_return known;
  const bool writes = (wanted(request->flags) & W_OK) != 0;
  co_return co_await grant(server, reply->attributes.inode, caller, writes, reply->created != 0);
}

// What a host that is not this one wrote. Where no cell is free it goes to a chunk.
Task<Status> take_content(Server& server, std::uint64_t number, std::string content) {
  Inode& inode = *server.names.change(number);
  if (keep_content(server, inode, content)) co_return Done{};
  OpenState& open = *inode.open;
  ++open.users;
  co_await open.mutex.lock(server.loop);
  Status written = Done{};
  if (inode.is_small()) written = co_await write_first_chunk(server, number, std::move(content));
  if (written.ok()) {
    Inode& moved = *server.names.change(number);
    moved.stored = in_chunks;
    moved.flags &= ~std::uint32_t{InodeFlag::chunk_started};
  }
  open.mutex.unlock();
  --open.users;
  co_return written;
}

namespace {

// The opens of a host, if the release is of those.
OpenHost* released_opens(Inode* inode, std::uint32_t host, const wire::Release& release) {
  if (inode == nullptr || inode->open == nullptr) return nullptr;
  const auto known = std::ranges::find(inode->open->hosts, host, &OpenHost::host);
  const bool same = known != inode->open->hosts.end() && known->tenure == release.tenure;
  return same ? &*known : nullptr;
}

// What the host reached. False: of a session that is over.
bool learn_at_release(Server& server, Inode& inode, std::uint32_t host,
                      const wire::Release& release) {
  return learn(server, inode, host,
               {.session = release.session,
                .size = release.end,
                .modified = release.modified,
                .accessed = release.accessed,
                .flags = release.flags,
                .stored = release.stored,
                .content_bytes = 0});
}

wire::ReleaseReply end_opens(Server& server, Inode& inode, OpenHost& known,
                             const wire::Release& release) {
  known.opens -= std::min(known.opens, release.undone);
  const wire::ReleaseReply reply{.session = known.session,
                                 .opens = known.opens - std::min(known.opens, release.opens)};
  if (reply.opens != 0) return reply;
  OpenState& open = *inode.open;
  const std::uint32_t host = known.host;
  server.locks.drop_host(inode.number, host);
  server.names.closed(inode.number, host);
  if (open.exact_host == host) open.exact_host = OpenState::nobody;
  open.hosts.erase(open.hosts.begin() + (&known - open.hosts.data()));
  close_if_unused(server, inode.number);
  return reply;
}

// A client of the host read a file that it had opened unasked.
wire::ReleaseReply note_unasked(Server& server, std::uint32_t host, const wire::Release& release) {
  const Inode* const inode = server.names.find(release.inode);
  if (inode != nullptr && release.accessed > inode->accessed)
    server.names.change_access_of(release.inode, host)->accessed = release.accessed;
  return {.session = 0, .opens = 0};
}

}  // namespace

std::optional<wire::ReleaseReply> release_at_once(Server& server, std::uint32_t host,
                                                  const wire::Release& request) {
  if (request.tenure == 0) return note_unasked(server, host, request);
  if (server.surveys.under_way(host)) return std::nullopt;
  Inode* const inode = server.names.touch(request.inode);
  OpenHost* const known = released_opens(inode, host, request);
  if (known == nullptr) return wire::ReleaseReply{.session = request.session, .opens = 0};
  learn_at_release(server, *inode, host, request);
  return end_opens(server, *inode, *known, request);
}

Task<Answer> handle_release(Server& server, const Caller& caller, wire::Release request,
                            Tail tail) {
  if (request.tenure == 0) co_return Answer(note_unasked(server, caller.host, request));
  co_await server.surveys.wait(server.loop, caller.host);
  const Answer unknown(wire::ReleaseReply{.session = request.session, .opens = 0});
  Inode* inode = server.names.touch(request.inode);
  OpenHost* known = released_opens(inode, caller.host, request);
  if (known == nullptr) co_return unknown;
  const bool current = learn_at_release(server, *inode, caller.host, request);
  if (current && !tail.empty() && in_cell(request.stored) && known->writes && inode->is_small()) {
    const auto bytes = *wire::text(tail, 0, tail.size());
    const Status taken = co_await take_content(server, request.inode, std::string(bytes));
    if (!taken.ok()) co_return Answer(taken.error());  // the host keeps it, and counts
    inode = server.names.touch(request.inode);
    known = released_opens(inode, caller.host, request);
    if (known == nullptr) co_return unknown;
  }
  co_return Answer(end_opens(server, *inode, *known, request));
}

Task<Answer> handle_revoke_exact(Server& server, const Caller&, wire::RevokeExact request, Tail) {
  const std::uint32_t index = server.table.find(server.self, request.inode, request.session);
  if (index == 0) co_return Answer(wire::HostSizeReply{});
  SizeEntry& entry = server.table.entries[index];
  // Under the append lock, so that no appender still trusts the old word afterwards.
  for (std::int64_t nap = 20'000; !entry.append_lock.try_take(server.self);
       nap = std::min(nap * 2, std::int64_t{5'000'000}))
    co_await server.loop.sleep(nap);
  entry.exact.store(0, std::memory_order_seq_cst);
  entry.append_lock.unlock();
  co_return Answer(host_size_here(server, request.inode, 0));
}

}  // namespace benchfs
