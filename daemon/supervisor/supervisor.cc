#include "daemon/supervisor/supervisor.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <type_traits>
#include <utility>

#include "common/log.h"
#include "common/process.h"
#include "common/sys.h"
#include "registry/host_id.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

constexpr std::int64_t ms = 1'000'000;
// All is to be over within a second; half of it is for the removal of the data and for what the
// machine does besides.
constexpr std::int64_t stop_grace_ns = 500 * ms;
// For the other ranks of this host, from the same moment on.
constexpr std::int64_t neighbours_ns = 1800 * ms;
constexpr std::int64_t drain_grace_ns = 3000 * ms;
// Beyond the time the start itself watches: only calls that cannot be interrupted get there.
constexpr std::int64_t stuck_ns = 3000 * ms;
// For the start to leave PMIx when it is given up.
constexpr std::int64_t connect_ns = 1000 * ms;
// How often a supervisor without a worker looks whether its instance is still there.
constexpr std::int64_t look_ns = 1000 * ms;
// A head start for the rank that tells: a launcher may end all as soon as one has ended.
constexpr std::int64_t silent_pause_ns = 300 * ms;

std::string this_host() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

Supervisor::Supervisor(const Settings& settings, const Place& place, const Environment& environment,
                       Signals& signals)
    : settings_(settings),
      place_(place),
      environment_(environment),
      signals_(signals),
      began_ns_(sys::now_ns()) {}

Supervisor::~Supervisor() = default;

int Supervisor::run() {
  try {
    prepare();
  } catch (const StartFailure& failure) {
    fail(failure);
  }
  while (phase_ != Phase::ended) turn();
  return exit_code_;
}

