#include "daemon/handlers/deadlock.h"

#include <algorithm>
#include <tuple>

#include "common/placement.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

constexpr std::size_t links_max = 1024;  // waits that are looked at

struct Blocked {
  std::int64_t since = 0;  // 0: it does not wait (any more)
  std::vector<wire::LockOwner> owners;
};

Blocked blocked_here(Server& server, const wire::LockWaitOf& wait) {
  const LockWaitId id{.rank = wait.rank, .ticket = wait.ticket};
  InodeLocks* const locks = server.locks.find(wait.inode);
  const LockWait* const found = locks == nullptr ? nullptr : locks->ranges.find(id);
  if (found == nullptr) return {};
  return {.since = found->since, .owners = locks->ranges.conflicting(found->owner, found->range)};
}

template <class M>
Task<Answer> ask_rows(Server& server, std::uint32_t rank, M question) {
  Caller caller;
  caller.host = server.topology.host();
  caller.is_peer = true;
  co_return co_await server.ask_raw(rank, M::op, caller, wire::bytes_of(question), {}, {});
}

template <class Row>
std::vector<Row> rows_of(std::span<const std::byte> bytes, std::size_t count) {
  std::vector<Row> rows(std::min(count, bytes.size() / sizeof(Row)));
  if (!rows.empty()) std::memcpy(rows.data(), bytes.data(), rows.size() * sizeof(Row));
  return rows;
}

Task<Blocked> blocked(Server& server, wire::LockWaitOf wait) {
  const std::uint32_t home = home_rank(wait.inode);
  if (home == server.topology.rank) co_return blocked_here(server, wait);
  const wire::LockBlockers question{.wait = wait, .recheck = 0};
  const Answer answer = co_await ask_rows(server, home, question);
  Blocked result;
  const auto head = wire::parse<wire::LockBlockersReply>(answer.body);
  if (answer.error != 0 || !head.ok()) co_return result;
  result.since = head->since;
  const auto rows = std::span(answer.body).subspan(sizeof(wire::LockBlockersReply));
  result.owners = rows_of<wire::LockOwner>(rows, head->owners);
  co_return result;
}

Task<std::vector<wire::LockWaitOf>> waits_of(Server& server, wire::LockOwner owner) {
  if (owner.host == server.topology.host())
    co_return server.table.locks.waits_of(server.self, owner.id);
  const wire::AskLockOwner question{.owner = owner};
  const Answer answer = co_await ask_rows(server, owner.host, question);
  std::vector<wire::LockWaitOf> waits;
  const auto head = wire::parse<wire::LockOwnerReply>(answer.body);
  if (answer.error != 0 || !head.ok()) co_return waits;
  const auto rows = std::span(answer.body).subspan(sizeof(wire::LockOwnerReply));
  waits = rows_of<wire::LockWaitOf>(rows, head->waits);
  co_return waits;
}

// A wait, whose it is, and the link whose wait that owner is in the way of.
struct Link {
  wire::LockWaitOf wait;
  wire::LockOwner owner;
  std::size_t from;
  std::int64_t since = 0;
};

// The waits from the first to the one that the first's owner is in the way of. Empty: no circle.
Task<std::vector<Link>> circle(Server& server, wire::LockWaitOf first, wire::LockOwner origin) {
  std::vector<Link> links{{.wait = first, .owner = origin, .from = 0}};
  std::vector<wire::LockOwner> seen{origin};
  for (std::size_t at = 0; at < links.size() && at < links_max; ++at) {
    const Blocked now = co_await blocked(server, links[at].wait);
    links[at].since = now.since;
    for (const wire::LockOwner& owner : now.owners) {
      if (owner == origin) {
        std::vector<Link> found;
        for (std::size_t i = at; i != 0; i = links[i].from) found.insert(found.begin(), links[i]);
        found.insert(found.begin(), links.front());
        co_return found;
      }
      if (owner.kind != wire::LockOwnerKind::process ||
          std::ranges::find(seen, owner) != seen.end())
        continue;
      seen.push_back(owner);
      const std::vector<wire::LockWaitOf> waits = co_await waits_of(server, owner);
      for (const wire::LockWaitOf& wait : waits)
        links.push_back({.wait = wait, .owner = owner, .from = at});
    }
  }
  co_return std::vector<Link>{};
}

// A wait's number is never used again: one that is there now was there all the time since it was
// seen first, and its owner did nothing meanwhile.
Task<bool> still_so(Server& server, std::vector<Link> links) {
  for (std::size_t i = 0; i < links.size(); ++i) {
    const wire::LockOwner& next = links[(i + 1) % links.size()].owner;
    const Blocked now = co_await blocked(server, links[i].wait);
    if (now.since == 0 || std::ranges::find(now.owners, next) == now.owners.end()) co_return false;
  }
  co_return true;
}

}  // namespace

Task<int> look_for_deadlock(Server& server, std::uint64_t inode, LockWaitId id) {
  InodeLocks* const locks = server.locks.find(inode);
  const LockWait* const wait = locks == nullptr ? nullptr : locks->ranges.find(id);
  if (wait == nullptr) co_return 0;
  const wire::LockWaitOf first{.inode = inode, .ticket = id.ticket, .rank = id.rank};
  const std::vector<Link> links = co_await circle(server, first, wait->owner);
  if (links.empty()) co_return 0;
  const bool real = co_await still_so(server, links);
  if (!real) co_return 0;
  const auto age = [](const Link& link) {
    return std::tuple(link.since, link.wait.rank, link.wait.ticket);
  };
  const Link youngest = *std::ranges::max_element(links, {}, age);
  if (youngest.wait.rank == id.rank && youngest.wait.ticket == id.ticket) {
    server.locks.fail(inode, id, EDEADLK);
    co_return 0;
  }
  const wire::LockBlockers order{.wait = youngest.wait, .recheck = 1};
  const auto told = co_await server.ask(home_rank(youngest.wait.inode), order);
  co_return told.ok() ? 0 : told.error().code();
}

Task<Answer> handle_lock_blockers(Server& server, const Caller&, wire::LockBlockers request, Tail) {
  if (request.recheck != 0) {
    const LockWaitId id{.rank = request.wait.rank, .ticket = request.wait.ticket};
    server.loop.spawn(look_for_deadlock(server, request.wait.inode, id));
  }
  Blocked now = blocked_here(server, request.wait);
  now.owners.resize(
      std::min(now.owners.size(), wire::body_bytes_max / sizeof(wire::LockOwner) - 1));
  Answer answer(wire::LockBlockersReply{
      .since = now.since, .owners = static_cast<std::uint32_t>(now.owners.size()), .reserved = 0});
  answer.append(std::as_bytes(std::span(now.owners)));
  co_return answer;
}

}  // namespace benchfs
