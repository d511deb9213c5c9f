// After a restart of a home: what its locks were.
#include "daemon/handlers/lock_recovery.h"

#include <algorithm>

#include "common/log.h"
#include "common/placement.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

constexpr std::int64_t nap_first_ns = 1'000'000;
constexpr std::int64_t nap_longest_ns = 100'000'000;

// One page of what a host holds. False: it did not answer.
Task<bool> ask_page(Server& server, std::uint32_t host, std::uint64_t* cursor) {
  const wire::AskHeldLocks question{.cursor = *cursor, .rank = server.topology.rank};
  Caller caller;
  caller.host = server.topology.host();
  caller.is_peer = true;
  const Answer answer =
      co_await server.ask_raw(host, wire::Op::held_locks, caller, wire::bytes_of(question), {}, {});
  const auto head = wire::parse<wire::HeldLocksReply>(answer.body);
  if (answer.error != 0 || !head.ok()) co_return false;
  auto rest = std::span(answer.body).subspan(sizeof(wire::HeldLocksReply));
  for (std::uint64_t i = 0; i < head->locks; ++i) {
    const auto lock = wire::parse<wire::HeldLockOf>(rest);
    if (!lock.ok()) co_return false;
    rest = rest.subspan(sizeof(wire::HeldLockOf));
    const bool known =
        lock->space == wire::LockSpace::whole || lock->space == wire::LockSpace::ranges;
    if (!known || home_rank(lock->inode) != server.topology.rank) continue;
    const wire::LockOwner owner{.id = lock->owner, .host = host, .kind = lock->owner_kind};
    const LockRange range{.start = lock->start, .last = lock->last, .kind = lock->kind};
    server.locks.of(lock->inode).of(lock->space).restore(owner, range);
  }
  *cursor = head->next;
  co_return true;
}

Task<int> recover_host(Server& server, std::uint32_t host, int* missing) {
  const std::int64_t deadline =
      sys::now_ns() + std::int64_t{server.config.network.request_timeout_ms} * 1'000'000;
  std::int64_t nap_ns = nap_first_ns;
  std::uint64_t cursor = 0;
  for (;;) {
    const bool answered = co_await ask_page(server, host, &cursor);
    if (answered && cursor == 0) break;
    if (answered) continue;
    if (sys::now_ns() > deadline) {
      log::warn("the host of rank {} does not say which locks it holds: they are given up", host);
      server.locks.drop_host(host);
      break;
    }
    co_await server.loop.sleep(nap_ns);
    nap_ns = std::min(nap_ns * 2, nap_longest_ns);
  }
  if (--*missing == 0) server.locks.end_recovery();
  co_return 0;
}

}  // namespace

Task<int> recover_locks(Server& server) {
  std::vector<std::uint32_t> hosts = server.topology.host_of;
  std::ranges::sort(hosts);
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  server.locks.begin_recovery();
  int missing = static_cast<int>(hosts.size());
  for (const std::uint32_t host : hosts) server.loop.spawn(recover_host(server, host, &missing));
  co_await server.locks.settled(server.loop);
  co_return 0;
}

}  // namespace benchfs
