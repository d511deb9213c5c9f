#include "daemon/handlers/common.h"

#include <algorithm>
#include <optional>

#include "common/log.h"
#include "common/placement.h"
#include "daemon/handlers/open_state.h"

namespace benchfs {
namespace {

Answer redirect(const wire::Redirect& where, std::string_view target) {
  Answer answer(where);
  answer.append(target);
  answer.flags = wire::Flag::redirected;
  return answer;
}

// Between these two the OpenState stays, whatever hosts close meanwhile.
OpenState& begin_use(Inode& inode) {
  if (inode.open == nullptr) inode.open = std::make_unique<OpenState>();
  ++inode.open->users;
  return *inode.open;
}
void end_use(Inode& inode) {
  if (--inode.open->users == 0 && inode.open->hosts.empty()) inode.open.reset();
}

std::vector<std::uint32_t> open_hosts(const Inode& inode, bool all = true) {
  std::vector<std::uint32_t> hosts;
  if (inode.open == nullptr) return hosts;
  for (const OpenHost& host : inode.open->hosts)
    if (all || host.writes) hosts.push_back(host.host);
  return hosts;
}

Task<Status> cut(Server& server, std::uint64_t inode, std::uint64_t size, std::uint64_t known) {
  const wire::CutChunks message{.inode = inode, .size = size, .known = known};
  const auto ranks = chunk_ranks(server, inode, size, known);
  const auto replies = co_await ask_all<wire::Nothing>(
      server, ranks, [&](std::uint32_t rank) { return server.ask(rank, message); });
  for (const auto& reply : replies)
    if (!reply.ok()) co_return reply.error();
  co_return Done{};
}

// Its first question would make count what the caller has changed so far: it waits until that is
// whole and answered.
Task<int> cut_in_background(Server& server, std::uint64_t inode, std::uint64_t known) {
  ++server.removals;
  co_await server.loop.later();
  const Status status = co_await cut(server, inode, 0, known);
  --server.removals;
  if (status.ok())
    server.names.cut_done(inode);
  else
    log::warn("chunks of removed inode {} stay until the end: {}", inode, status.error());
  co_return 0;
}

}  // namespace

std::vector<std::uint32_t> chunk_ranks(const Server& server, std::uint64_t inode,
                                       std::uint64_t from, std::uint64_t to) {
  const std::uint64_t chunk_bytes = server.config.storage.chunk_size;
  const std::uint64_t first = from / chunk_bytes;
  const std::uint64_t last = (to + chunk_bytes - 1) / chunk_bytes;
  const std::uint32_t size = server.topology.size;
  std::vector<std::uint32_t> ranks;
  for (std::uint64_t k = first; k < last && ranks.size() < size; ++k)
    ranks.push_back(stripe_rank(inode, k, size));
  return ranks;
}

Task<Arrival> arrive(Server& server, const Caller& caller, wire::Where where,
                     std::span<const std::byte> tail, bool to_name, Intent intent) {
  const auto path = wire::text(tail, 0, where.path_bytes);
  if (!path.ok()) co_return Answer(path.error());
  if (path->size() > wire::path_bytes_max * 2) co_return Answer(Error(ENAMETOOLONG));
  std::optional<WalkedOntoLock> turn;
  for (;;) {
    Walk walk = server.names.walk(where, *path, caller.uid, to_name,
                                  turn.has_value() ? &*turn : nullptr, caller.passed);
    // Given up before the answer is used, but nobody else runs before the next suspension: not who
    // is handed the lock now, either.
    const auto had = std::move(turn);
    turn.reset();
    if (had.has_value()) server.names.unlock(had->directory, had->name);
    if (const auto* walked = std::get_if<Walked>(&walk)) {
      if (intent != Intent::create && !walked->found && walked->directory != nullptr)
        server.names.show_missing(*walked->directory, walked->name);
      const bool changes = intent == Intent::create ? !walked->found : walked->found;
      if (intent == Intent::look || walked->directory == nullptr || !changes) co_return *walked;
      const std::uint64_t directory = walked->directory->number;
      const bool ours = had.has_value() && had->directory == directory && had->name.empty();
      if (ours || !server.names.locks().locked_exclusively(directory, {})) co_return *walked;
      LockKey key{directory, std::string()};  // perhaps it is being removed or split
      const int got = co_await server.names.lock(server.loop, key);
      if (got != 0) co_return Answer(Error(-got));
      turn = WalkedOntoLock{directory, std::string()};
      continue;
    }
    if (auto* away = std::get_if<WalkedAway>(&walk))
      co_return redirect(away->redirect, away->target);
    if (auto* error = std::get_if<Error>(&walk)) co_return Answer(*error);
    if (auto* lock = std::get_if<WalkedOntoLock>(&walk)) {
      LockKey key{lock->directory, lock->name};
      const int got = co_await server.names.lock(server.loop, key);
      if (got != 0) co_return Answer(Error(-got));
      turn = std::move(*lock);
      continue;
    }
    const auto foreign = std::get<WalkedOntoForeignLink>(walk);
    const wire::ReadLink question{.where = {.inode = foreign.inode, .path_bytes = 0, .flags = 0}};
    const auto bytes = wire::bytes_of(question);
    Caller self = caller;
    self.is_peer = true;
    const Answer target =
        co_await server.ask_raw(home_rank(foreign.inode), wire::Op::read_link, self, bytes, {}, {});
    if (target.error != 0) co_return target;
    const auto text =
        wire::text(target.body, sizeof(wire::Nothing), target.body.size() - sizeof(wire::Nothing));
    if (!text.ok()) co_return Answer(text.error());
    co_return redirect({foreign.directory, foreign.consumed, wire::RedirectKind::symlink}, *text);
  }
}

Task<Status> wait_for_decision(Server& server, std::uint64_t inode, std::string name) {
  if (!server.names.locks().locked(inode, name)) co_return Done{};
  LockKey key{inode, std::move(name)};
  const int turn = co_await server.names.lock(server.loop, key);
  if (turn != 0) co_return Error(-turn);
  server.names.unlock(key.inode, key.name);
  co_return Done{};
}

std::uint64_t session_of(Server& server, std::uint64_t number, std::uint32_t host) {
  const Inode* const inode = server.names.find(number);
  if (inode == nullptr || inode->open == nullptr) return 0;
  const auto& hosts = inode->open->hosts;
  const auto found = std::ranges::find(hosts, host, &OpenHost::host);
  return found == hosts.end() ? 0 : found->session;
}

bool learn(Server& server, const Inode& inode, std::uint32_t host,
           const wire::HostSizeReply& reply) {
  if (reply.session == 0 || reply.session != session_of(server, inode.number, host)) return false;
  // Who wrote first decided; a cell of another host has no meaning here, its content comes later.
  const bool own_cell = host == server.topology.host() && in_cell(reply.stored);
  const bool placed =
      inode.is_small() && inode.stored == stored_nowhere && (reply.stored == in_chunks || own_cell);
  const bool wrote =
      reply.size > inode.size || reply.modified > inode.modified || reply.modified > inode.changed;
  if (!placed && !wrote && reply.accessed <= inode.accessed) return true;
  Inode& changed =
      wrote || placed ? server.names.change(inode) : *server.names.change_access(inode.number);
  if (placed) changed.stored = reply.stored;
  if (in_cell(changed.stored))
    changed.pages = Inode::pages_dense;
  else if (wrote &&
           (changed.pages != Inode::pages_dense || (reply.flags & wire::HostFlag::sparse) != 0))
    changed.pages = Inode::pages_unknown;
  changed.size = std::max(changed.size, reply.size);
  changed.modified = std::max(changed.modified, reply.modified);
  changed.changed = std::max(changed.changed, reply.modified);
  changed.accessed = std::max(changed.accessed, reply.accessed);
  return true;
}

bool keep_content(Server& server, Inode& inode, std::string_view content) {
  ContentCells& cells = server.table.contents;
  if (!inode.is_small() || content.size() > cell_bytes) return true;  // void, or a lie
  server.names.change(inode);
  if (inode.stored == stored_nowhere) inode.stored = cells.take(inode.number, 0);
  if (inode.stored == stored_nowhere) return false;
  inode.pages = Inode::pages_dense;
  cells.fill(inode.stored, wire::bytes_of(content));
  return true;
}

// What an earlier attempt left there goes first: a chunk file never reaches beyond the size.
Task<Status> write_first_chunk(Server& server, std::uint64_t number, std::string content) {
  if (content.empty()) co_return Done{};
  Inode* const inode = server.names.change(number);
  if (inode == nullptr) co_return Error(ENOENT);
  if (inode->chunked_bytes() != 0) {
    const Status cleared = co_await cut(server, number, 0, cell_bytes);
    if (!cleared.ok()) co_return cleared;
  } else {
    inode->flags |= InodeFlag::chunk_started;
    server.commit();  // so that it is removed with the inode, whatever happens
  }
  const wire::WriteChunk message{.inode = number,
                                 .chunk = 0,
                                 .offset = 0,
                                 .bytes = static_cast<std::uint32_t>(content.size()),
                                 .buffer = 0,
                                 .reserved = 0};
  Caller caller;
  caller.host = server.topology.host();
  caller.is_peer = true;
  caller.bulk = std::as_writable_bytes(std::span(content));
  const Answer answer =
      co_await server.ask_raw(stripe_rank(number, 0, server.topology.size), wire::Op::write_chunk,
                              caller, wire::bytes_of(message), caller.bulk, {});
  if (answer.error != 0) co_return Error(answer.error);
  const auto written = wire::parse<wire::ChunkReply>(answer.body);
  if (!written.ok()) co_return written.error();
  if (written->bytes != content.size()) co_return Error(ENOSPC);
  co_return Done{};
}

Task<Status> refresh(Server& server, std::uint64_t number, std::uint32_t news) {
  co_await open_state_known(server, number);
  const Inode* inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  count_unasked(server, *server.names.touch(number));
  std::vector<std::uint32_t> hosts = open_hosts(*inode, news != 0);
  // This host is asked without a message, also if it only reads: for the access time.
  const std::uint32_t self = server.topology.host();
  if (session_of(server, number, self) != 0) {
    learn(server, *inode, self, host_size_here(server, number, news));
    std::erase(hosts, self);
  }
  if (hosts.empty()) co_return Done{};
  const wire::HostSize message{.inode = number, .news = news, .with_content = 0};
  const auto replies = co_await ask_all<wire::HostSizeReply>(
      server, hosts, [&](std::uint32_t host) { return server.ask(host, message); });
  inode = server.names.find(number);
  if (inode == nullptr) co_return Error(ENOENT);
  for (std::size_t i = 0; i < hosts.size(); ++i)
    if (replies[i].ok()) learn(server, *inode, hosts[i], *replies[i]);
  co_return Done{};
}

namespace {

// A size to be set, or none: the bytes are to lie in chunks.
using NewSize = std::optional<std::uint64_t>;

// Blocks of a file whose size was set: what holes it has, only its chunks know.
std::uint32_t pages_after(const Inode& inode, std::uint64_t known) {
  if (inode.size == 0 || in_cell(inode.stored)) return Inode::pages_dense;
  if (inode.stored == stored_nowhere) return 0;
  const bool as_before = inode.size <= known && inode.pages == Inode::pages_dense;
  return as_before ? Inode::pages_dense : Inode::pages_unknown;
}

// Of what nobody has open, and where no chunk is to be cut or made. False: it is not so.
bool reshape_alone(Server& server, Inode& inode, NewSize wanted) {
  if (inode.open != nullptr || !wanted.has_value()) return false;
  if (*wanted < inode.size && inode.chunked_bytes() != 0) return false;
  if (inode.is_small() && *wanted > server.table.inline_bytes) {
    if (in_cell(inode.stored)) return false;
    inode.stored = in_chunks;
  }
  const std::uint64_t known = inode.size;
  if (*wanted < known) server.table.contents.trim(inode.stored, *wanted);
  inode.size = *wanted;
  if (*wanted != known) inode.pages = pages_after(inode, known);
  inode.modified = inode.changed = now();
  return true;
}

struct Frozen {
  wire::HostSizeReply size;
  std::string content;  // if it is the host's alone
};

// As ask_open_host.
Task<Result<Frozen>> freeze_host(Server& server, std::uint32_t host, std::uint64_t number,
                                 std::uint64_t session) {
  const wire::Freeze message{.inode = number, .session = session};
  std::string content;
  const auto size = co_await ask_open_host(server, host, message, &content);
  if (!size.ok()) co_return size.error();
  content.resize(std::min<std::size_t>(content.size(), size->content_bytes));
  Frozen frozen;
  frozen.size = *size;
  frozen.content = std::move(content);
  co_return frozen;
}

// Within open.mutex. The inode stays as it is in use.
Task<Status> reshape_locked(Server& server, Inode& inode, NewSize wanted) {
  const std::uint64_t number = inode.number;
  OpenState& open = *inode.open;
  const std::vector<std::uint32_t> hosts = open_hosts(inode);
  const auto frozen = co_await ask_all<Frozen>(server, hosts, [&](std::uint32_t host) {
    return freeze_host(server, host, number, session_of(server, number, host));
  });
  std::string content;  // of a host that wrote it elsewhere
  for (std::size_t i = 0; i < hosts.size(); ++i)
    if (frozen[i].ok() && learn(server, inode, hosts[i], frozen[i]->size) &&
        !frozen[i]->content.empty())
      content = frozen[i]->content;
  ContentCells& cells = server.table.contents;
  const std::uint64_t known = inode.size;
  const std::uint64_t size = wanted.value_or(known);
  const bool small = inode.is_small();
  const bool kept = content.empty() || !small || keep_content(server, inode, content);
  const bool to_chunks =
      small && (!kept || !wanted.has_value() || size > server.table.inline_bytes);
  Status status = Done{};
  if (size < known && inode.chunked_bytes() != 0)
    status = co_await cut(server, number, size, std::max(known, inode.chunked_bytes()));
  if (to_chunks && status.ok()) {
    if (kept) {
      const auto bytes = cells.content(inode.stored, known);
      content.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    content.resize(std::min<std::size_t>(content.size(), size));
    status = co_await write_first_chunk(server, number, std::move(content));
  }
  server.names.change(number);
  const Stored before = inode.stored;
  if (status.ok()) {
    if (to_chunks) {
      inode.stored = in_chunks;
      inode.flags &= ~std::uint32_t{InodeFlag::chunk_started};
    }
    if (inode.is_small() && size < known) cells.trim(inode.stored, size);
    inode.size = size;
    if (wanted.has_value()) {
      inode.pages = pages_after(inode, known);
      open.reserved_end = 0;
      inode.modified = inode.changed = now();
    }
  }
  // From here on what hosts reported of the time before is void.
  for (OpenHost& host : open.hosts) host.session = ++server.next_session;
  co_await ask_all<wire::Nothing>(server, open_hosts(inode), [&](std::uint32_t host) {
    return server.ask(host, wire::Thaw{.inode = number,
                                       .session = session_of(server, number, host),
                                       .size = inode.size,
                                       .cut = size < known ? 1u : 0u,
                                       .to_chunks = inode.is_small() ? 0u : 1u});
  });
  // No host's clients look there any more.
  if (before != inode.stored) server.names.give_cell(before);
  co_return status;
}

Task<Status> reshape(Server& server, std::uint64_t number, NewSize wanted) {
  co_await open_state_known(server, number);
  Inode* const inode = server.names.change(number);  // stays while in use; shown again at the end
  if (inode == nullptr) co_return Error(ENOENT);
  count_unasked(server, *inode);
  if (reshape_alone(server, *inode, wanted)) co_return Done{};
  OpenState& open = begin_use(*inode);
  co_await open.mutex.lock(server.loop);
  Status status = Done{};
  if (wanted.has_value() || inode->is_small())
    status = co_await reshape_locked(server, *inode, wanted);
  open.mutex.unlock();
  end_use(*server.names.touch(number));
  remove_if_unused(server, *inode);
  co_return status;
}

}  // namespace

Task<Status> set_size(Server& server, std::uint64_t number, std::uint64_t size) {
  if (size > wire::file_bytes_max) co_return Error(EFBIG);
  const NewSize wanted = size;
  co_return co_await reshape(server, number, wanted);
}

Task<Status> move_to_chunks(Server& server, std::uint64_t number) {
  const NewSize none;
  co_return co_await reshape(server, number, none);
}

Task<Status> move_to_chunks_locked(Server& server, Inode& inode) {
  const NewSize none;
  co_return co_await reshape_locked(server, inode, none);
}

void close_if_unused(Server& server, std::uint64_t number) {
  Inode* const inode = server.names.touch(number);
  if (inode == nullptr) return;
  if (inode->open != nullptr && inode->open->hosts.empty() && inode->open->users == 0)
    inode->open.reset();
  remove_if_unused(server, *inode);
}

void remove_if_unused(Server& server, const Inode& inode) {
  if (inode.links != 0 || inode.is_directory()) return;
  if (server.pinned.contains(inode.number)) return;  // a change under way decides
  count_unasked(server, *server.names.touch(inode.number));
  if (inode.open != nullptr) return;
  if (const std::uint64_t bytes = inode.chunked_bytes(); bytes != 0)
    server.loop.spawn(cut_in_background(server, inode.number, bytes));
  server.names.erase(inode.number);
}

void finish_cuts(Server& server) {
  for (const auto& [inode, size] : server.names.uncut())
    server.loop.spawn(cut_in_background(server, inode, size));
}

}  // namespace benchfs
