#include "daemon/handlers/open_state.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

constexpr std::size_t held_per_answer =
    (wire::body_bytes_max - sizeof(wire::HeldOpensReply)) / sizeof(wire::HeldOpen);

using Held = absl::flat_hash_map<std::uint64_t, wire::HeldOpen>;  // by inode

Task<Result<Held>> ask_held(Server& server, std::uint32_t host) {
  Held held;
  wire::HeldOpens question{.home = server.topology.rank, .from = 0};
  Caller caller;
  caller.host = server.topology.host();
  caller.is_peer = true;
  do {
    const auto body = wire::bytes_of(question);
    const Answer answer = co_await server.ask_raw(host, wire::Op::held_opens, caller, body, {}, {});
    if (answer.error != 0) co_return Error(answer.error);
    const auto head = wire::parse<wire::HeldOpensReply>(answer.body);
    if (!head.ok() || answer.body.size() != sizeof *head + head->count * sizeof(wire::HeldOpen))
      co_return Error(EIO);
    auto rows = std::span(answer.body).subspan(sizeof *head);
    for (; !rows.empty(); rows = rows.subspan(sizeof(wire::HeldOpen))) {
      const auto row = *wire::parse<wire::HeldOpen>(rows);
      held[row.inode] = row;
    }
    question.from = head->next;
  } while (question.from != 0);
  co_return held;
}

std::vector<std::uint64_t> opened_by(const Server& server, std::uint32_t host) {
  std::vector<std::uint64_t> found;
  server.names.for_each([&](const Inode& inode) {
    if (inode.open == nullptr) return;
    const auto& hosts = inode.open->hosts;
    if (std::ranges::find(hosts, host, &OpenHost::host) != hosts.end())
      found.push_back(inode.number);
  });
  return found;
}

// What the host holds of an inode, or nothing, is what is granted to it from now on.
void settle(Server& server, Inode& inode, std::uint32_t host, const wire::HeldOpen* held) {
  if (inode.open == nullptr) inode.open = std::make_unique<OpenState>();
  OpenState& open = *inode.open;
  auto known = std::ranges::find(open.hosts, host, &OpenHost::host);
  if (held == nullptr) {
    if (known == open.hosts.end()) return;
    if (open.exact_host == host) open.exact_host = OpenState::nobody;
    server.locks.drop_host(inode.number, host);
    open.hosts.erase(known);
    return;
  }
  if (known == open.hosts.end()) {
    open.hosts.push_back(
        {.host = host, .opens = 0, .session = held->session, .tenure = 0, .writes = true});
    known = open.hosts.end() - 1;
  }
  known->opens = held->granted;
  known->tenure = held->tenure;
  if ((held->flags & wire::HeldFlag::held_exact) != 0) open.exact_host = host;
  learn(server, inode, host,
        {.session = held->session,
         .size = held->size,
         .modified = held->modified,
         .accessed = 0,  // comes with the next question
         .flags = (held->flags & wire::HeldFlag::held_sparse) != 0
                      ? std::uint32_t{wire::HostFlag::sparse}
                      : 0,
         .stored = held->stored,
         .content_bytes = 0});
}

// Writers that a truncation had stopped which nobody finishes: whoever asked for it asks again.
Task<int> let_write(Server& server, std::uint64_t number, std::uint32_t host) {
  Inode* const inode = server.names.change(number);
  if (inode == nullptr || inode->open == nullptr || inode->open->mutex.locked()) co_return 0;
  const auto known = std::ranges::find(inode->open->hosts, host, &OpenHost::host);
  if (known == inode->open->hosts.end()) co_return 0;
  known->session = ++server.next_session;
  const wire::Thaw thaw{.inode = number,
                        .session = known->session,
                        .size = inode->size,
                        .cut = 1,
                        .to_chunks = inode->is_small() ? 0u : 1u};
  co_await server.ask(host, thaw);
  co_return 0;
}

Task<int> survey(Server& server, std::uint32_t host) {
  auto answer = co_await ask_held(server, host);
  if (!answer.ok())
    log::warn("rank {} does not say what its host has open ({}): nothing", host, answer.error());
  const Held held = answer.ok() ? *std::move(answer) : Held{};
  std::vector<std::uint64_t> numbers = opened_by(server, host);
  std::vector<std::uint64_t> frozen;
  for (const std::uint64_t number : numbers) {
    const auto row = held.find(number);
    settle(server, *server.names.change(number), host, row == held.end() ? nullptr : &row->second);
  }
  for (const auto& [number, row] : held) {
    if (Inode* const inode = server.names.change(number); inode != nullptr) {
      settle(server, *inode, host, &row);
      if ((row.flags & wire::HeldFlag::held_frozen) != 0) frozen.push_back(number);
    }
  }
  for (const std::uint64_t number : frozen) co_await let_write(server, number, host);
  server.surveys.end(host);
  for (const std::uint64_t number : numbers) close_if_unused(server, number);
  server.names.show_changes();
  server.commit();
  co_return 0;
}

}  // namespace

