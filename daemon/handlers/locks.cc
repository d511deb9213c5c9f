// Locks of files at home here, as the hosts' servers ask for them on behalf of their clients.
#include <algorithm>

#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/deadlock.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

constexpr std::size_t held_locks_page = 256;

bool well_formed(const wire::Lock& request) {
  if (request.space != wire::LockSpace::whole && request.space != wire::LockSpace::ranges)
    return false;
  if (request.kind > wire::LockKind::exclusive) return false;
  if (request.owner.kind != wire::LockOwnerKind::process &&
      request.owner.kind != wire::LockOwnerKind::description)
    return false;
  return request.start <= request.last && request.last <= wire::lock_last_max;
}

bool holder_lives(const ProcessRecord& record) {
  const ProcessId process = record.process.load() & ~embryo;
  // Just forked: the parent knew the pid alone.
  return process >> 32 != 0 ? is_alive(process) : process_id(pid_of(process)) != 0;
}

// Of this host. An open file description lives as long as a process that has it open.
bool lives_here(HostTable& table, const wire::LockOwner& owner) {
  if (owner.kind == wire::LockOwnerKind::process) return is_alive(owner.id);
  const std::uint32_t slot = table.slot_at(owner.id);
  if (slot == 0) return false;
  const std::uint32_t high = std::min(table.process_high.load(), process_records);
  for (std::uint32_t i = 0; i < high; ++i) {
    const ProcessRecord& record = table.processes[i];
    if (record.process.load() != 0 && table.holds(record, slot) && holder_lives(record))
      return true;
  }
  return false;
}

// A host that does not answer for the request time-out is gone, and its locks with it; before that
// it may be restarting.
Task<bool> lives(Server& server, wire::LockOwner owner) {
  if (owner.host == server.topology.host()) co_return lives_here(server.table, owner);
  const wire::AskLockOwner question{.owner = owner};
  const auto reply = co_await server.ask(owner.host, question);
  auto& silent_since = server.locks.silent_since;
  if (reply.ok()) {
    silent_since.erase(owner.host);
    co_return reply->lives != 0;
  }
  const std::int64_t now_ns = sys::now_ns();
  const std::int64_t since = silent_since.try_emplace(owner.host, now_ns).first->second;
  const std::int64_t patience_ns =
      std::int64_t{server.config.network.request_timeout_ms} * 1'000'000;
  co_return now_ns - since < patience_ns;
}

// Takes the locks of those that have died from them: their host has not told yet. True: there were
// such.
Task<bool> drop_the_dead(Server& server, std::uint64_t inode, std::vector<wire::LockOwner> owners) {
  bool dropped = false;
  for (const wire::LockOwner& owner : owners) {
    const bool alive = co_await lives(server, owner);
    if (alive) continue;
    server.locks.drop(inode, owner);
    dropped = true;
  }
  co_return dropped;
}

std::vector<wire::LockOwner> in_the_way(Server& server, std::uint64_t inode) {
  std::vector<wire::LockOwner> found;
  InodeLocks* const locks = server.locks.find(inode);
  if (locks == nullptr) return found;
  for (const LockTable* const table : {&locks->whole, &locks->ranges})
    for (const LockWait& wait : table->waits())
      for (const wire::LockOwner& owner : table->conflicting(wait.owner, wait.range))
        if (std::ranges::find(found, owner) == found.end()) found.push_back(owner);
  return found;
}

// Deaths are told; what was not (a host that was lost, a server that died with its clients) is
// found by looking, while somebody waits.
Task<int> watch_owners(Server& server) {
  for (;;) {
    co_await server.locks.nap(server.loop,
                              std::int64_t{server.config.network.heartbeat_ms} * 1'000'000);
    const std::vector<std::uint64_t> contended = server.locks.contended();
    if (contended.empty()) break;
    for (const std::uint64_t inode : contended) {
      std::vector<wire::LockOwner> owners = in_the_way(server, inode);
      co_await drop_the_dead(server, inode, std::move(owners));
    }
  }
  server.locks.watched = false;
  co_return 0;
}

Answer conflict_answer(const std::optional<LockConflict>& conflict) {
  wire::LockReply reply{};
  if (conflict.has_value()) {
    reply.start = conflict->range.start;
    reply.last = conflict->range.last;
    reply.kind = conflict->range.kind;
    reply.pid =
        conflict->owner.kind == wire::LockOwnerKind::process ? pid_of(conflict->owner.id) : -1;
  }
  return Answer(reply);
}