void Supervisor::prepare() {
  const Config& config = settings_.config;
  const auto host = host_id();
  if (!host.ok())
    throw StartFailure(exit_code::other, "This host cannot be told from others: /proc: " +
                                             describe(host.error()) + ": mount /proc");
  NodeRecord& own = early_own_;
  own.launch_id = place_.launch_id;
  own.rank = place_.rank;
  own.size = place_.size;
  own.host_id = *host;
  own.supervisor = process_id(::getpid());
  own.fingerprint = fingerprint(config);
  own.settings = describe_fingerprinted(config);
  own.host_name = this_host();
  own.data_dir = config.storage.data_dir;
  own.mount_point = config.client.mount_point;
  Identity identity;
  if (own.rank == 0) {
    identity = make_identity();
    own.instance = identity.instance;
  }

  registry_ = std::make_unique<Registry>(settings_.registry_dir);
  if (place_.kind != Bootstrap::pmix) registry_->ignore_old_failure();
  // Before anything is made or wiped. Where nothing names this start yet, MPI has to be asked
  // first.
  const bool claim_now = own.launch_id != 0 || place_.kind == Bootstrap::single;
  if (claim_now) claim_registry(*registry_, own);

  data_ = std::make_unique<DataDirectory>(config.storage.data_dir, own.rank);
  listener_ = data_->make_listener();

  begin_worker(0);

  std::vector<HeldFd> held;
  Fd listener(::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
  if (!listener) throw StartFailure(exit_code::other, "No descriptor: " + describe(Error::last()));
  held.push_back({"listener", std::move(listener)});
  held.push_back({"lock", data_->share_lock()});

  rendezvous_ = make_rendezvous(place_, *registry_, environment_);
  Patience patience;
  patience.timeout_s = config.node.start_timeout_s;
  patience.deadline_ns = began_ns_ + config.node.start_timeout_s * 1000 * ms;
  patience.host_of = [this](std::uint32_t rank) { return rendezvous_->host_of(rank); };
  deadline_ns_ = patience.deadline_ns + stuck_ns;
  starter_ = std::make_unique<Starter>(
      Starter::Parts{
          .registry = *registry_, .rendezvous = *rendezvous_, .data = *data_, .control = *control_},
      own, identity, claim_now, std::move(held), std::move(patience));
  starter_->begin();
}

int Supervisor::timeout_ms() const {
  if (deadline_ns_ == 0) return -1;
  const std::int64_t rest_ns = deadline_ns_ - sys::now_ns();
  return static_cast<int>(std::clamp<std::int64_t>((rest_ns + ms - 1) / ms, 0, INT_MAX));
}

void Supervisor::turn() {
  const bool starting = phase_ == Phase::starting;
  pollfd watched[] = {
      {.fd = signals_.fd(), .events = POLLIN, .revents = 0},
      {.fd = signals_.parent_ended() ? -1 : signals_.parent_fd(), .events = POLLIN, .revents = 0},
      {.fd = control_open_ ? control_->fd() : -1, .events = POLLIN, .revents = 0},
      {.fd = worker_->ended() ? -1 : worker_->pidfd(), .events = POLLIN, .revents = 0},
      {.fd = starting ? starter_->fd() : -1, .events = POLLIN, .revents = 0},
  };
  const int ready = ::poll(watched, std::size(watched), timeout_ms());
  if (ready < 0) return;  // EINTR: all signals that matter are blocked
  if (ready == 0) return on_deadline();
  const auto woken = [&](int i) { return watched[i].revents != 0 && phase_ != Phase::ended; };
  // The worker's words come before its end, and its end before what follows from it in the start.
  if (woken(2)) on_control();
  if (woken(3)) on_worker_end();
  if (woken(4)) on_started();
  if (woken(0)) {
    const char* name = "";
    const Request request = signals_.next(name);
    on_signal(request, name);
  }
  if (woken(1)) on_signal(Request::parent_ended, "the end of the parent process");
}

void Supervisor::on_deadline() {
  switch (phase_) {
    case Phase::starting:
      return fail(StartFailure(exit_code::peers,
                               std::string("Timeout waiting for nodes: ") + name_of(place_.kind) +
                                   " did not answer within " +
                                   std::to_string(settings_.config.node.start_timeout_s) +
                                   " s: start again, or set node.bootstrap",
                               Teller::rank_0));
    case Phase::serving:  // without a worker that serves
      if (restart_) {
        log::warn("the worker does not come up again and is killed");
        worker_->kill();
        return on_worker_end();
      }
      if (registry_->is_ready(own().instance)) {
        deadline_ns_ = sys::now_ns() + look_ns;
        return;
      }
      log::debug("the instance has ended");
      return end(exit_code_);
    case Phase::draining:
    case Phase::stopping:
      log::warn("the worker did not end in time and is killed");
      worker_->kill();
      return end(exit_code_ != 0 ? exit_code_ : exit_code::worker);
    case Phase::ended:
      return;
  }
}

void Supervisor::on_signal(Request request, const char* name) {
  if (request == Request::none) return;
  if (phase_ == Phase::starting) {
    starter_->cancel(sys::now_ns() + connect_ns);
    told_by_mpirun_ = request == Request::stop_here;
    log::info("ended by {} before all ranks were ready", name);
    const auto failure = registry_->failure(starter_->own().launch_id);
    return end(failure ? failure->code() : exit_code::other);
  }
  if (request == Request::parent_ended) {
    // Nobody is left who could end us later.
    if (phase_ != Phase::stopping) begin_stop(name, false, false);
    return;
  }
  if (phase_ != Phase::serving) return;
  told_by_mpirun_ = request == Request::stop_here;
  begin_stop(name, request == Request::drain, request == Request::stop);
}

void Supervisor::on_control() {
  for (;;) {
    auto message = control_->receive(0);
    if (!message.ok()) {
      if (message.error() == Error(EAGAIN)) return;
      if (message.error() == Error(EBADMSG)) {
        log::warn("a message of the worker was damaged and dropped");
        continue;
      }
      control_open_ = false;  // its end follows by the pidfd
      return;
    }
    on_message(*std::move(message));
    if (phase_ == Phase::ended) return;
  }
}

void Supervisor::on_message(ControlMessage message) {
  using namespace control;
  if (auto* const address = std::get_if<AddressIs>(&message)) {
    if (restart_)
      on_restart_address(std::move(address->address));
    else
      starter_->worker_has_address(std::move(address->address));
  } else if (auto* const ready = std::get_if<Ready>(&message)) {
    if (restart_)
      on_restarted();
    else
      starter_->worker_is_ready(std::move(ready->transport), ready->recovers);
  } else if (auto* const failed = std::get_if<Failed>(&message)) {
    if (phase_ == Phase::starting) return fail(StartFailure(failed->exit_code, failed->line));
    worker_failed_ = std::move(*failed);
    if (restart_)
      return give_worker_up("worker of rank " + std::to_string(own().rank) + " on host " +
                            own().host_name + " died (" + restart_->how +
                            ") and does not serve again: " + worker_failed_->line);
    log::error("{}", worker_failed_->line);
  } else if (const auto* const request = std::get_if<StopRequested>(&message)) {
    if (phase_ == Phase::serving || phase_ == Phase::draining)
      begin_stop(request->by_peer ? "a request of another rank" : "a request", false,
                 !request->by_peer);
  } else if (auto* const hold = std::get_if<Hold>(&message)) {
    if (held_.size() < held_fds_max || held_.contains(hold->held.name))
      held_[hold->held.name] = std::move(hold->held.fd);
    else
      log::warn("{} is not held: {} descriptors are", hold->held.name, held_.size());
  } else if (const auto* const question = std::get_if<WhereIs>(&message)) {
    tell_where(question->rank);
  } else if (std::holds_alternative<control::Done>(message)) {
    worker_done_ = true;
  }
}

void Supervisor::on_worker_end() {
  if (control_open_) on_control();
  if (phase_ == Phase::ended || !worker_->reap()) return;
  control_open_ = false;
  const std::string line = worker_died();
  if (phase_ == Phase::starting)
    return fail(StartFailure(exit_code::worker, line + " before all ranks were ready"));
  if (phase_ == Phase::stopping || worker_done_) {
    if (worker_done_ && worker_->ended_well()) return end(exit_code_);
    log::warn("{} while stopping", line);
    return end(exit_code::worker);
  }
  on_death_while_serving();
}

std::string Supervisor::worker_died() const {
  const NodeRecord me = own();
  return "worker of rank " + std::to_string(me.rank) + " on host " + me.host_name + " died (" +
         worker_->how() + ")";
}

void Supervisor::on_started() {
  if (const auto failure = starter_->join()) return fail(*failure);
  phase_ = Phase::serving;
  serving_ = starter_->own();
  recovers_ = starter_->recovers();
  deadline_ns_ = 0;
  const NodeRecord me = own();
  log::info("ready: {} {} on {} {} serve {}; data in {}, transport {}, {:.2f} s", me.size,
            me.size == 1 ? "rank" : "ranks", starter_->hosts(),
            starter_->hosts() == 1 ? "host" : "hosts", me.mount_point, me.data_dir,
            starter_->transport(), static_cast<double>(sys::now_ns() - began_ns_) / 1e9);
}

void Supervisor::begin_stop(const char* why, bool drain, bool tell_peers) {
  log::info("{} on {}", drain ? "draining" : "stopping", why);
  if (restart_ && tell_peers) {  // by the next worker
    stop_after_restart_ = why;
    return;
  }
  if (worker_->ended() || restart_) return end(exit_code_);  // nobody is served
  stop_began_ns_ = sys::now_ns();
  const std::uint32_t drain_s = drain ? settings_.config.node.drain_timeout_s : 0;
  phase_ = drain ? Phase::draining : Phase::stopping;
  deadline_ns_ = sys::now_ns() +
                 (drain || settings_.service_step ? drain_grace_ns : stop_grace_ns) +
                 drain_s * 1000 * ms;
  if (!drain) {
    // While draining, new processes of the job may still write.
    registry_->retract_ready();
    data_->remove_host();
  }
  const control::Stop stop{.drain_ms = drain_s * 1000, .tell_peers = tell_peers};
  const Status sent = control_->send(stop);
  if (!sent.ok()) log::warn("the worker cannot be told to stop: {}", sent.error());
}

NodeRecord Supervisor::own() const {
  if (serving_) return *serving_;
  return starter_ ? starter_->own() : early_own_;
}

bool Supervisor::tells(Teller teller) const {
  switch (teller) {
    case Teller::self:
      return true;
    case Teller::once_per_host:
      return place_.first_on_host;
    case Teller::rank_0:
      return place_.rank == 0;
    case Teller::nobody:
      return false;
  }
  return true;
}

void Supervisor::fail(const StartFailure& failure) {
  bool told = false;
  // Whoever tells also leaves the word for others.
  if (registry_ && tells(failure.teller())) told = !registry_->mark_failed(own(), failure);
  if (starter_) starter_->cancel(sys::now_ns() + connect_ns);
  if (told) {
    log::debug("{}", failure.what());
  } else if (tells(failure.teller())) {
    log::error("{}", failure.what());
  } else if (failure.teller() != Teller::nobody) {
    log::debug("{}", failure.what());
    const timespec pause{.tv_sec = 0, .tv_nsec = silent_pause_ns};
    ::nanosleep(&pause, nullptr);
  }
  end(failure.code());
}

void Supervisor::end(int code) {
  const bool started = phase_ != Phase::starting;
  if (stop_began_ns_ == 0) stop_began_ns_ = sys::now_ns();
  phase_ = Phase::ended;
  exit_code_ = code;
  if (worker_) worker_->kill();
  if (data_) data_->remove_host();
  if (registry_) registry_->withdraw(own());
  if (!data_) return;
  listener_.reset();
  data_->remove(settings_.config.node.keep_data);
  // Told to end, or seeing a rank fail, mpirun grants its ranks two seconds before it kills them,
  // but each rank that ends cuts one of them short: so none ends before all have tidied up.
  if (place_.under_mpirun && (told_by_mpirun_ || !started))
    data_->await_neighbours(stop_began_ns_ + neighbours_ns);
}

}  // namespace benchfs
