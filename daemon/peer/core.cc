// Progress, sleeping, the beginning and the end.
#include "daemon/peer/core.h"

#include <algorithm>

#include "common/sys.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {
namespace {

constexpr int progress_max = 16;  // rounds of UCX in one turn of the loop
constexpr std::int64_t shutdown_ns_max = 300'000'000;

}  // namespace

Core::Core(EventLoop& loop, const PeerOptions& options, UcxContext context)
    : loop_(loop),
      options_(options),
      context_(std::move(context)),
      buffers_(loop, options.buffer_bytes_max) {}

ucs_status_t Core::listen() {
  ucp_am_handler_param_t params{};
  params.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                      UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  params.id = am_id;
  params.flags = UCP_AM_FLAG_WHOLE_MSG;
  params.cb = &Core::on_message;
  params.arg = this;
  const ucs_status_t status = ucp_worker_set_am_recv_handler(worker(), &params);
  if (status == UCS_OK)
    loop_.watch(context_.event_fd(), EPOLLIN, [this](std::uint32_t) { quiet_ = false; });
  return status;
}

Core::~Core() {
  loop_.unwatch(context_.event_fd());
  closing_ = true;
  while (!connections_.empty()) close(connections_.front(), -EIO);
  const std::int64_t deadline_ns = sys::now_ns() + shutdown_ns_max;
  for (int rounds = 0; rounds < looks_after_close || operations_ != 0; ++rounds) {
    ucp_worker_progress(worker());
    if (sys::now_ns() > deadline_ns) break;
  }
  for (Message& message : inbox_) drop(message);
  inbox_.clear();  // before the buffers it holds
}

void Core::start(const PeerIdentity& identity, std::vector<std::vector<std::byte>> addresses,
                 PeerChannel::Handler handler) {
  identity_ = identity;
  handler_ = std::move(handler);
  links_.resize(identity.size);
  for (std::size_t rank = 0; rank < links_.size() && rank < addresses.size(); ++rank)
    links_[rank].address = std::move(addresses[rank]);
  started_ = true;
  for (const auto& hello : std::exchange(early_hellos_, {}))
    handle_hello(hello.body, hello.endpoint);
}

bool Core::poll() {
  if (quiet_) return false;
  bool any = false;
  for (int round = 0; round < progress_max && ucp_worker_progress(worker()) != 0; ++round)
    any = true;
  any |= !inbox_.empty() || !doomed_.empty() || !greet_again_.empty();
  for (auto& [connection, why] : std::exchange(doomed_, {})) fail(std::move(connection), why);
  handle_inbox();
  if (looks_left_ > 0) --looks_left_;
  return any;
}

bool Core::arm() {
  if (quiet_) return true;
  if (looks_left_ > 0 || !inbox_.empty() || !doomed_.empty()) return false;
  if (ucp_worker_arm(worker()) != UCS_OK) return false;
  quiet_ = connections_.empty() && operations_ == 0;
  return true;
}

PeerStatistics Core::statistics() const {
  PeerStatistics now = statistics_;
  now.endpoints = static_cast<std::uint32_t>(connections_.size());
  now.connections = static_cast<std::uint32_t>(std::ranges::count_if(
      connections_, [](const auto& connection) { return connection->usable(); }));
  now.buffer_bytes = buffers_.lent_bytes();
  return now;
}

void Core::operation_ended() {
  --operations_;
  notify();
}

void Core::notify() {
  if (changed_ != nullptr) std::exchange(changed_, nullptr)->finish(0);
}

bool Core::answers_left() const {
  return std::ranges::all_of(connections_, [](const auto& c) { return c->replies == 0; });
}

Task<Done> Core::wait_until(bool (Core::*condition)() const, std::int64_t deadline_ns) {
  while (!(this->*condition)() && sys::now_ns() < deadline_ns) {
    Completion changed(loop_);
    changed_ = &changed;
    const EventLoop::Timer timer = loop_.at(deadline_ns, changed);
    co_await changed;
    loop_.cancel(timer);
    changed_ = nullptr;
  }
  co_return Done{};
}

Task<Status> Core::shutdown(std::int64_t deadline_ns) {
  const std::int64_t now_ns = sys::now_ns();
  deadline_ns = std::min(deadline_ns, now_ns + shutdown_ns_max);
  closing_ = true;
  buffers_.close();
  if (monitor_sleeps_ != nullptr) {
    loop_.cancel(monitor_timer_);
    monitor_sleeps_->finish(0);
  }
  co_await wait_until(&Core::answers_left, now_ns + (deadline_ns - now_ns) / 2);

  // The peers are told, and what UCX still holds of it leaves with the answers.
  const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
  for (const auto& connection : all)
    if (connection->usable()) note(connection, Kind::ended);
  co_await wait_until(&Core::notes_left, now_ns + (deadline_ns - now_ns) * 3 / 4);
  for (const auto& connection : all) close(connection, -EIO);
  for (Link& link : links_) wake(link, -EIO);

  co_await wait_until(&Core::drained, deadline_ns);
  if (!drained()) co_return Error(ETIMEDOUT);
  co_return Done{};
}

}  // namespace benchfs::peer
