// Incoming requests, and their answers.
#include "daemon/peer/core.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {

Incoming::Incoming(Core& c, std::shared_ptr<Connection> from, std::uint64_t call)
    : core(c), connection(std::move(from)), number(call) {
  core.request_begins(*connection);
}

Incoming::~Incoming() {
  if (!answered) core.reply_error(connection, number, error);
  core.request_ends(connection);
}

void Core::request_begins(Connection& connection) {
  used(connection);
  ++connection.serving;
  ++requests_;
  ++statistics_.requests_received;
}

void Core::request_ends(const std::shared_ptr<Connection>& connection) {
  --connection->serving;
  --requests_;
  released(connection);
  notify();
}

void Core::serve(Message message) {
  auto incoming = std::make_unique<Incoming>(*this, message.connection, message.header.call);
  if (message.descriptor != nullptr) {
    incoming->body = std::move(message.body);
    loop_.spawn(fetch(std::move(incoming), message.descriptor, message.header));
    return;
  }
  incoming->body = std::move(message.body);
  incoming->buffer = std::move(message.data);
  incoming->data = incoming->buffer.bytes();
  handler_(PeerCall(std::move(incoming)));
}

// Bulk is asked for when there is a buffer for it: until then the peer keeps it.
Task<Done> Core::fetch(std::unique_ptr<Incoming> incoming, void* descriptor, Header header) {
  const Busy busy(*this);
  watch_over();  // for the memory that is kept
  const std::size_t body_bytes = (header.flags & body_in_payload) != 0 ? header.body_bytes : 0;
  auto buffer = co_await buffers_.take(body_bytes + header.data_bytes);
  if (!buffer.ok() || incoming->connection->state == State::dead) {
    ucp_am_data_release(worker(), descriptor);
    if (!buffer.ok()) incoming->error = buffer.error() == Error(ENOMEM) ? ENOMEM : EIO;
    co_return Done{};
  }
  incoming->buffer = *std::move(buffer);
  Operation fetching(*incoming->connection);
  fetching.receive(descriptor, incoming->buffer.bytes());
  if (co_await fetching.done < 0 || closing_) co_return Done{};
  // Whoever asked has another connection by now, and asks again.
  if (incoming->connection->state == State::dead) co_return Done{};

  const auto bytes = incoming->buffer.bytes();
  if (body_bytes != 0) {
    const auto body = bytes.first(body_bytes);
    incoming->body.assign(body.begin(), body.end());
  }
  incoming->data = bytes.subspan(body_bytes);
  handler_(PeerCall(std::move(incoming)));
  co_return Done{};
}

Task<Status> Core::reply(std::shared_ptr<Connection> connection, std::uint64_t number,
                         std::vector<std::byte> body, std::span<const std::byte> data) {
  const Busy busy(*this);
  if (body.size() > body_bytes_max || data.size() > data_bytes_max) {
    reply_error(connection, number, EMSGSIZE);
    co_return Error(EMSGSIZE);
  }
  if (!connection->usable()) co_return Error(EIO);
  Header header{};
  header.kind = Kind::reply;
  header.connection = connection->number;
  header.call = number;
  used(*connection);
  ++connection->replies;
  if (data.size() > eager_bytes_max) watch_over();  // its end depends on the peer

  const Outgoing answer(header, body, data);
  Operation sending(*connection);
  sending.send(answer);
  const int result = co_await sending.done;
  --connection->replies;
  released(connection);
  if (result < 0) co_return Error(EIO);
  co_return Done{};
}

void Core::reply_error(const std::shared_ptr<Connection>& connection, std::uint64_t number,
                       int error) {
  if (!connection->usable()) return;
  Header header{};
  header.kind = Kind::reply;
  header.connection = connection->number;
  header.call = number;
  header.error = static_cast<std::uint32_t>(error);
  send_note(connection, header);
}

}  // namespace benchfs::peer
