// Closing the least recently used connection, by agreement: a request on its way must not be lost.
#include "daemon/peer/core.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {

void Core::used(Connection& connection) {
  if (connection.state == State::dead) return;
  connections_.splice(connections_.begin(), connections_, connection.position);
  if (connection.calls.empty() && connection.replies == 0) {
    connection.heard = true;
    connection.silent_ns = 0;
  }
}

void Core::released(const std::shared_ptr<Connection>& connection) {
  if (connections_.size() > options_.connections_max && connection->idle()) trim();
}

void Core::trim() {
  std::size_t open = 0;
  for (const auto& connection : connections_) open += connection->state == State::open ? 1 : 0;
  for (auto at = connections_.rbegin();
       open > options_.connections_max && at != connections_.rend(); ++at) {
    const auto& connection = *at;
    if (connection == connections_.front()) return;  // whoever it was opened for comes next
    if (connection->state != State::open || !connection->idle()) continue;
    if (!links_[connection->rank].waiters.empty()) continue;
    enter(connection, State::leaving);
    note(connection, Kind::leave);
    --open;
  }
}

void Core::handle_leave(const std::shared_ptr<Connection>& connection) {
  if (connection->state == State::leaving) return close(connection, 0);  // both asked at once
  Link& link = links_[connection->rank];
  if (!connection->idle() || !link.waiters.empty()) return note(connection, Kind::leave_refused);
  by_number_.erase(connection->number);
  if (link.current == connection) link.current = nullptr;
  enter(connection, State::left);
  note(connection, Kind::leave_agreed);  // closed when this has left
}

void Core::note(const std::shared_ptr<Connection>& connection, Kind kind) {
  Header header{};
  header.kind = kind;
  header.connection = connection->number;
  send_note(connection, header);
}

}  // namespace benchfs::peer
