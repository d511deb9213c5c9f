#include "daemon/transaction/coordinator.h"

#include <algorithm>
#include <optional>

#include "common/log.h"
#include "daemon/handlers/common.h"
#include "daemon/rpc/server.h"
#include "daemon/transaction/fault_points.h"

namespace benchfs {
namespace {

constexpr std::int64_t retry_ns_first = 10'000'000;
constexpr std::int64_t retry_ns_max = 1'000'000'000;

// Ranks ascending, as their locks are to be taken; those where nobody else can have a lock come
// last, when the others have agreed.
std::vector<std::uint32_t> ranks_in_order(const std::vector<Step>& steps) {
  std::vector<std::uint32_t> with_locks;
  std::vector<std::uint32_t> without;
  for (const Step& step : steps)
    if (!makes_inode(step)) with_locks.push_back(step.rank);
  std::ranges::sort(with_locks);
  const auto rest = std::ranges::unique(with_locks);
  with_locks.erase(rest.begin(), rest.end());
  for (const Step& step : steps)
    if (std::ranges::find(with_locks, step.rank) == with_locks.end()) without.push_back(step.rank);
  with_locks.insert(with_locks.end(), without.begin(), without.end());
  return with_locks;
}

struct CommittedHead {  // the ranks follow
  std::uint64_t counter;
  std::int64_t time;
  wire::TransactionKind kind;
  std::uint32_t ranks;
};
static_assert(wire::Struct<CommittedHead>);

}  // namespace

Task<Status> Coordinator::prepare(Transaction& change) {
  const std::uint32_t self = server_.topology.rank;
  const bool alone =
      std::ranges::all_of(change.steps, [&](const Step& s) { return s.rank == self; });
  if (alone) {
    const std::vector<LockKey> keys = lock_keys(change.steps, self);
    const NameLocks& locks = server_.names.locks();
    if (locks.empty() ||
        std::ranges::all_of(keys, [&](const LockKey& key) { return locks.available(key); })) {
      if (const auto objection = object(server_, change.steps, change.uid)) {
        change.refused_step = objection->step;
        change.found = objection->found;
        co_return Error(objection->error);
      }
      const Status held = hold(server_, change.steps);
      change.attributes = concerned(server_, change.steps);
      co_return held;
    }
  }
  begin(change);
  Status agreed = Error(somebody_waits);
  if (asks_several(change)) {
    agreed = co_await agree_at_once(change);
    if (!agreed.ok()) abandon(change);
    if (agreed.ok() || agreed.error() != Error(somebody_waits)) co_return agreed;
    begin(change);
  }
  agreed = co_await agree(change);
  if (!agreed.ok()) abandon(change);
  co_return agreed;
}

void Coordinator::begin(Transaction& change) {
  change.id = {.coordinator = server_.topology.rank, .counter = ++counter_};
  pending_.insert(change.id.counter);
}

// More than one other rank, and all that they lock can be locked by others.
bool Coordinator::asks_several(const Transaction& change) const {
  std::optional<std::uint32_t> other;
  bool several = false;
  for (const Step& step : change.steps) {
    if (makes_inode(step)) return false;
    if (step.rank == server_.topology.rank) continue;
    several |= other.has_value() && *other != step.rank;
    other = step.rank;
  }
  return several && !change.when_locked;
}

// All ranks at the same time, in any order, as nobody waits for a lock: somebody_waits if that is
// not so.
Task<Status> Coordinator::agree_at_once(Transaction& change) {
  const std::uint32_t self = server_.topology.rank;
  std::vector<std::uint32_t> others = ranks_in_order(change.steps);
  if (std::erase(others, self) != 0) {
    const Status here = co_await agree_here(change, Patience::impatient);
    if (!here.ok()) co_return here;
  }
  const auto replies = co_await ask_all<wire::Nothing>(
      server_, others, [&](std::uint32_t rank) { return ask(change, rank, true); });
  Status agreed = Done{};
  for (const auto& reply : replies)
    if (!reply.ok() && (agreed.ok() || agreed.error() == Error(somebody_waits)))
      agreed = reply.error();
  if (agreed.ok()) std::erase(change.agreed, self);  // else what was held here is let go
  co_return agreed;
}

Task<Status> Coordinator::agree(Transaction& change) {
  const std::uint32_t self = server_.topology.rank;
  for (const std::uint32_t rank : ranks_in_order(change.steps)) {
    const bool only_makes = std::ranges::all_of(
        change.steps, [&](const Step& step) { return step.rank != rank || makes_inode(step); });
    if (only_makes && change.when_locked) {
      const Status done = co_await change.when_locked();
      if (!done.ok()) co_return done;
      change.when_locked = nullptr;
    }
    if (rank != self) {
      const auto agreed = co_await ask(change, rank, false);
      if (!agreed.ok()) co_return agreed.error();
      continue;
    }
    const Status here = co_await agree_here(change, Patience::patient);
    if (!here.ok()) co_return here;
  }
  std::erase(change.agreed, self);
  co_return Done{};
}

Task<Status> Coordinator::agree_here(Transaction& change, Patience patience) {
  const std::uint32_t self = server_.topology.rank;
  std::vector<LockKey> keys = lock_keys(change.steps, self);
  const int locked = co_await lock_all(server_, std::move(keys), &change.locks, patience);
  if (locked != 0) co_return Error(-locked);
  const auto objection = object(server_, change.steps, change.uid);
  if (objection.has_value()) {
    change.refused_step = objection->step;
    change.found = objection->found;
    co_return Error(objection->error);
  }
  const Status held = hold(server_, change.steps);
  if (!held.ok()) co_return held.error();
  change.agreed.push_back(self);
  const wire::Attributes own = concerned(server_, change.steps);
  if (own.inode != 0) change.attributes = own;
  co_return Done{};
}

Task<Result<wire::Nothing>> Coordinator::ask(Transaction& change, std::uint32_t rank,
                                             bool at_once) {
  std::vector<std::size_t> indices;  // of the steps that are sent
  for (std::size_t i = 0; i < change.steps.size(); ++i)
    if (change.steps[i].rank == rank) indices.push_back(i);
  const wire::Prepare question{.counter = change.id.counter,
                               .coordinator = change.id.coordinator,
                               .kind = change.kind,
                               .steps = static_cast<std::uint32_t>(indices.size()),
                               .uid = change.uid,
                               .at_once = at_once ? 1u : 0u,
                               .reserved = 0};
  std::string steps = encode_steps(change.steps, rank);
  const auto reply = co_await server_.ask(rank, question, std::move(steps));
  if (!reply.ok()) {
    change.unclear.push_back(rank);
    co_return Error(reply.error().code() == ECANCELED ? EAGAIN : reply.error().code());
  }
  if (reply->refused == wire::Refusal::locked) co_return Error(somebody_waits);
  if (reply->refused != wire::Refusal::none) {
    if (reply->step >= indices.size()) co_return Error(EIO);
    change.refused_step = indices[reply->step];
    change.found = {.inode = reply->found, .type = reply->found_type};
    co_return Error(EAGAIN);
  }
  change.agreed.push_back(rank);
  if (reply->attributes.inode != 0) change.attributes = reply->attributes;
  co_return wire::Nothing{};
}

void Coordinator::abandon(Transaction& change) {
  const std::uint32_t self = server_.topology.rank;
  unlock_all(server_, change.locks);
  if (std::erase(change.agreed, self) != 0) let_go(server_, change.steps);
  pending_.erase(change.id.counter);
  change.agreed.insert(change.agreed.end(), change.unclear.begin(), change.unclear.end());
  for (const std::uint32_t rank : change.agreed)
    server_.loop.spawn(tell_abort(change.id.counter, rank));
  change.agreed.clear();
  change.unclear.clear();
}

// Once: a rank that misses it asks, and hears that nothing was committed.
Task<int> Coordinator::tell_abort(std::uint64_t counter, std::uint32_t rank) {
  const wire::Decide order{
      .counter = counter, .coordinator = server_.topology.rank, .commit = 0, .time = 0};
  const auto told = co_await server_.ask(rank, order);
  co_return told.ok() ? 0 : -told.error().code();
}

void Coordinator::commit(Transaction& change, std::int64_t time) {
  const bool alone = change.agreed.empty();
  if (!alone) reach(change.kind, Moment::before_committed);
  unlock_all(server_, change.locks);
  apply(server_, change.steps, time);
  pending_.erase(change.id.counter);
  if (alone) return;
  Committed& committed = committed_[change.id.counter];
  committed = {.kind = change.kind, .time = time, .ranks = std::move(change.agreed)};
  const std::string bytes = encode(change.id.counter, committed);
  server_.blobs.put(blob_of(change.id.counter), wire::bytes_of(std::string_view(bytes)));
  server_.loop.spawn(tell_all(change.id.counter));
}

Task<int> Coordinator::tell_all(std::uint64_t counter) {
  co_await server_.loop.later();  // the answer leaves first, in one frame with the change
  const auto found = committed_.find(counter);
  if (found == committed_.end()) co_return 0;
  const Committed change = found->second;
  reach(change.kind, Moment::after_committed);
  for (const std::uint32_t rank : change.ranks)
    server_.loop.spawn(tell(counter, rank, change.time));
  co_return 0;
}

Task<int> Coordinator::tell(std::uint64_t counter, std::uint32_t rank, std::int64_t time) {
  const wire::Decide order{
      .counter = counter, .coordinator = server_.topology.rank, .commit = 1, .time = time};
  for (std::int64_t nap = retry_ns_first;; nap = std::min(2 * nap, retry_ns_max)) {
    const auto told = co_await server_.ask(rank, order);
    if (told.ok()) break;
    co_await server_.loop.sleep(nap);
  }
  const auto found = committed_.find(counter);
  if (found == committed_.end()) co_return 0;
  std::erase(found->second.ranks, rank);
  if (!found->second.ranks.empty()) co_return 0;
  committed_.erase(found);
  server_.blobs.drop(blob_of(counter));
  co_return 0;
}

wire::OutcomeReply Coordinator::outcome(std::uint64_t counter) const {
  wire::OutcomeReply reply{};
  reply.decision = wire::Decision::aborted;
  if (pending_.contains(counter)) reply.decision = wire::Decision::pending;
  if (const auto found = committed_.find(counter); found != committed_.end()) {
    reply.decision = wire::Decision::committed;
    reply.time = found->second.time;
  }
  return reply;
}

std::string Coordinator::encode(std::uint64_t counter, const Committed& change) {
  const CommittedHead head{.counter = counter,
                           .time = change.time,
                           .kind = change.kind,
                           .ranks = static_cast<std::uint32_t>(change.ranks.size())};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  return bytes.append(reinterpret_cast<const char*>(change.ranks.data()),
                      change.ranks.size() * sizeof(std::uint32_t));
}

BlobKey Coordinator::blob_of(std::uint64_t counter) const {
  return {.kind = committed_blob, .rank = server_.topology.rank, .counter = counter};
}

Status Coordinator::restore(std::span<const std::byte> bytes) {
  TRY(const auto head, wire::parse<CommittedHead>(bytes));
  if (head.ranks == 0 || bytes.size() != sizeof head + head.ranks * sizeof(std::uint32_t))
    return Error(EBADMSG);
  Committed change{.kind = head.kind, .time = head.time, .ranks = {}};
  change.ranks.resize(head.ranks);
  std::memcpy(change.ranks.data(), bytes.data() + sizeof head, bytes.size() - sizeof head);
  for (const std::uint32_t rank : change.ranks)
    if (rank >= server_.topology.size) return Error(EBADMSG);
  committed_[head.counter] = std::move(change);
  counter_ = std::max(counter_, head.counter);
  server_.loop.spawn(tell_all(head.counter));
  return Done{};
}

}  // namespace benchfs
