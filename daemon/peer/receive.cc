// The UCX callback: from active messages to the inbox, and answers to their calls.
#include <bit>
#include <cstring>

#include "common/log.h"
#include "daemon/peer/core.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {
namespace {

constexpr std::size_t hello_bytes_max = sizeof(Hello) + address_bytes_max + sizeof(Proof);
constexpr std::uint32_t hellos_waiting_max = 4096;

std::size_t control_body_bytes(Kind kind) {
  switch (kind) {
    case Kind::challenge:
      return sizeof(Challenge);
    case Kind::proof:
      return sizeof(Proof);
    default:
      return 0;
  }
}

// Whether lengths and fields agree with each other and with what UCX delivered.
bool well_formed(const Header& header, std::size_t inline_bytes, std::size_t payload_bytes,
                 bool rendezvous) {
  if (header.kind < Kind::challenge || header.kind > Kind::ended) return false;
  if (header.reserved != 0 || (header.flags & ~body_in_payload) != 0) return false;
  const bool in_payload = (header.flags & body_in_payload) != 0;
  if (inline_bytes != (in_payload ? 0 : header.body_bytes)) return false;
  if (header.body_bytes > body_bytes_max || header.data_bytes > data_bytes_max) return false;
  if (payload_bytes != std::size_t{header.data_bytes} + (in_payload ? header.body_bytes : 0))
    return false;
  if (header.kind == Kind::request) return header.error == 0;
  if (header.kind == Kind::reply)
    return header.error == 0 || (header.error < 4096 && payload_bytes == 0);
  return !rendezvous && header.error == 0 && header.call == 0 && header.data_bytes == 0 &&
         header.body_bytes == control_body_bytes(header.kind);
}

}  // namespace

ucs_status_t Core::on_message(void* self, const void* header, std::size_t header_bytes,
                              void* payload, std::size_t payload_bytes,
                              const ucp_am_recv_param_t* param) {
  const std::span head(static_cast<const std::byte*>(header), header_bytes);
  return static_cast<Core*>(self)->receive(head, payload, payload_bytes, *param);
}

