#include "daemon/channel/lock_relay.h"

#include <fcntl.h>

#include "common/placement.h"
#include "daemon/channel/lock_release.h"

namespace benchfs {
namespace {

HeldBy held_by(const wire::Lock& request) {
  return {.inode = request.inode,
          .owner = request.owner.id,
          .owner_kind = request.owner.kind,
          .space = request.space};
}

LockRange range_of(const wire::Lock& request) {
  return {.start = request.start, .last = request.last, .kind = request.kind};
}

// The waits that a server which died left in the table; its clients ask again.
std::vector<wire::Lock> take_left_waits(Server& server) {
  HeldLocks& held = server.table.locks;
  const std::uint32_t rank = server.topology.rank;
  std::vector<wire::Lock> left;
  {
    const RobustGuard guard(held.lock, server.self);
    for (std::uint32_t i = 1; i <= held.high && i < held_locks_max; ++i) {
      const HeldLock& entry = held.entries[i];
      if (entry.inode == 0 || entry.ticket == 0 || entry.rank != rank) continue;
      left.push_back(
          {.inode = entry.inode,
           .start = entry.start,
           .last = entry.last,
           .slot = 0,
           .owner = {.id = entry.owner, .host = server.topology.host(), .kind = entry.owner_kind},
           .ticket = entry.ticket,
           .rank = rank,
           .space = entry.space,
           .kind = entry.kind,
           .flags = wire::lock_withdraw});
    }
  }
  held.forget_waits(server.self, rank);
  return left;
}

// Else a home would grant to somebody who no longer waits. Not before the loop runs: peers can then
// be asked.
Task<int> withdraw_all(Server& server, std::vector<wire::Lock> left) {
  co_await server.loop.sleep(1'000'000);
  for (const wire::Lock& wait : left) {
    const auto done = co_await server.ask(home_rank(wait.inode), wait);
    if (!done.ok()) continue;  // a home that is gone grants nothing
  }
  co_return 0;
}

}  // namespace

// Tickets are not used again, in no life of this server: a home may still know one of the last.
LockRelay::LockRelay(Server& server, int file)
    : server_(server),
      file_(file),
      next_ticket_(static_cast<std::uint64_t>(sys::now_ns(CLOCK_REALTIME) / 1000)) {
  std::vector<wire::Lock> left = take_left_waits(server_);
  if (!left.empty()) server_.loop.spawn(withdraw_all(server_, std::move(left)));
}

bool LockRelay::set_byte(std::uint64_t ticket, short kind) {
  struct flock byte {};
  byte.l_type = kind;
  byte.l_whence = SEEK_SET;
  byte.l_start = static_cast<off_t>(ticket * 2);  // apart, so that the kernel does not join them
  byte.l_len = 1;
  return sys::fcntl(file_, F_SETLK, sys::pointer(&byte)) == 0;
}

Status LockRelay::check(Client& client, const wire::Lock& request) const {
  HostTable& table = server_.table;
  const std::uint32_t slot = table.slot_at(request.slot);
  const ProcessRecord* const record = client.record_in(table);
  if (slot == 0 || record == nullptr || !table.holds(*record, slot)) return Error(EBADF);
  if (table.slots[slot].inode.load() != request.inode) return Error(EBADF);
  if (home_rank(request.inode) >= server_.topology.size) return Error(ESTALE);
  return Done{};
}

Task<Answer> LockRelay::lock(Client& client, wire::Lock request) {
  const Status allowed = check(client, request);
  if (!allowed.ok()) co_return Answer(allowed.error());
  request.owner.host = server_.topology.host();
  request.owner.id =
      request.owner.kind == wire::LockOwnerKind::process ? client.process : request.slot;
  request.rank = server_.topology.rank;
  request.ticket = 0;
  request.flags &= wire::lock_wait | wire::lock_test;
  const bool tests = (request.flags & wire::lock_test) != 0;
  const bool waits = !tests && (request.flags & wire::lock_wait) != 0;
  HeldLocks& held = server_.table.locks;
  if (!tests && request.kind != wire::LockKind::unlocked && !held.has_room())
    co_return Answer(Error(ENOLCK));
  if (waits) {
    request.ticket = ++next_ticket_;
    const Status noted = held.begin_wait(server_.self, held_by(request), range_of(request),
                                         request.rank, request.ticket);
    if (!noted.ok()) co_return Answer(noted.error());
  }
  auto reply = co_await server_.ask(home_rank(request.inode), request);
  const bool queued = reply.ok() && reply->state == wire::LockState::queued;
  if (waits && !queued) held.end_wait(server_.self, request.inode, request.rank, request.ticket);
  if (!reply.ok()) co_return Answer(reply.error());
  if (tests) co_return Answer(*reply);
  if (!queued) {
    const int error = co_await granted(request);
    if (client.gone) release_orphaned_locks(server_);  // its host had looked before
    co_return error == 0 ? Answer(*reply) : Answer(Error(error));
  }
  if (!set_byte(request.ticket, F_WRLCK)) {  // the kernel has no memory for it
    co_await withdraw(*this, request);
    held.end_wait(server_.self, request.inode, request.rank, request.ticket);
    co_return Answer(Error(ENOLCK));
  }
  auto wait = std::make_shared<Wait>();
  wait->request = request;
  wait->client = client.id;
  wait->process = client.process;
  waits_[request.ticket] = wait;
  server_.loop.spawn(follow(*this, wait));
  if (client.gone) client_gone(client.id);
  co_return Answer(*reply);
}

// Into the table, which must not know less than the home.
Task<int> LockRelay::granted(wire::Lock request) {
  const Status noted = server_.table.locks.set(server_.self, held_by(request), range_of(request));
  if (noted.ok() || request.kind == wire::LockKind::unlocked) co_return 0;
  request.kind = wire::LockKind::unlocked;
  const auto back = co_await server_.ask(home_rank(request.inode), request);
  co_return back.ok() ? noted.error().code() : back.error().code();
}

Task<int> LockRelay::follow(LockRelay& relay, std::shared_ptr<Wait> wait) {
  Server& server = relay.server_;
  const wire::Lock request = wait->request;
  const std::uint32_t home = home_rank(request.inode);
  int result = 0;
  for (;;) {
    const wire::AwaitLock question{.ticket = request.ticket, .rank = request.rank};
    const auto ended = co_await server.ask(home, question);
    result = ended.ok() ? 0 : ended.error().code();
    if (result != ESTALE || wait->withdrawn) break;
    const auto again = co_await server.ask(home, request);  // the home was restarted
    result = again.ok() ? 0 : again.error().code();
    if (!again.ok() || again->state == wire::LockState::granted) break;
  }
  if (result == ESTALE) result = EINTR;
  server.table.locks.end_wait(server.self, request.inode, request.rank, request.ticket);
  if (result == 0) result = co_await relay.granted(request);
  relay.end(*wait, result);
  co_return 0;
}

void LockRelay::end(Wait& wait, int result) {
  wait.result = result;
  const std::uint64_t ticket = wait.request.ticket;
  set_byte(ticket, F_UNLCK);
  if (wait.asked != nullptr) wait.asked->finish(0);
  if (!wait.orphaned) return;
  waits_.erase(ticket);
  if (result == 0) release_orphaned_locks(server_);
}

Task<int> LockRelay::withdraw(LockRelay& relay, wire::Lock request) {
  request.flags = wire::lock_withdraw;
  const auto done = co_await relay.server_.ask(home_rank(request.inode), request);
  co_return done.ok() ? 0 : done.error().code();
}

Task<Answer> LockRelay::end_wait(Client& client, wire::EndLockWait request) {
  const auto found = waits_.find(request.ticket);
  if (found == waits_.end() || found->second->process != client.process ||
      found->second->asked != nullptr)
    co_return Answer(Error(ESTALE));
  const std::shared_ptr<Wait> wait = found->second;
  if (!wait->result.has_value()) {
    Completion ended(server_.loop);
    wait->asked = &ended;
    wait->withdrawn = true;
    server_.loop.spawn(withdraw(*this, wait->request));
    if (!wait->result.has_value()) co_await ended;
  }
  waits_.erase(request.ticket);
  co_return *wait->result == 0 ? Answer(wire::Nothing{}) : Answer(Error(*wait->result));
}

void LockRelay::client_gone(std::uint32_t id) {
  for (auto it = waits_.begin(); it != waits_.end();) {
    Wait& wait = *it->second;
    const bool ended = wait.client == id && wait.result.has_value() && wait.asked == nullptr;
    if (!ended && wait.client == id && !wait.orphaned) {
      wait.orphaned = true;
      if (!std::exchange(wait.withdrawn, true))
        server_.loop.spawn(withdraw(*this, wait.request));  // resumes others from the loop only
    }
    if (ended)
      waits_.erase(it++);
    else
      ++it;
  }
}

}  // namespace benchfs