void recover_open_state(Server& server) {
  absl::flat_hash_set<std::uint32_t> hosts;
  std::vector<std::uint64_t> nameless;
  server.names.for_each([&](const Inode& inode) {
    if (inode.open != nullptr)
      for (const OpenHost& open : inode.open->hosts) hosts.insert(open.host);
    if (inode.links == 0) nameless.push_back(inode.number);
  });
  for (const std::uint32_t host : hosts) server.surveys.begin(host);
  for (const std::uint64_t number : nameless) close_if_unused(server, number);
  server.commit();
  for (const std::uint32_t host : hosts) server.loop.spawn(survey(server, host));
}

void leader_restarted(Server& server, std::uint32_t host) {
  // This host's own clients get their answers from this process, not from the leader.
  if (host == server.topology.host()) return;
  if (opened_by(server, host).empty() || !server.surveys.begin(host)) return;
  server.loop.spawn(survey(server, host));
}

bool may_be_open(const Server& server, const Inode& inode) {
  return inode.open != nullptr || server.table.may_be_open(inode.number);
}

void count_unasked(Server& server, Inode& inode) {
  // The view first, then the table; who opens looks in the other order.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!server.table.may_be_open(inode.number)) return;
  const std::uint32_t self = server.topology.host();
  const bool was_open = inode.open != nullptr;
  if (was_open && inode.open->has(self)) return;
  const bool exact =
      !was_open || (inode.open->exact_host == OpenState::nobody && !inode.open->written());
  const std::uint64_t session = ++server.next_session;
  const HostSize known{.session = session,
                       .size = inode.size,
                       .modified = 0,
                       .exact = exact,
                       .accessed = 0,
                       .sparse = false,
                       .stored = inode.is_small() ? inode.stored : in_chunks};
  const Unasked found = server.table.count_unasked(server.self, inode.number, session, known);
  if (found.accessed > inode.accessed)
    server.names.change_access(inode.number)->accessed = found.accessed;
  if (found.opens == 0) return;
  server.names.change_opens(inode.number);
  if (!was_open) inode.open = std::make_unique<OpenState>();
  inode.open->hosts.push_back(
      {.host = self, .opens = found.opens, .session = session, .tenure = session});
  if (exact) inode.open->exact_host = self;
}

Task<int> open_state_known(Server& server, std::uint64_t number) {
  while (server.surveys.any()) {
    const Inode* const inode = server.names.find(number);
    if (inode == nullptr || inode->open == nullptr) co_return 0;
    const auto& hosts = inode->open->hosts;
    const auto asked = std::ranges::find_if(
        hosts, [&](const OpenHost& open) { return server.surveys.under_way(open.host); });
    if (asked == hosts.end()) co_return 0;
    co_await server.surveys.wait(server.loop, asked->host);
  }
  co_return 0;
}

Task<Answer> handle_held_opens(Server& server, const Caller&, wire::HeldOpens request, Tail) {
  wire::HeldOpensReply head{.count = 0, .next = 0};
  Answer answer(head);
  std::uint32_t at = request.from;
  for (const HeldInode& held : server.table.held(server.self, request.home, at, held_per_answer)) {
    wire::HeldOpen row{.inode = held.inode,
                       .session = held.reached.session,
                       .tenure = held.tenure,
                       .size = held.reached.size,
                       .modified = held.reached.modified,
                       .granted = held.granted,
                       .flags = 0,
                       .stored = held.reached.stored,
                       .reserved = 0};
    if (held.reached.exact) row.flags |= wire::HeldFlag::held_exact;
    if (held.reached.sparse) row.flags |= wire::HeldFlag::held_sparse;
    if (held.frozen) row.flags |= wire::HeldFlag::held_frozen;
    answer.append(wire::bytes_of(row));
    ++head.count;
  }
  head.next = at;
  std::memcpy(answer.body.data(), &head, sizeof head);
  co_return answer;
}

}  // namespace benchfs
