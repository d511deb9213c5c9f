// From nothing to an open connection: hello, challenge, proof, accepted.
//
// What must be known of UCX 1.13 for this: it pairs endpoints of two workers by counting those that
// each creates to the other. Closing one does not close the other, over TCP not even the socket,
// and a worker that could not answer in time finds endpoints of peers that gave up. What is sent on
// such a leftover arrives, but long messages are dropped without a word. So who answers a hello
// makes sure that its endpoint is the one the hello came by, and a hello, which is dropped if it
// goes astray, is repeated on a new endpoint.
//
// When two servers greet each other at once, the lower rank's hello counts: the higher one answers
// it on the endpoint it greeted with (UCX has paired the two), the lower ignores the other's.
#include <algorithm>
#include <cstring>

#include "common/log.h"
#include "common/sys.h"
#include "daemon/peer/core.h"
#include "daemon/peer/error.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {
namespace {

constexpr int leftovers_max = 256;

template <class T>
std::vector<std::byte> copy_of(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

Header header_of(Kind kind, std::uint64_t connection) {
  Header header{};
  header.kind = kind;
  header.connection = connection;
  return header;
}

}  // namespace

Task<Result<std::shared_ptr<Connection>>> Core::connected(std::uint32_t rank) {
  Link& link = links_[rank];
  for (;;) {
    if (closing_) co_return Error(EIO);
    if (link.current && link.current->state == State::open) co_return link.current;
    const bool connecting = link.current || link.candidate;
    const bool early = !connecting && sys::now_ns() < link.not_before_ns;
    if (!connecting && !early && !greet(rank).ok()) co_return Error(connection_lost);
    Completion changed(loop_);
    link.waiters.push_back(&changed);
    EventLoop::Timer timer{};
    if (early) timer = loop_.at(link.not_before_ns, changed);
    const int result = co_await changed;
    if (early) loop_.cancel(timer);
    std::erase(link.waiters, &changed);
    if (result < 0 && result != -ETIMEDOUT) co_return Error(-result);
  }
}

Status Core::greet(std::uint32_t rank) {
  Link& link = links_[rank];
  const auto connection = open_endpoint(rank, link.address, nullptr);
  if (!connection) {
    down_since(link, sys::now_ns());
    return Error(EIO);
  }
  connection->handshake.initiator = identity_.rank;
  connection->handshake.initiator_incarnation = identity_.incarnation;
  connection->handshake.responder = rank;
  connection->handshake.initiator_nonce = fresh_nonce();
  rename(*connection, fresh_number());
  enter(connection, State::greeting);
  link.current = connection;
  send_note(connection, header_of(Kind::hello, 0),
            make_hello(identity_, rank, connection->handshake.initiator_nonce, connection->number,
                       address()));
  return Done{};
}

std::shared_ptr<Connection> Core::open_endpoint(std::uint32_t rank, std::vector<std::byte> address,
                                                const void* pair) {
  auto connection = std::make_shared<Connection>(*this, rank);
  connection->address = std::move(address);
  quiet_ = false;
  Endpoint& endpoint = connection->endpoint;
  ucs_status_t status = UCS_ERR_INVALID_ADDR;
  if (!connection->address.empty()) {
    int leftovers = 0;
    do {
      status = endpoint.open(worker(), connection->address, &Core::on_failure, connection.get());
    } while (status == UCS_OK && pair != nullptr && endpoint.get() != pair &&
             ++leftovers < leftovers_max);
    if (leftovers != 0) looks_left_ = looks_after_close;
    if (leftovers == leftovers_max) {
      endpoint.close();
      return nullptr;  // the peer's next hello finds the rest
    }
  }
  if (status != UCS_OK) {
    if (!std::exchange(links_[rank].reported, true)) {
      log::warn("peer rank {}: cannot connect: {}{}", rank, ucs_status_string(status),
                UcxContext::devices_text());
    }
    return nullptr;
  }
  connections_.push_front(connection);
  connection->position = connections_.begin();
  return connection;
}

void Core::on_failure(void* connection, ucp_ep_h, ucs_status_t status) {
  auto& self = *static_cast<Connection*>(connection);
  self.transport_failed = true;
  self.core.doom(self, ucs_status_string(status));
}

void Core::handle_hello(std::span<const std::byte> bytes, const void* endpoint) {
  auto verified = verify_hello(identity_, bytes);
  if (!verified.ok() || closing_) return;
  const std::uint32_t rank = verified->hello.from;
  Link& link = links_[rank];
  if (verified->hello.incarnation < link.incarnation) return;  // of a process that has ended
  std::shared_ptr<Connection> greeting;
  if (link.current && link.current->state == State::greeting &&
      link.current->address == verified->address) {
    if (identity_.rank < rank) return;
    greeting = std::exchange(link.current, nullptr);
  }
  if (link.candidate) close(link.candidate, 0);
  const bool paired = greeting && greeting->endpoint.get() == endpoint;
  const auto connection =
      paired ? greeting : open_endpoint(rank, std::move(verified->address), endpoint);
  link.candidate = connection;
  if (greeting && !paired) close(greeting, 0);
  if (!connection) return wake(link, 0);
  challenge(connection, verified->hello);
}

void Core::challenge(const std::shared_ptr<Connection>& connection, const Hello& hello) {
  connection->handshake = Handshake{.initiator = hello.from,
                                    .responder = identity_.rank,
                                    .initiator_incarnation = hello.incarnation,
                                    .responder_incarnation = identity_.incarnation,
                                    .initiator_nonce = hello.nonce,
                                    .responder_nonce = fresh_nonce()};
  connection->incarnation = hello.incarnation;
  connection->proof_sent = false;
  rename(*connection, connection_number(identity_, connection->handshake));
  enter(connection, State::proving);
  const Challenge text{.nonce = connection->handshake.responder_nonce,
                       .proof = responder_proof(identity_, connection->handshake),
                       .incarnation = identity_.incarnation,
                       .reserved = 0};
  send_note(connection, header_of(Kind::challenge, hello.connection), copy_of(text));
}

void Core::handle_challenge(const std::shared_ptr<Connection>& connection,
                            std::span<const std::byte> body) {
  Challenge text;
  std::memcpy(&text, body.data(), sizeof text);  // its length was checked on arrival
  connection->handshake.responder_nonce = text.nonce;
  connection->handshake.responder_incarnation = text.incarnation;
  connection->incarnation = text.incarnation;
  if (!same(text.proof, responder_proof(identity_, connection->handshake)))
    return lie(connection, "it does not know this instance's secret");
  rename(*connection, connection_number(identity_, connection->handshake));
  connection->proof_sent = true;
  send_note(connection, header_of(Kind::proof, connection->number),
            copy_of(initiator_proof(identity_, connection->handshake)));
}

void Core::handle_proof(const std::shared_ptr<Connection>& connection,
                        std::span<const std::byte> body) {
  Proof proof;
  std::memcpy(proof.data(), body.data(), sizeof proof);  // its length was checked on arrival
  if (!same(proof, initiator_proof(identity_, connection->handshake)))
    return lie(connection, "it does not know this instance's secret");
  send_note(connection, header_of(Kind::accepted, connection->number));

  // A peer that greets has lost the connection there was, or is another process now.
  Link& link = links_[connection->rank];
  const auto old = std::exchange(link.current, connection);
  link.candidate = nullptr;
  link.address = connection->address;
  if (old) close(old, 0);
  opened(connection);
}

void Core::opened(const std::shared_ptr<Connection>& connection) {
  enter(connection, State::open);
  ++statistics_.connections_made;
  Link& link = links_[connection->rank];
  link.reported = false;
  link.greetings = 0;
  link.down_since_ns = link.not_before_ns = 0;
  link.lost = link.ended = false;
  log::debug("peer rank {}: connected", connection->rank);
  const bool restarted = connection->incarnation > link.incarnation;
  link.incarnation = std::max(link.incarnation, connection->incarnation);
  wake(link, 0);
  trim();
  if (restarted && hooks_.restarted) hooks_.restarted(connection->rank);
}

void Core::rename(Connection& connection, std::uint64_t number) {
  by_number_.erase(connection.number);
  connection.number = number;
  by_number_[number] = &connection;
}

void Core::update(std::uint32_t rank, std::vector<std::byte> address, std::uint32_t incarnation) {
  if (rank >= links_.size()) return;
  Link& link = links_[rank];
  if (link.address == address || incarnation < link.incarnation) return;
  link.address = std::move(address);
  link.reported = link.ended = link.lost = false;
  link.not_before_ns = 0;
  if (link.current && link.current->address != link.address)
    close(link.current, 0);
  else
    wake(link, 0);
}

void Core::ended(std::uint32_t rank) {
  if (rank >= links_.size()) return;
  Link& link = links_[rank];
  if (link.current && link.current->usable()) return;  // it speaks to us
  link.ended = true;
  if (link.current) close(link.current, -EIO);
  wake(link, -EIO);
}

// Some at a time, as each costs both sides an endpoint; what is idle then is closed as always.
void Core::greet_all() {
  constexpr std::uint32_t at_once = 16;
  for (std::uint32_t first = 0; first < at_once && first < links_.size(); ++first)
    loop_.spawn(greet_every(first, at_once));
}

Task<Done> Core::greet_every(std::uint32_t first, std::uint32_t step) {
  const Busy busy(*this);
  for (std::uint32_t rank = first; rank < links_.size() && !closing_; rank += step) {
    if (rank == identity_.rank) continue;
    const auto connection = co_await connected(rank);
    if (!connection.ok()) log::debug("peer rank {}: not there yet", rank);
  }
  co_return Done{};
}

}  // namespace benchfs::peer
