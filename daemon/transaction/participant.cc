#include "daemon/transaction/participant.h"

#include <algorithm>

#include "common/log.h"
#include "daemon/handlers/common.h"
#include "daemon/loop/completion.h"
#include "daemon/rpc/server.h"
#include "daemon/transaction/fault_points.h"

namespace benchfs {
namespace {

constexpr std::int64_t first_question_ns = 200'000'000;
constexpr std::int64_t question_every_ns_max = 2'000'000'000;
constexpr std::size_t past_max = 1024;

}  // namespace

Task<Result<wire::PrepareReply>> Participant::prepare(wire::Prepare request,
                                                      std::vector<Step> steps) {
  const TransactionId id{.coordinator = request.coordinator, .counter = request.counter};
  if (past_set_.contains(id)) co_return Error(ECANCELED);
  if (const auto known = prepared_.find(id); known != prepared_.end()) {
    if (!known->second->agreed) {
      Completion turn(server_.loop);
      known->second->others.push_back(&turn);
      const int result = co_await turn;
      if (result != 0) co_return Error(-result);
    }
    const auto again = prepared_.find(id);
    if (again == prepared_.end()) co_return Error(ECANCELED);
    wire::PrepareReply reply{};
    reply.attributes = concerned(server_, again->second->steps);
    co_return reply;
  }
  auto owned = std::make_unique<Prepared>();
  Prepared& change = *owned;
  change.id = id;
  change.kind = request.kind;
  change.uid = request.uid;
  change.steps = std::move(steps);
  prepared_.emplace(id, std::move(owned));
  const Patience patience = request.at_once != 0 ? Patience::impatient : Patience::patient;
  auto reply = co_await agree(change, patience);
  const bool agreed = reply.ok() && reply->refused == wire::Refusal::none;
  const int told = agreed ? 0 : reply.ok() ? -ECANCELED : -reply.error().code();
  for (Completion* other : change.others) other->finish(told);
  change.others.clear();
  if (!agreed) drop(id);
  co_return reply;
}

Task<Result<wire::PrepareReply>> Participant::agree(Prepared& change, Patience patience) {
  std::vector<LockKey> keys = lock_keys(change.steps, server_.topology.rank);
  const int locked = co_await lock_all(server_, std::move(keys), &change.locks, patience);
  if (locked == -somebody_waits) {
    wire::PrepareReply waits{};
    waits.refused = wire::Refusal::locked;
    co_return waits;
  }
  if (locked != 0) co_return Error(-locked);
  if (change.abandoned) co_return Error(ECANCELED);
  wire::PrepareReply reply{};
  if (const auto objection = object(server_, change.steps, change.uid)) {
    if (objection->error != EAGAIN) co_return Error(objection->error);
    reply.refused = wire::Refusal::other_entry;
    reply.step = static_cast<std::uint32_t>(objection->step);
    reply.found = objection->found.inode;
    reply.found_type = objection->found.type;
    co_return reply;
  }
  reach(change.kind, Moment::before_prepared);
  const Status held = hold(server_, change.steps);
  if (!held.ok()) co_return held.error();
  reply.attributes = concerned(server_, change.steps);
  server_.blobs.put(blob_of(change.id), wire::bytes_of(std::string_view(encode(change))));
  change.agreed = true;
  change.patience_ns = first_question_ns;
  change.ask_at_ns = sys::now_ns() + first_question_ns;
  reach_later(server_.loop, change.kind, Moment::after_prepared);
  watch();
  co_return reply;
}

void Participant::drop(TransactionId id) {
  const auto found = prepared_.find(id);
  unlock_all(server_, found->second->locks);
  prepared_.erase(found);
  if (prepared_.empty() && waker_ != nullptr) {
    server_.loop.cancel(timer_);
    std::exchange(waker_, nullptr)->finish(0);
  }
}

void Participant::decide(TransactionId id, bool commit, std::int64_t time) {
  const auto found = prepared_.find(id);
  if (found == prepared_.end()) return;
  Prepared& change = *found->second;
  if (!change.agreed) {  // nobody commits what was not agreed to
    change.abandoned = true;
    return;
  }
  reach(change.kind, Moment::before_decided);
  const wire::TransactionKind kind = change.kind;
  const std::vector<Step> steps = std::move(change.steps);
  drop(id);
  server_.blobs.drop(blob_of(id));
  if (commit)
    apply(server_, steps, time);
  else
    let_go(server_, steps);
  past_.push_back(id);
  past_set_.insert(id);
  if (past_.size() > past_max) {
    past_set_.erase(past_.front());
    past_.pop_front();
  }
  reach_later(server_.loop, kind, Moment::after_decided);
}

void Participant::watch() {
  if (watching_) return;
  watching_ = true;
  server_.loop.spawn(ask_when_silent());
}

Task<int> Participant::ask_when_silent() {
  while (!prepared_.empty()) {
    std::int64_t next = sys::now_ns() + question_every_ns_max;
    for (const auto& [id, change] : prepared_)
      if (change->agreed) next = std::min(next, change->ask_at_ns);
    Completion wake(server_.loop);
    timer_ = server_.loop.at(next, wake);
    waker_ = &wake;
    co_await wake;
    waker_ = nullptr;
    const std::int64_t now = sys::now_ns();
    std::vector<TransactionId> silent;
    for (const auto& [id, change] : prepared_) {
      if (!change->agreed || change->ask_at_ns > now) continue;
      change->patience_ns = std::min(2 * change->patience_ns, question_every_ns_max);
      change->ask_at_ns = now + change->patience_ns;
      silent.push_back(id);
    }
    for (const TransactionId& id : silent) server_.loop.spawn(ask_outcome(id));
  }
  watching_ = false;
  co_return 0;
}

Task<int> Participant::ask_outcome(TransactionId id) {
  const wire::Outcome question{.counter = id.counter};
  const auto outcome = co_await server_.ask(id.coordinator, question);
  const auto found = prepared_.find(id);
  if (found == prepared_.end()) co_return 0;
  if (!outcome.ok()) {
    // Nobody can tell: the names stay as they are and locked, but nobody hangs on them.
    for (const LockKey& key : found->second->locks) server_.names.fail_lock(key, -EIO);
    co_return 0;
  }
  if (outcome->decision != wire::Decision::pending)
    decide(id, outcome->decision == wire::Decision::committed, outcome->time);
  server_.commit();
  server_.names.show_changes();
  co_return 0;
}

std::string Participant::encode(const Prepared& change) const {
  const wire::Prepare head{.counter = change.id.counter,
                           .coordinator = change.id.coordinator,
                           .kind = change.kind,
                           .steps = static_cast<std::uint32_t>(change.steps.size()),
                           .uid = change.uid,
                           .at_once = 0,
                           .reserved = 0};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  return bytes.append(encode_steps(change.steps, server_.topology.rank));
}

Status Participant::restore(std::span<const std::byte> blob) {
  TRY(const auto head, wire::parse<wire::Prepare>(blob));
  TRY(auto steps, decode_steps(blob.subspan(sizeof head), head.steps, server_.topology.rank,
                               server_.topology.size));
  auto change = std::make_unique<Prepared>();
  change->id = {.coordinator = head.coordinator, .counter = head.counter};
  change->kind = head.kind;
  change->uid = head.uid;
  change->steps = std::move(steps);
  for (LockKey& key : lock_keys(change->steps, server_.topology.rank)) {
    auto lock = server_.names.lock(server_.loop, key);
    lock.start();
    if (!lock.done()) return Error(EBADMSG);  // two changes that could not both be agreed to
    change->locks.push_back(std::move(key));
  }
  TRY_OK(hold(server_, change->steps));
  change->agreed = true;
  change->patience_ns = first_question_ns;
  change->ask_at_ns = sys::now_ns();
  prepared_[change->id] = std::move(change);
  watch();
  return Done{};
}

}  // namespace benchfs
