// Signs of life, and what happens when there is none.
#include <algorithm>

#include "common/log.h"
#include "common/sys.h"
#include "daemon/peer/core.h"
#include "daemon/peer/operation.h"

namespace benchfs::peer {
namespace {

constexpr std::int64_t leaving_ns_max = 1'000'000'000;
constexpr std::int64_t reconnect_ns = 100'000'000;
constexpr std::int64_t look_up_again_ns = 50'000'000;
constexpr int greetings_max = 3;  // within the time-out
constexpr std::size_t failed_here_max = 1024;

}  // namespace

void Core::doom(Connection& connection, std::string_view why) {
  if (connection.doomed || connection.state == State::dead) return;
  connection.doomed = true;
  doomed_.push_back(Doomed{connection.shared_from_this(), std::string(why)});
}

void Core::fail(std::shared_ptr<Connection> connection, std::string_view why) {
  if (connection->state == State::dead) return;
  connection->doomed = true;
  Link& link = links_[connection->rank];
  const bool expected = connection->state == State::leaving || connection->state == State::left ||
                        (connection->state == State::open && connection->idle());
  if (expected || closing_) {
    log::debug("peer rank {}: connection closed: {}", connection->rank, why);
  } else {
    ++statistics_.connections_lost;
    // What is asked of it is asked again, and if that is no use its failure is told.
    const std::string line = fmt::format("peer rank {}: {}: {}", connection->rank,
                                         connection->usable() ? "lost" : "not connected", why);
    if (connection->lied && !std::exchange(link.reported, true))
      log::warn("{}", line);
    else
      log::debug("{}", line);
    down_since(link, sys::now_ns());
  }
  // UCX 1.13 aborts when a TCP connection is accepted and reset before its first send has returned,
  // which is what a process does whose sockets the kernel is closing one by one.
  if (connection->transport_failed || connection->peer_closed || !connection->usable())
    link.not_before_ns = sys::now_ns() + reconnect_ns;
  // Closing our endpoint tells the peer nothing. If this does not reach it either, it learns it by
  // asking once more.
  if (connection->can_send() && connection->usable()) {
    note(connection, Kind::gone);
    if (failed_here_.size() >= failed_here_max) failed_here_.clear();
    failed_here_.emplace(connection->number, connection->rank);
  }
  const int result = connection->lied ? -EIO : -connection_lost;
  close(std::move(connection), result);
}

void Core::down_since(Link& link, std::int64_t time_ns) {
  if (link.down_since_ns == 0 || time_ns < link.down_since_ns) link.down_since_ns = time_ns;
  link.not_before_ns = std::max(link.not_before_ns, sys::now_ns() + reconnect_ns);
}

void Core::look_up(std::uint32_t rank) {
  Link& link = links_[rank];
  const std::int64_t now_ns = sys::now_ns();
  if (!hooks_.look_up || now_ns < link.look_up_ns + look_up_again_ns) return;
  link.look_up_ns = now_ns;
  hooks_.look_up(rank);
}

// `waiters_result` is for those who wait for this connection to open.
void Core::close(std::shared_ptr<Connection> connection, int waiters_result) {
  if (connection->state == State::dead) return;
  connection->state = State::dead;
  by_number_.erase(connection->number);
  connections_.erase(connection->position);
  connection->endpoint.close();
  looks_left_ = looks_after_close;
  for (const auto& [number, call] : connection->calls)
    if (!call->answered.finished())
      call->answered.finish(connection->lied ? -EIO : -connection_lost);
  Link& link = links_[connection->rank];
  if (link.current == connection) {
    link.current = nullptr;
    wake(link, waiters_result);
  } else if (link.candidate == connection) {
    link.candidate = nullptr;
    wake(link, 0);
  }
}

void Core::wake(Link& link, int result) {
  for (Completion* waiter : std::exchange(link.waiters, {})) waiter->finish(result);
}

void Core::enter(const std::shared_ptr<Connection>& connection, State state) {
  connection->state = state;
  connection->state_since_ns = sys::now_ns();
  if (state != State::open) watch_over();
}

void Core::watch_over() {
  if (monitor_runs_ || closing_) return;
  monitor_runs_ = true;
  loop_.spawn(monitor());
}

// Runs only while something is outstanding somewhere: an idle channel sets no timer.
Task<Done> Core::monitor() {
  const Busy busy(*this);
  const std::int64_t period_ns = std::int64_t{std::max(options_.heartbeat_ms, 1U)} * 1'000'000;
  std::int64_t last_ns = sys::now_ns();
  for (bool needed = true; needed && !closing_;) {
    Completion tick(loop_);
    monitor_sleeps_ = &tick;
    monitor_timer_ = loop_.at(last_ns + period_ns, tick);
    co_await tick;
    monitor_sleeps_ = nullptr;
    if (closing_) break;
    const std::int64_t now_ns = sys::now_ns();
    // If we ourselves were stopped for a while, the peers are not to blame.
    const std::int64_t elapsed_ns = std::min(now_ns - last_ns, 2 * period_ns);
    last_ns = now_ns;
    needed = buffers_.trim();
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) needed |= look_at(connection, elapsed_ns, now_ns);
  }
  monitor_runs_ = false;
  co_return Done{};
}

// True if it must be looked at again.
bool Core::look_at(const std::shared_ptr<Connection>& connection, std::int64_t elapsed_ns,
                   std::int64_t now_ns) {
  const std::int64_t timeout_ns = std::int64_t{options_.request_timeout_ms} * 1'000'000;
  const std::int64_t age_ns = now_ns - connection->state_since_ns;
  Link& link = links_[connection->rank];
  switch (connection->state) {
    case State::dead:
      return false;
    case State::greeting:
    case State::proving:
      if (age_ns < timeout_ns / greetings_max) return true;
      down_since(link, now_ns - age_ns);
      if (connection == link.current && ++link.greetings < greetings_max) {
        link.not_before_ns = 0;
        close(connection, 0);  // who waits for it greets again
        return true;
      }
      link.greetings = 0;
      fail(connection, "no answer to the hello");
      return false;
    case State::leaving:
    case State::left:
      if (age_ns < leaving_ns_max) return true;
      if (!connection->idle()) {  // it asks for things but does not answer: let it be
        enter(connection, State::open);
        wake(link, 0);
        return true;
      }
      close(connection, 0);
      return false;
    case State::open:
      break;
  }
  if (connection->calls.empty() && connection->replies == 0) return false;
  if (std::exchange(connection->heard, false)) {
    connection->silent_ns = 0;
  } else {
    connection->silent_ns += elapsed_ns;
    if (connection->silent_ns >= timeout_ns) {
      down_since(link, now_ns - timeout_ns);
      fail(connection, "no sign of life for " + std::to_string(options_.request_timeout_ms) +
                           " ms (network.request_timeout_ms)");
      return false;
    }
  }
  note(connection, Kind::ping);
  return true;
}

}  // namespace benchfs::peer
