#include "daemon/peer/operation.h"

#include <cstring>

#include "daemon/peer/core.h"
#include "daemon/peer/error.h"

namespace benchfs::peer {

Outgoing::Outgoing(Header header, std::span<const std::byte> body,
                   std::span<const std::byte> data) {
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.data_bytes = static_cast<std::uint32_t>(data.size());
  header_bytes_ = sizeof header;
  payload_ = data;
  if (body.size() <= inline_body_bytes_max) {
    if (!body.empty()) std::memcpy(header_.data() + sizeof header, body.data(), body.size());
    header_bytes_ += body.size();
  } else {
    header.flags = body_in_payload;
    if (data.empty()) {
      payload_ = body;
    } else {
      joined_.reserve(body.size() + data.size());
      joined_.insert(joined_.end(), body.begin(), body.end());
      joined_.insert(joined_.end(), data.begin(), data.end());
      payload_ = joined_;
    }
  }
  std::memcpy(header_.data(), &header, sizeof header);
  // A body alone is eager whatever its length: the receiver has it in one piece, without asking.
  flags_ = data.size() > eager_bytes_max ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER;
}

Operation::Operation(Connection& connection)
    : done(connection.core.loop()), connection_(connection) {}

void Operation::send(const Outgoing& message) {
  Core& core = connection_.core;
  if (!connection_.can_send()) return done.finish(-EIO);
  core.count_sent(message.header().size() - sizeof(Header) + message.payload().size());
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  params.flags = message.flags();
  params.cb.send = &Operation::sent;
  params.user_data = this;
  core.operation_started();
  void* request = ucp_am_send_nbx(connection_.endpoint.get(), am_id, message.header().data(),
                                  message.header().size(), message.payload().data(),
                                  message.payload().size(), &params);
  if (!UCS_PTR_IS_PTR(request)) finish(nullptr, UCS_PTR_RAW_STATUS(request));
}

void Operation::receive(void* descriptor, std::span<std::byte> into) {
  expected_bytes_ = into.size();
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  params.cb.recv_am = &Operation::received;
  params.user_data = this;
  connection_.core.operation_started();
  void* request = ucp_am_recv_data_nbx(connection_.core.worker(), descriptor, into.data(),
                                       into.size(), &params);
  if (UCS_PTR_IS_ERR(request)) finish(nullptr, UCS_PTR_STATUS(request));
}

void Operation::sent(void* request, ucs_status_t status, void* self) {
  static_cast<Operation*>(self)->finish(request, status);
}

void Operation::received(void* request, ucs_status_t status, std::size_t length, void* self) {
  auto* operation = static_cast<Operation*>(self);
  if (status == UCS_OK && length != operation->expected_bytes_) status = UCS_ERR_MESSAGE_TRUNCATED;
  operation->finish(request, status);
}

void Operation::finish(void* request, ucs_status_t status) {
  if (request != nullptr) ucp_request_free(request);
  Core& core = connection_.core;
  if (status == UCS_OK) {
    connection_.heard = true;  // long transfers have no other sign of life
  } else {
    core.doom(connection_, ucs_status_string(status));
  }
  done.finish(-errno_of(status));
  core.operation_ended();
}

namespace {

struct Note {
  std::shared_ptr<Connection> connection;
  Header header;
  std::vector<std::byte> payload;
};

void on_note_ended(void* request, ucs_status_t status, void* argument) {
  const std::unique_ptr<Note> note(static_cast<Note*>(argument));
  if (request != nullptr) ucp_request_free(request);
  Core& core = note->connection->core;
  if (status != UCS_OK) core.doom(*note->connection, ucs_status_string(status));
  // The last word on this connection has left.
  if (note->header.kind == Kind::leave_agreed) core.doom(*note->connection, "closed by agreement");
  core.note_ended();
}

}  // namespace

void send_note(const std::shared_ptr<Connection>& connection, const Header& header,
               std::vector<std::byte> payload) {
  Core& core = connection->core;
  if (!connection->can_send()) return;
  auto note = std::make_unique<Note>(Note{connection, header, std::move(payload)});
  note->header.body_bytes = static_cast<std::uint32_t>(note->payload.size());
  if (!note->payload.empty()) note->header.flags = body_in_payload;
  core.count_sent(note->payload.size());

  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  params.flags = UCP_AM_SEND_FLAG_EAGER;
  // So that a peer that refuses the hello knows which connection to close.
  if (header.kind == Kind::hello) params.flags |= UCP_AM_SEND_FLAG_REPLY;
  params.cb.send = &on_note_ended;
  params.user_data = note.get();
  core.note_started();
  void* request =
      ucp_am_send_nbx(connection->endpoint.get(), am_id, &note->header, sizeof note->header,
                      note->payload.data(), note->payload.size(), &params);
  Note* const sent = note.release();  // on_note_ended's from here on
  if (!UCS_PTR_IS_PTR(request)) on_note_ended(nullptr, UCS_PTR_RAW_STATUS(request), sent);
}

namespace {

struct Refusal {
  Core& core;
  Header header;
};

void on_refusal_ended(void* request, ucs_status_t, void* argument) {
  const std::unique_ptr<Refusal> refusal(static_cast<Refusal*>(argument));
  if (request != nullptr) ucp_request_free(request);
  refusal->core.note_ended();
}

}  // namespace

void send_refusal(Core& core, ucp_ep_h endpoint, std::uint64_t connection) {
  auto refusal = std::make_unique<Refusal>(Refusal{core, Header{}});
  refusal->header.kind = Kind::refused;
  refusal->header.connection = connection;
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  params.flags = UCP_AM_SEND_FLAG_EAGER;
  params.cb.send = &on_refusal_ended;
  params.user_data = refusal.get();
  core.note_started();
  void* request = ucp_am_send_nbx(endpoint, am_id, &refusal->header, sizeof refusal->header,
                                  nullptr, 0, &params);
  Refusal* const sent = refusal.release();  // on_refusal_ended's from here on
  if (!UCS_PTR_IS_PTR(request)) on_refusal_ended(nullptr, UCS_PTR_RAW_STATUS(request), sent);
}

}  // namespace benchfs::peer
