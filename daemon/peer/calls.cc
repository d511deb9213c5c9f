// Outgoing requests.
#include <cstring>

#include "daemon/peer/core.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {

Task<Result<PeerReply>> Core::call(std::uint32_t rank, std::vector<std::byte> body,
                                   std::span<const std::byte> send, std::span<std::byte> receive) {
  const Busy busy(*this);
  if (body.size() > body_bytes_max || send.size() > data_bytes_max) co_return Error(EMSGSIZE);
  if (!started_ || rank >= links_.size() || rank == identity_.rank) co_return Error(EINVAL);
  for (;;) {
    auto result = co_await attempt(rank, body, send, receive);
    if (result.ok() || result.error() != Error(connection_lost)) co_return result;
    if (!worth_another_attempt(rank)) co_return Error(EIO);
  }
}

bool Core::worth_another_attempt(std::uint32_t rank) {
  Link& link = links_[rank];
  if (closing_ || link.ended) return false;
  const std::int64_t timeout_ns = std::int64_t{options_.request_timeout_ms} * 1'000'000;
  if (link.down_since_ns != 0 && sys::now_ns() - link.down_since_ns >= timeout_ns) link.lost = true;
  look_up(rank);
  return !link.lost;
}

Task<Result<PeerReply>> Core::attempt(std::uint32_t rank, std::span<const std::byte> body,
                                      std::span<const std::byte> send,
                                      std::span<std::byte> receive) {
  if (closing_ || links_[rank].ended) co_return Error(EIO);
  std::shared_ptr<Connection> connection = links_[rank].current;
  if (!connection || connection->state != State::open) {
    auto result = co_await connected(rank);
    if (!result.ok()) co_return result.error();
    connection = *std::move(result);
  }

  Call call(loop_);
  call.receive = receive;
  Header header{};
  header.kind = Kind::request;
  header.connection = connection->number;
  header.call = ++call_sequence_;
  used(*connection);
  connection->calls.emplace(header.call, &call);
  watch_over();

  const Outgoing request(header, body, send);
  Operation sending(*connection);
  sending.send(request);
  int result = co_await call.answered;

  if (call.descriptor != nullptr) {
    const std::size_t body_bytes =
        (call.header.flags & body_in_payload) != 0 ? call.header.body_bytes : 0;
    std::vector<std::byte> joined(body_bytes == 0 ? 0 : body_bytes + call.header.data_bytes);
    Operation fetching(*connection);
    fetching.receive(call.descriptor,
                     joined.empty() ? receive.first(call.header.data_bytes) : std::span(joined));
    const int fetched = co_await fetching.done;
    if (result == 0 && fetched < 0) result = connection->lied ? -EIO : -connection_lost;
    if (fetched == 0 && !joined.empty()) {
      const auto middle = joined.begin() + static_cast<std::ptrdiff_t>(body_bytes);
      call.body.assign(joined.begin(), middle);
      std::memcpy(receive.data(), joined.data() + body_bytes, call.header.data_bytes);
    }
  }
  co_await sending.done;  // `send` may still be in use although the answer is here

  connection->calls.erase(header.call);
  released(connection);
  // An answer of a process that has a successor by now: that one does not know what it promised.
  if (connection->incarnation != links_[rank].incarnation) co_return Error(connection_lost);
  // How UCX ended it is of no use to an application.
  if (result == -ECANCELED || result == -ETIMEDOUT) co_return Error(EIO);
  if (result < 0) co_return Error(-result);
  co_return PeerReply{.body = std::move(call.body), .data_bytes = call.header.data_bytes};
}

}  // namespace benchfs::peer
