#include "daemon/peer/peer_channel.h"

#include <sodium.h>

#include "daemon/peer/core.h"
#include "daemon/peer/error.h"

namespace benchfs {

PeerCall::PeerCall(std::unique_ptr<peer::Incoming> incoming) : incoming_(std::move(incoming)) {}
PeerCall::PeerCall(PeerCall&&) noexcept = default;
PeerCall::~PeerCall() = default;

std::uint32_t PeerCall::source() const { return incoming_->connection->rank; }
std::uint64_t PeerCall::connection() const { return incoming_->connection->number; }
std::span<const std::byte> PeerCall::body() const { return incoming_->body; }
std::span<std::byte> PeerCall::data() { return incoming_->data; }

Task<Status> PeerCall::reply(std::vector<std::byte> body, std::span<const std::byte> data) {
  incoming_->answered = true;
  return incoming_->core.reply(incoming_->connection, incoming_->number, std::move(body), data);
}

Result<std::unique_ptr<PeerChannel>> PeerChannel::create(EventLoop& loop,
                                                         const PeerOptions& options,
                                                         std::string& why) {
  if (::sodium_init() < 0) {
    why = "Failed to initialise libsodium: no source of randomness";
    return Error(EIO);
  }
  TRY(peer::UcxContext context, peer::UcxContext::create(why));
  auto core = std::make_unique<peer::Core>(loop, options, std::move(context));
  if (const ucs_status_t status = core->listen(); status != UCS_OK) {
    why =
        std::string("Failed to create UCX context: active messages: ") + ucs_status_string(status);
    return peer::error_of(status);
  }
  std::unique_ptr<PeerChannel> channel(new PeerChannel(std::move(core)));
  loop.add(*channel);
  return channel;
}

PeerChannel::PeerChannel(std::unique_ptr<peer::Core> core) : core_(std::move(core)) {}
PeerChannel::~PeerChannel() = default;

std::span<const std::byte> PeerChannel::address() const { return core_->address(); }

void PeerChannel::start(const PeerIdentity& identity, std::vector<std::vector<std::byte>> addresses,
                        Handler handler) {
  core_->start(identity, std::move(addresses), std::move(handler));
}

Task<Result<PeerReply>> PeerChannel::call(std::uint32_t rank, std::vector<std::byte> body,
                                          std::span<const std::byte> send,
                                          std::span<std::byte> receive) {
  return core_->call(rank, std::move(body), send, receive);
}

void PeerChannel::set_hooks(PeerHooks hooks) { core_->set_hooks(std::move(hooks)); }
void PeerChannel::greet_all() { core_->greet_all(); }
void PeerChannel::update(std::uint32_t rank, std::vector<std::byte> address,
                         std::uint32_t incarnation) {
  core_->update(rank, std::move(address), incarnation);
}
void PeerChannel::ended(std::uint32_t rank) { core_->ended(rank); }
std::uint32_t PeerChannel::incarnation(std::uint32_t rank) const {
  return core_->incarnation(rank);
}

PeerStatistics PeerChannel::statistics() const { return core_->statistics(); }
Task<Status> PeerChannel::shutdown(std::int64_t deadline_ns) {
  return core_->shutdown(deadline_ns);
}
bool PeerChannel::poll() { return core_->poll(); }
bool PeerChannel::arm() { return core_->arm(); }

}  // namespace benchfs
