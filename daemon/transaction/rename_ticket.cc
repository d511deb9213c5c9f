#include "daemon/transaction/rename_ticket.h"

#include <utility>
#include <vector>

#include "daemon/handlers/common.h"
#include "daemon/rpc/server.h"

namespace benchfs {
namespace {

constexpr std::int64_t doubt_ns = 500'000'000;  // a directory is moved in less

}  // namespace

Task<Result<std::uint64_t>> RenameTicket::take() {
  const std::uint64_t id = ++last_id_;
  held_.insert(id);
  const wire::RenameTicket question{
      .id = id, .holder = server_.topology.rank, .action = wire::TicketAction::take};
  const auto lent = co_await server_.ask(0, question);
  if (lent.ok()) co_return id;
  held_.erase(id);
  co_return lent.error();
}

void RenameTicket::give(std::uint64_t id) {
  held_.erase(id);
  server_.loop.spawn(tell_given(id));
}

// Once: if it is missed, rank 0 asks.
Task<int> RenameTicket::tell_given(std::uint64_t id) {
  co_await server_.loop.later();
  const wire::RenameTicket message{
      .id = id, .holder = server_.topology.rank, .action = wire::TicketAction::give};
  const auto told = co_await server_.ask(0, message);
  co_return told.ok() ? 0 : -told.error().code();
}

std::uint64_t RenameTicket::held(std::uint64_t id) const {
  if (id == 0) return held_.empty() ? 0 : *held_.begin();
  return held_.contains(id) ? id : 0;
}

Task<Status> RenameTicket::lend(std::uint32_t holder, std::uint64_t id) {
  if (std::exchange(forgotten_, false)) co_await find_holder();
  const Claim claim{.holder = holder, .id = id};
  if (holder_ == claim) co_return Done{};  // asked again
  if (!holder_.has_value()) {
    holder_ = claim;
    co_return Done{};
  }
  Completion turn(server_.loop);
  const Waiter waiter{.claim = claim, .turn = &turn};
  waiting_.push_back(waiter);
  if (!std::exchange(watching_, true)) server_.loop.spawn(watch_holder());
  co_await turn;
  co_return Done{};
}

void RenameTicket::take_back(std::uint32_t holder, std::uint64_t id) {
  if (holder_ == Claim{.holder = holder, .id = id}) next();
}

void RenameTicket::next() {
  holder_.reset();
  if (!waiting_.empty()) holder_ = waiting_.front().claim;
  std::erase_if(waiting_, [&](const Waiter& waiter) {
    if (waiter.claim != holder_) return false;
    waiter.turn->finish(0);
    return true;
  });
  if (waiting_.empty() && waker_ != nullptr) {
    server_.loop.cancel(timer_);
    std::exchange(waker_, nullptr)->finish(0);
  }
}

// Whoever of all ranks has it, from before this process started.
Task<int> RenameTicket::find_holder() {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < server_.topology.size; ++rank) ranks.push_back(rank);
  const wire::RenameTicket question{.id = 0, .holder = 0, .action = wire::TicketAction::held};
  const auto replies = co_await ask_all<wire::RenameTicketReply>(
      server_, ranks, [&](std::uint32_t rank) { return server_.ask(rank, question); });
  for (const std::uint32_t rank : ranks)
    if (!holder_.has_value() && replies[rank].ok() && replies[rank]->id != 0)
      holder_ = Claim{.holder = rank, .id = replies[rank]->id};
  co_return 0;
}

Task<int> RenameTicket::watch_holder() {
  while (!waiting_.empty()) {
    const std::optional<Claim> before = holder_;
    Completion wake(server_.loop);
    timer_ = server_.loop.at(sys::now_ns() + doubt_ns, wake);
    waker_ = &wake;
    co_await wake;
    waker_ = nullptr;
    if (waiting_.empty() || holder_ != before || !before.has_value()) continue;
    const wire::RenameTicket question{
        .id = before->id, .holder = before->holder, .action = wire::TicketAction::held};
    const auto reply = co_await server_.ask(before->holder, question);
    const bool still = reply.ok() && reply->id == before->id;
    if (!still && holder_ == before) next();
  }
  watching_ = false;
  co_return 0;
}

}  // namespace benchfs
