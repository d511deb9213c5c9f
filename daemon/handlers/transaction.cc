// Questions and orders of servers that coordinate a change; the protocol is in daemon/transaction.
#include "daemon/handlers/common.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {

Task<Answer> handle_prepare(Server& server, const Caller&, wire::Prepare request, Tail tail) {
  if (request.coordinator >= server.topology.size ||
      static_cast<std::uint32_t>(request.kind) >= wire::transaction_kinds)
    co_return Answer(Error(EBADMSG));
  auto steps = decode_steps(tail, request.steps, server.topology.rank, server.topology.size);
  if (!steps.ok()) co_return Answer(steps.error());
  for (Step& step : *steps)
    if (step.kind == wire::StepKind::make_directory) step.inode = 0;  // this rank numbers it
  const auto reply = co_await server.participant.prepare(request, *std::move(steps));
  co_return reply.ok() ? Answer(*reply) : Answer(reply.error());
}

Task<Answer> handle_decide(Server& server, const Caller&, wire::Decide request, Tail) {
  const TransactionId id{.coordinator = request.coordinator, .counter = request.counter};
  server.participant.decide(id, request.commit != 0, request.time);
  co_return Answer(wire::Nothing{});
}

Task<Answer> handle_outcome(Server& server, const Caller&, wire::Outcome request, Tail) {
  co_return Answer(server.coordinator.outcome(request.counter));
}

Task<Answer> handle_rename_ticket(Server& server, const Caller&, wire::RenameTicket request, Tail) {
  wire::RenameTicketReply reply{.id = 0};
  if (request.action == wire::TicketAction::held) {
    reply.id = server.rename_ticket.held(request.id);
    co_return Answer(reply);
  }
  if (server.topology.rank != 0 || request.holder >= server.topology.size || request.id == 0)
    co_return Answer(Error(EINVAL));
  if (request.action == wire::TicketAction::give) {
    server.rename_ticket.take_back(request.holder, request.id);
    co_return Answer(reply);
  }
  if (request.action != wire::TicketAction::take) co_return Answer(Error(EINVAL));
  const Status lent = co_await server.rename_ticket.lend(request.holder, request.id);
  co_return lent.ok() ? Answer(reply) : Answer(lent.error());
}

}  // namespace benchfs