ucs_status_t Core::receive(std::span<const std::byte> head, void* payload,
                           std::size_t payload_bytes, const ucp_am_recv_param_t& param) {
  const bool rendezvous = (param.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  ++statistics_.messages_received;
  if (head.size() < sizeof(Header)) return refuse(param, "too short");
  Header header;
  std::memcpy(&header, head.data(), sizeof header);
  head = head.subspan(sizeof header);
  if (header.kind == Kind::hello) {
    if (rendezvous || !head.empty()) return refuse(param, "malformed hello");
    return receive_hello(header, {static_cast<const std::byte*>(payload), payload_bytes}, param);
  }

  const auto found = by_number_.find(header.connection);
  if (found == by_number_.end()) {
    receive_unknown(header, param);
    return UCS_OK;
  }
  Connection& connection = *found->second;
  if (connection.doomed) return UCS_OK;
  if (!well_formed(header, head.size(), payload_bytes, rendezvous)) {
    ++statistics_.messages_refused;
    connection.lied = true;
    doom(connection, "it sent a malformed message");
    return UCS_OK;
  }
  connection.heard = true;
  statistics_.bytes_received += head.size() + payload_bytes;
  if (header.kind == Kind::reply)
    return receive_answer(connection, header, head, payload, rendezvous);

  Message message{.connection = connection.shared_from_this(), .header = header};
  if (rendezvous) {
    message.body.assign(head.begin(), head.end());
    message.descriptor = payload;
    inbox_.push_back(std::move(message));
    return UCS_INPROGRESS;
  }
  std::span<const std::byte> bytes(static_cast<const std::byte*>(payload), payload_bytes);
  if ((header.flags & body_in_payload) != 0) {
    head = bytes.first(header.body_bytes);
    bytes = bytes.subspan(header.body_bytes);
  }
  message.body.assign(head.begin(), head.end());
  if (!bytes.empty()) {
    auto buffer = buffers_.take_now(bytes.size());
    if (!buffer.ok()) {
      doom(connection, "there is no memory for its request");
      return UCS_OK;
    }
    message.data = *std::move(buffer);
    std::memcpy(message.data.bytes().data(), bytes.data(), bytes.size());
  }
  inbox_.push_back(std::move(message));
  return UCS_OK;
}

ucs_status_t Core::receive_hello(const Header& header, std::span<const std::byte> payload,
                                 const ucp_am_recv_param_t& param) {
  if (payload.size() > hello_bytes_max || header.body_bytes != payload.size() || closing_)
    return refuse(param, "malformed hello");
  if (hellos_waiting_ + early_hellos_.size() >= hellos_waiting_max)
    return refuse(param, "too many hellos");
  if ((param.recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) == 0)
    return refuse(param, "malformed hello");
  std::vector<std::byte> bytes(payload.begin(), payload.end());
  if (!started_) {
    early_hellos_.push_back(Message{.connection = nullptr,
                                    .header = header,
                                    .body = std::move(bytes),
                                    .endpoint = param.reply_ep});
    return UCS_OK;
  }
  // Here and not later: only now is there an endpoint to close for sure.
  const auto verified = verify_hello(identity_, bytes);
  if (!verified.ok()) {
    if (verified.error() == Error(EBADMSG)) return refuse(param, "malformed hello");
    Hello hello;
    std::memcpy(&hello, bytes.data(), sizeof hello);
    send_refusal(*this, param.reply_ep, hello.connection);
    return refuse(param, "a hello of another instance, or without this one's secret");
  }
  ++hellos_waiting_;
  inbox_.push_back(Message{.connection = nullptr,
                           .header = header,
                           .body = std::move(bytes),
                           .endpoint = param.reply_ep});
  return UCS_OK;
}

ucs_status_t Core::receive_answer(Connection& connection, const Header& header,
                                  std::span<const std::byte> inline_body, void* payload,
                                  bool rendezvous) {
  const auto found = connection.calls.find(header.call);
  if (!connection.usable() || found == connection.calls.end() ||
      found->second->answered.finished()) {
    connection.lied = true;
    doom(connection, "it answered what nobody asked");
    return UCS_OK;
  }
  Call& call = *found->second;
  if (header.data_bytes > call.receive.size()) {
    connection.lied = true;
    doom(connection, "it answered with more data than was asked for");
    return UCS_OK;
  }
  call.header = header;
  if (rendezvous) {
    call.body.assign(inline_body.begin(), inline_body.end());
    call.descriptor = payload;
  } else {
    std::span<const std::byte> bytes(
        static_cast<const std::byte*>(payload),
        header.data_bytes + ((header.flags & body_in_payload) != 0 ? header.body_bytes : 0U));
    if ((header.flags & body_in_payload) != 0) {
      inline_body = bytes.first(header.body_bytes);
      bytes = bytes.subspan(header.body_bytes);
    }
    call.body.assign(inline_body.begin(), inline_body.end());
    if (!bytes.empty()) std::memcpy(call.receive.data(), bytes.data(), bytes.size());
  }
  const int error = static_cast<int>(header.error);
  call.answered.finish(error == connection_lost ? -EIO : -error);
  return rendezvous ? UCS_INPROGRESS : UCS_OK;
}

// Mostly the last words on a connection closed meanwhile. But a peer that still asks on one that
// failed here does not know of it: it is told by a new hello. (Only that peer knows the number.)
void Core::receive_unknown(const Header& header, const ucp_am_recv_param_t& param) {
  ++statistics_.messages_unknown;
  const auto found = failed_here_.find(header.connection);
  if (found == failed_here_.end()) return close_stranger(param);
  if (header.kind != Kind::ping && header.kind != Kind::request) return;
  greet_again_.push_back(found->second);
  failed_here_.erase(found);
}

// From somebody who proved nothing. UCX drops what else comes by an endpoint that is closed; which
// one that is it says only if the sender wished it to.
ucs_status_t Core::refuse(const ucp_am_recv_param_t& param, std::string_view why) {
  const std::uint64_t count = ++statistics_.messages_refused;
  if (std::has_single_bit(count))  // a stranger must not fill the log
    log::warn("peer channel: refused a message: {} ({} so far)", why, count);
  close_stranger(param);
  return UCS_OK;
}

void Core::close_stranger(const ucp_am_recv_param_t& param) {
  if ((param.recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) == 0) return;
  for (const auto& connection : connections_) {
    if (connection->endpoint.get() != param.reply_ep) continue;
    if (connection->state == State::proving)
      doom(*connection, "it sent something else than the hello asks for");
    return;
  }
  close_endpoint(param.reply_ep);
  looks_left_ = looks_after_close;
}

void Core::handle_inbox() {
  for (const std::uint32_t rank : std::exchange(greet_again_, {})) {
    const Link& link = links_[rank];
    if (!closing_ && !link.current && !link.candidate) (void)greet(rank);
  }
  while (!inbox_.empty()) {
    Message message = std::move(inbox_.front());
    inbox_.pop_front();
    handle(std::move(message));
  }
}

void Core::handle(Message message) {
  if (message.header.kind == Kind::hello) {
    --hellos_waiting_;
    return handle_hello(message.body, message.endpoint);
  }
  const auto connection = message.connection;
  if (connection->state == State::dead || connection->state == State::left) return drop(message);
  // Whoever knows the number we agreed on has accepted our proof, even if `accepted` comes later.
  if (connection->state == State::greeting && connection->proof_sent) opened(connection);
  const Kind kind = message.header.kind;
  if (connection->state == State::greeting && kind == Kind::challenge)
    return handle_challenge(connection, message.body);
  if (connection->state == State::greeting && kind == Kind::refused) {
    connection->lied = !hooks_.look_up;  // else its old address is another's by now
    return fail(connection,
                "it refused the hello: it is of another instance, or has another secret");
  }
  if (connection->state == State::proving && kind == Kind::proof)
    return handle_proof(connection, message.body);
  if (!connection->usable()) {
    ++statistics_.messages_refused;
    connection->lied = true;
    drop(message);
    return fail(connection, "it sent something else than the hello asks for");
  }
  switch (kind) {
    case Kind::accepted:
    case Kind::pong:
      return;
    case Kind::request:
      return serve(std::move(message));
    case Kind::ping:
      return note(connection, Kind::pong);
    case Kind::leave:
      return handle_leave(connection);
    case Kind::leave_agreed:
      if (connection->state == State::leaving) return close(connection, 0);
      break;
    case Kind::leave_refused:
      if (connection->state != State::leaving) break;
      enter(connection, State::open);
      return wake(links_[connection->rank], 0);
    case Kind::ended:
      links_[connection->rank].ended = true;
      [[fallthrough]];
    case Kind::gone:
      connection->peer_closed = true;
      return fail(connection, "it closed the connection");
    default:
      break;
  }
  ++statistics_.messages_refused;
  connection->lied = true;
  fail(connection, "it sent a message out of turn");
}

void Core::drop(Message& message) {
  if (message.descriptor != nullptr)
    ucp_am_data_release(worker(), std::exchange(message.descriptor, nullptr));
}

}  // namespace benchfs::peer
