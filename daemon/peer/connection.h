// Connection: one endpoint to one peer and what is outstanding on it; Link: all about one rank.
//
// Private to daemon/peer. Connections are shared: whoever awaits something on one keeps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/peer/endpoint.h"
#include "daemon/peer/hello.h"
#include "daemon/peer/messages.h"

namespace benchfs::peer {

class Core;

// An outgoing request: lives in the frame of Core::call.
struct Call {
  explicit Call(EventLoop& loop) : answered(loop) {}

  Completion answered;  // 0, or -errno: what the peer answered, or why there is no answer
  std::span<std::byte> receive;
  Header header{};  // of the answer
  std::vector<std::byte> body;
  void* descriptor = nullptr;  // UCX's, when bulk of the answer is still at the peer
};

struct Connection : std::enable_shared_from_this<Connection> {
  enum class State : std::uint8_t {
    greeting,  // we said hello
    proving,   // we challenged, and wait for the proof
    open,
    leaving,  // open, and we asked to close it
    left,     // we agreed to close it, and only have to say so
    dead,
  };

  Connection(Core& c, std::uint32_t r) : core(c), rank(r) {}

  bool usable() const { return state == State::open || state == State::leaving; }
  // After a failure that UCX reported the endpoint is only good for being closed.
  bool can_send() const { return endpoint.get() != nullptr && !transport_failed; }
  // Nothing of either side is outstanding, as far as this side knows.
  bool idle() const { return calls.empty() && serving == 0 && replies == 0; }

  Core& core;
  const std::uint32_t rank;
  State state = State::greeting;
  bool doomed = false;  // its end is queued: nothing more is taken from it
  Endpoint endpoint;
  std::uint64_t number = 0;  // what messages to us name it by
  Handshake handshake{};
  bool proof_sent = false;
  bool peer_closed = false;
  bool lied = false;              // broke the protocol: what it was asked is not asked again
  std::uint32_t incarnation = 0;  // of the peer
  bool transport_failed = false;  // UCX said so: nothing can be sent any more
  std::vector<std::byte> address;

  std::unordered_map<std::uint64_t, Call*> calls;
  std::uint32_t serving = 0;  // the peer's requests that live here
  std::uint32_t replies = 0;  // answers on their way

  bool heard = true;  // since the last look of the monitor
  std::int64_t silent_ns = 0;
  std::int64_t state_since_ns = 0;
  std::list<std::shared_ptr<Connection>>::iterator position;  // in the order of use
};

struct Link {
  std::vector<std::byte> address;
  std::shared_ptr<Connection> current;    // calls go here once it is open
  std::shared_ptr<Connection> candidate;  // the peer said hello; replaces `current` when it proved
  std::vector<Completion*> waiters;       // 0: look again, -errno: give up
  std::int64_t not_before_ns = 0;         // no new endpoint before this time
  std::int64_t down_since_ns = 0;         // no sign of life since; 0: it can be reached
  std::int64_t look_up_ns = 0;            // when it was last asked where the rank is
  std::uint32_t incarnation = 0;          // the highest that was seen
  bool lost = false;      // down for longer than the time-out: one attempt for each request
  bool ended = false;     // for good
  int greetings = 0;      // unanswered in a row
  bool reported = false;  // its trouble was logged since it last worked
};

}  // namespace benchfs::peer
