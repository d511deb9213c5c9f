#include "daemon/supervisor/starter.h"

#include <sys/eventfd.h>

#include <chrono>
#include <set>
#include <utility>

#include "common/log.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs {

void claim_registry(Registry& registry, const NodeRecord& own) {
  if (own.rank == 0)
    registry.take_lock(own);
  else
    registry.refuse_live(own);
}

Starter::Starter(Parts parts, NodeRecord own, Identity identity, bool registry_claimed,
                 std::vector<HeldFd> held, Patience patience)
    : parts_(parts),
      own_(std::move(own)),
      identity_(identity),
      registry_claimed_(registry_claimed),
      patience_(std::move(patience)),
      finished_fd_(::eventfd(0, EFD_CLOEXEC)),
      known_own_(own_) {
  message_.held = std::move(held);
  patience_.given_up = [this] { return cancelled_.load(); };
  if (!finished_fd_) throw StartFailure(exit_code::other, "No eventfd: " + describe(Error::last()));
}

Starter::~Starter() = default;

void Starter::begin() { thread_ = std::thread(&Starter::run, this); }

void Starter::worker_has_address(std::vector<std::byte> address) {
  const std::lock_guard guard(mutex_);
  address_ = std::move(address);
  has_address_ = true;
  changed_.notify_all();
}

void Starter::worker_is_ready(std::string transport, bool recovers) {
  const std::lock_guard guard(mutex_);
  transport_ = std::move(transport);
  recovers_ = recovers;
  is_ready_ = true;
  changed_.notify_all();
}

std::optional<StartFailure> Starter::join() {
  thread_.join();
  return failure_;
}

void Starter::cancel(std::int64_t deadline_ns) {
  std::unique_lock guard(mutex_);
  cancelled_ = true;
  changed_.notify_all();
  if (!thread_.joinable()) return;
  const auto rest = std::chrono::nanoseconds(deadline_ns - sys::now_ns());
  changed_.wait_for(guard, rest, [&] { return finished_; });
}

NodeRecord Starter::own() const {
  const std::lock_guard guard(mutex_);
  return known_own_;
}

void Starter::note_own() {
  const std::lock_guard guard(mutex_);
  known_own_ = own_;
}

void Starter::run() noexcept {
  try {
    start();
  } catch (const StartFailure& failure) {
    failure_ = failure;
  } catch (const std::exception& error) {
    failure_.emplace(exit_code::other, error.what());
  }
  if (failure_) parts_.rendezvous.finalize();
  {
    const std::lock_guard guard(mutex_);
    finished_ = true;
    changed_.notify_all();
  }
  const std::uint64_t one = 1;
  while (sys::write(finished_fd_.get(), &one, sizeof one) == -EINTR) {
  }
}

void Starter::await_worker(const bool& flag, const char* what) {
  std::unique_lock guard(mutex_);
  const auto rest = std::chrono::nanoseconds(patience_.deadline_ns - sys::now_ns());
  const bool told = changed_.wait_for(guard, rest, [&] { return flag || cancelled_; });
  patience_.check();
  if (!told)
    throw StartFailure(exit_code::worker, "The worker of rank " + std::to_string(own_.rank) +
                                              " on host " + own_.host_name + " did not " + what +
                                              " within " + std::to_string(patience_.timeout_s) +
                                              " s: raise node.start_timeout_s");
}

void Starter::start() {
  Registry& registry = parts_.registry;
  Rendezvous& rendezvous = parts_.rendezvous;

  rendezvous.connect(own_, patience_);
  note_own();
  if (!registry_claimed_) claim_registry(registry, own_);

  await_worker(has_address_, "open its network");
  {
    const std::lock_guard guard(mutex_);
    own_.address = std::move(address_);
  }
  const std::vector<NodeRecord> records = rendezvous.exchange(own_, identity_, patience_);
  note_own();

  // The worker connects while its registration is written and the leftovers are wiped.
  send_start(records);
  rendezvous.leave_record(own_);
  const std::vector<std::uint32_t> here = ranks_here(records, own_);
  const bool leader = here.front() == own_.rank;
  if (leader) parts_.data.claim_host(records, own_);
  std::set<std::uint64_t> hosts;
  for (const NodeRecord& record : records) hosts.insert(record.host_id);
  hosts_ = static_cast<std::uint32_t>(hosts.size());

  await_worker(is_ready_, "become ready");
  rendezvous.barrier(own_, NodeState::ready, patience_);
  if (leader) {
    HostRecord host;
    host.instance = own_.instance;
    host.mount_point = own_.mount_point;
    host.size = own_.size;
    host.local_ranks = here;
    const std::lock_guard guard(mutex_);
    patience_.check();
    parts_.data.write_host(host);
  }
  // Whoever sees `ready` may count on the host records.
  rendezvous.barrier(own_, NodeState::open, patience_);
  rendezvous.finalize();
  if (own_.rank == 0) registry.mark_ready(own_);
  note_own();
}

void Starter::send_start(const std::vector<NodeRecord>& records) {
  message_.rank = own_.rank;
  message_.size = own_.size;
  message_.instance = own_.instance;
  message_.host_id = own_.host_id;
  message_.secret = identity_.secret;
  for (const NodeRecord& record : records)
    message_.peers.push_back({.rank = record.rank,
                              .host_id = record.host_id,
                              .host_name = record.host_name,
                              .data_dir = record.data_dir,
                              .address = record.address});
  const Status sent = parts_.control.send(message_);
  message_.held.clear();
  // A worker that has ended is the loop's to tell about; anything else is ours.
  if (!sent.ok() && sent.error() != Error(EPIPE))
    throw StartFailure(exit_code::worker,
                       "The worker cannot be told to start: " + describe(sent.error()));
}

}  // namespace benchfs