// The inode's being open is what keeps it, and what ends the locks of a host that is gone.
Status may_lock(Server& server, std::uint64_t number, std::uint32_t host) {
  const Inode* const inode = server.names.find(number);
  if (inode == nullptr) return Error(ENOENT);
  if (!inode->is_directory() && session_of(server, number, host) == 0) return Error(EBADF);
  return Done{};
}

}  // namespace

Task<Answer> handle_lock(Server& server, const Caller& caller, wire::Lock request, Tail) {
  if (!well_formed(request) || request.owner.host != caller.host) co_return Answer(Error(EINVAL));
  co_await server.locks.settled(server.loop);
  const std::uint64_t number = request.inode;
  const LockWaitId id{.rank = request.rank, .ticket = request.ticket};
  if ((request.flags & wire::lock_withdraw) != 0) {
    server.locks.fail(number, id, EINTR);
    co_return Answer(wire::LockReply{});
  }
  const bool tests = (request.flags & wire::lock_test) != 0;
  const bool waits = (request.flags & wire::lock_wait) != 0;
  const LockRange range{.start = request.start, .last = request.last, .kind = request.kind};
  for (bool looked = false;; looked = true) {
    if (tests || request.kind != wire::LockKind::unlocked) {
      const Status allowed = may_lock(server, number, caller.host);
      if (!allowed.ok()) co_return Answer(allowed.error());
    }
    LockTable& table = server.locks.of(number).of(request.space);
    std::vector<wire::LockOwner> owners;
    if (tests) {
      const auto conflict = table.conflict(request.owner, range);
      owners = table.conflicting(request.owner, range);
      server.locks.forget_if_empty(number);
      if (!conflict.has_value() || looked) co_return conflict_answer(conflict);
    } else {
      const bool set = table.lock(request.owner, range);
      if (!set) owners = table.conflicting(request.owner, range);
      if (!set && waits) {
        const LockWait wait{.id = id, .owner = request.owner, .range = range, .since = now()};
        server.locks.wait(number, request.space, wait);
      }
      server.locks.grant(number);
      if (set) co_return Answer(wire::LockReply{});
      if (waits) break;
      if (looked) co_return Answer(Error(EAGAIN));
    }
    const bool dropped = co_await drop_the_dead(server, number, owners);
    if (!dropped && !tests) co_return Answer(Error(EAGAIN));
  }
  if (!std::exchange(server.locks.watched, true)) server.loop.spawn(watch_owners(server));
  if (request.space == wire::LockSpace::ranges &&
      request.owner.kind == wire::LockOwnerKind::process)
    server.loop.spawn(look_for_deadlock(server, number, id));
  co_return Answer(wire::LockReply{.ticket = request.ticket,
                                   .start = 0,
                                   .last = 0,
                                   .pid = 0,
                                   .kind = request.kind,
                                   .reserved = 0,
                                   .state = wire::LockState::queued});
}

Task<Answer> handle_await_lock(Server& server, const Caller&, wire::AwaitLock request, Tail) {
  const LockWaitId id{.rank = request.rank, .ticket = request.ticket};
  const int result = co_await server.locks.outcome(server.loop, id);
  co_return result == 0 ? Answer(wire::Nothing{}) : Answer(Error(result));
}

Task<Answer> handle_lock_owner(Server& server, const Caller&, wire::AskLockOwner request, Tail) {
  const bool alive = lives_here(server.table, request.owner);
  std::vector<wire::LockWaitOf> waits;
  if (alive && request.owner.kind == wire::LockOwnerKind::process)
    waits = server.table.locks.waits_of(server.self, request.owner.id);
  waits.resize(std::min(waits.size(), wire::body_bytes_max / sizeof(wire::LockWaitOf) - 1));
  Answer answer(wire::LockOwnerReply{.lives = alive ? 1u : 0u,
                                     .waits = static_cast<std::uint32_t>(waits.size())});
  answer.append(std::as_bytes(std::span(waits)));
  co_return answer;
}

Task<Answer> handle_held_locks(Server& server, const Caller&, wire::AskHeldLocks request, Tail) {
  wire::HeldLocksReply head{.next = request.cursor, .locks = 0};
  std::vector<wire::HeldLockOf> locks =
      server.table.locks.page(server.self, head.next, held_locks_page);
  std::erase_if(locks, [&](const wire::HeldLockOf& lock) {
    const wire::LockOwner owner{
        .id = lock.owner, .host = server.topology.host(), .kind = lock.owner_kind};
    return home_rank(lock.inode) != request.rank || !lives_here(server.table, owner);
  });
  head.locks = locks.size();
  Answer answer(head);
  answer.append(std::as_bytes(std::span(locks)));
  co_return answer;
}

}  // namespace benchfs
