// A worker that dies while it serves is followed by another, which recovers what was answered from
// the journal and goes on with what the dead one had shared with its clients: the listener, the
// host's tables, the control page, the doorbell and the view.
#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/ring.h"
#include "common/shared_memory.h"
#include "common/sys.h"
#include "daemon/supervisor/supervisor.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
// So many deaths in so short a time have a cause that another start does not remove.
constexpr std::size_t deaths_max = 5;
constexpr std::int64_t deaths_window_ns = 60 * second_ns;

Fd copy_of(const Fd& fd) {
  Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw StartFailure(exit_code::other, "No descriptor: " + describe(Error::last()));
  return copy;
}

}  // namespace

void Supervisor::begin_worker(std::uint32_t incarnation) {
  const NodeRecord me = own();
  auto pair = ControlChannel::make_pair();
  if (!pair.ok()) throw StartFailure(exit_code::other, "No socket pair: " + describe(pair.error()));
  control_ = std::make_unique<ControlChannel>(std::move(pair->first));
  worker_ = std::make_unique<WorkerProcess>(std::move(pair->second));
  control_open_ = true;
  control::Configure configure;
  configure.config = settings_.config;
  configure.rank = me.rank;
  configure.host_name = me.host_name;
  configure.rank_dir = data_->rank_path();
  configure.log_level_forced = settings_.log_level_forced;
  configure.incarnation = incarnation;
  const Status sent = control_->send(configure);
  if (!sent.ok() && sent.error() != Error(EPIPE))  // its end is told by the loop
    throw StartFailure(exit_code::other,
                       "The worker cannot be told its settings: " + describe(sent.error()));
}

void Supervisor::on_death_while_serving() {
  const std::string line = worker_died();
  if (worker_failed_) return give_worker_up(line + " and cannot be started again");
  if (!recovers_)
    return give_worker_up(line +
                          "; what it held is lost, as it keeps no journal "
                          "(metadata.log)");
  const std::int64_t now_ns = sys::now_ns();
  while (!deaths_.empty() && now_ns - deaths_.front() > deaths_window_ns) deaths_.pop_front();
  deaths_.push_back(now_ns);
  if (deaths_.size() >= deaths_max)
    return give_worker_up(line + ", the " + std::to_string(deaths_max) + "th time within " +
                          std::to_string(deaths_window_ns / second_ns) +
                          " s, and is not started again");
  if (!restart_) restart_ = Restart{.died_ns = now_ns, .how = worker_->how()};
  restart_worker();
}

void Supervisor::restart_worker() {
  restart_->started = false;
  ++serving_->incarnation;
  if (phase_ == Phase::serving)
    deadline_ns_ = sys::now_ns() + settings_.config.node.start_timeout_s * second_ns;
  try {
    begin_worker(serving_->incarnation);
  } catch (const StartFailure& failure) {
    give_worker_up(failure.what());
  }
}

// The registry first: whoever finds the old address dead looks there.
void Supervisor::on_restart_address(std::vector<std::byte> address) {
  if (std::exchange(restart_->started, true)) return;
  serving_->address = std::move(address);
  try {
    registry_->publish(*serving_, Registry::Sync::durable);
  } catch (const StartFailure& failure) {
    log::warn("{}", failure.what());  // the worker itself tells the peers that it can reach
  }
  control::Start& message = starter_->start_message();
  message.incarnation = serving_->incarnation;
  message.peers[serving_->rank].address = serving_->address;
  message.peers[serving_->rank].incarnation = serving_->incarnation;
  try {
    message.held.push_back({"listener", copy_of(listener_)});
    message.held.push_back({"lock", data_->share_lock()});
    for (const auto& [name, fd] : held_) message.held.push_back({name, copy_of(fd)});
  } catch (const StartFailure& failure) {
    return give_worker_up(failure.what());
  }
  const Status sent = control_->send(message);
  message.held.clear();
  if (!sent.ok() && sent.error() != Error(EPIPE))  // its end is told by the loop
    give_worker_up("The worker cannot be told to start: " + describe(sent.error()));
}

void Supervisor::on_restarted() {
  const Restart done = *std::exchange(restart_, std::nullopt);
  const NodeRecord& me = *serving_;
  log::warn("worker of rank {} on host {} died ({}); it serves again after {:.2f} s", me.rank,
            me.host_name, done.how, static_cast<double>(sys::now_ns() - done.died_ns) / 1e9);
  if (phase_ == Phase::serving) {
    deadline_ns_ = 0;
    if (stop_after_restart_ != nullptr) begin_stop(stop_after_restart_, false, true);
    return;
  }
  const std::int64_t rest_ms =
      std::max<std::int64_t>((deadline_ns_ - sys::now_ns()) / 1'000'000, 0);
  const control::Stop stop{.drain_ms = static_cast<std::uint32_t>(rest_ms), .tell_peers = false};
  const Status sent = control_->send(stop);
  if (!sent.ok()) log::warn("the worker cannot be told to drain: {}", sent.error());
}

// The other ranks of this host go on, so the host record stays.
void Supervisor::give_worker_up(const std::string& line) {
  log::error("{}; requests to rank {} fail with EIO", line, serving_->rank);
  restart_.reset();
  control_open_ = false;
  worker_->kill();
  exit_code_ = worker_failed_ ? worker_failed_->exit_code : exit_code::worker;
  // Clients that wait for a successor look there.
  if (const auto page = held_.find("control"); page != held_.end()) {
    const auto mapping = Mapping::map(page->second.get(), sizeof(ControlPage));
    if (mapping.ok()) mapping->at<ControlPage>().generation.store(0);
  }
  listener_.reset();
  held_.clear();
  serving_->state = NodeState::failed;
  serving_->exit_code = static_cast<std::uint32_t>(exit_code_);
  try {
    registry_->publish(*serving_, Registry::Sync::durable);
  } catch (const StartFailure& failure) {
    log::debug("{}", failure.what());
  }
  if (phase_ == Phase::draining || stop_after_restart_ != nullptr) return end(exit_code_);
  deadline_ns_ = sys::now_ns() + second_ns;
}

void Supervisor::tell_where(std::uint32_t rank) {
  control::PeerIs answer;
  answer.rank = rank;
  try {
    const auto record = registry_->read(rank, own().launch_id);
    answer.ended = !record || record->state == NodeState::failed;
    if (record) {
      answer.incarnation = record->incarnation;
      answer.address = record->address;
    }
  } catch (const StartFailure& failure) {
    log::debug("{}", failure.what());  // it may be readable the next time
  }
  const Status sent = control_->send(answer);
  if (!sent.ok()) log::debug("the worker cannot be told where rank {} is: {}", rank, sent.error());
}

}  // namespace benchfs
