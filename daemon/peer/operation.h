// Operation: one thing UCX does for a coroutine; Note: a message nobody waits for.
//
// An Operation lives in a coroutine frame, which must await `done` before it ends: UCX may use the
// buffers, and this, until then.
#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/peer/connection.h"
#include "daemon/peer/messages.h"

namespace benchfs::peer {

// A request or answer as it is sent: its header with a short body, and the payload. Refers to the
// body and data it is made of, or, where both must travel in the payload, holds a joined copy.
class Outgoing {
 public:
  Outgoing(Header header, std::span<const std::byte> body, std::span<const std::byte> data);

  std::span<const std::byte> header() const { return std::span(header_).first(header_bytes_); }
  std::span<const std::byte> payload() const { return payload_; }
  std::uint32_t flags() const { return flags_; }

 private:
  std::array<std::byte, sizeof(Header) + inline_body_bytes_max> header_;
  std::size_t header_bytes_;
  std::span<const std::byte> payload_;
  std::vector<std::byte> joined_;
  std::uint32_t flags_;
};

class Operation {
 public:
  explicit Operation(Connection& connection);
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  void send(const Outgoing& message);
  // Fetches what `descriptor` stands for, which must be exactly into.size() bytes.
  void receive(void* descriptor, std::span<std::byte> into);

  Completion done;  // 0 or -errno

 private:
  static void sent(void* request, ucs_status_t status, void* self);
  static void received(void* request, ucs_status_t status, std::size_t length, void* self);
  void finish(void* request, ucs_status_t status);

  Connection& connection_;
  std::size_t expected_bytes_ = 0;
};

// Sends a message without waiting for it. If it cannot leave, the connection is about to fail.
void send_note(const std::shared_ptr<Connection>& connection, const Header& header,
               std::vector<std::byte> payload = {});

// Tells a stranger, in the callback that names its endpoint, that its hello was refused.
void send_refusal(Core& core, ucp_ep_h endpoint, std::uint64_t connection);

}  // namespace benchfs::peer
