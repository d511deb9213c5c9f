#include "daemon/worker.h"

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "common/log.h"
#include "daemon/channel/greeting.h"
#include "daemon/channel/local_channel.h"
#include "daemon/channel/releases.h"
#include "daemon/handlers/common.h"
#include "daemon/handlers/lock_recovery.h"
#include "daemon/handlers/open_state.h"
#include "daemon/journal/journal.h"
#include "daemon/journal/replay.h"
#include "daemon/journal/snapshot.h"
#include "daemon/supervisor/control.h"
#include "daemon/transaction/fault_points.h"

namespace benchfs {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t stop_patience_ns = second_ns / 5;  // for answers in flight
constexpr int exit_storage = 7;
constexpr int exit_network = 8;
constexpr int exit_other = 10;

std::string reason(Error error) { return std::strerror(error.code()); }

// An empty directory that is removed at once: opened again through this descriptor, it is the
// placeholder of every open file.
Result<Fd> make_placeholder(const std::string& rank_dir) {
  const std::string path = rank_dir + "/placeholder";
  if (::mkdir(path.c_str(), 0700) != 0) return Error::last();
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Error::last();
  if (::rmdir(path.c_str()) != 0) return Error::last();
  return fd;
}

Topology topology_of(const control::Start& start) {
  Topology topology;
  topology.rank = start.rank;
  topology.size = start.size;
  std::map<std::uint64_t, std::uint32_t> leaders;  // by host
  for (const Peer& peer : start.peers) {
    topology.host_of.push_back(leaders.try_emplace(peer.host_id, peer.rank).first->second);
    topology.host_name_of.push_back(peer.host_name);
  }
  return topology;
}

class Worker {
 public:
  explicit Worker(Fd control) : control_(std::move(control)) {}
  int run();

 private:
  // Tells the supervisor why this worker cannot serve; it prints the line.
  Status refuse(int exit_code, const std::string& line);
  Status connect();
  Status serve();
  Status recover();
  Status make_tables(LocalChannel::HostDescriptors& host);
  Status borrow_tables();
  Result<LocalChannel::Parts> channel_parts();
  // What outlives this worker: given to it by the supervisor, or made, and then deposited there.
  template <class Make>
  Status hold(const char* name, Make make);
  void on_control();
  void on_stop(const control::Stop& order);
  Task<bool> anyone_has_clients();
  static Task<int> tell_rank_0(Server& server);
  static Task<int> end(Worker& worker, std::int64_t drain_until_ns, bool tell_peers);

  ControlChannel control_;
  control::Configure settings_;
  control::Start start_;
  std::map<std::string, Fd> held_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Uring> uring_;
  std::unique_ptr<PeerChannel> peers_;
  std::unique_ptr<UringChunkStore> store_;
  Mapping table_;
  Mapping pool_;
  Mapping view_;
  Mapping leased_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Snapshots> snapshots_;
  std::unique_ptr<HostKeeper> keeper_;
  std::unique_ptr<Releases> releases_;
  std::unique_ptr<LocalChannel> channel_;
  bool ending_ = false;
  bool hurry_ = false;
};

Status Worker::refuse(int exit_code, const std::string& line) {
  TRY_OK(control_.send(control::Failed{exit_code, line}));
  return Error(EIO);
}

// Everything that needs no other rank; the address goes out as early as can be.
Status Worker::connect() {
  TRY(ControlMessage first, control_.receive(sys::now_ns() + 30 * second_ns));
  if (!std::holds_alternative<control::Configure>(first)) return Error(EBADMSG);
  settings_ = std::get<control::Configure>(std::move(first));
  const Config& config = settings_.config;
  init_log({.level = config.log.level,
            .every_rank = settings_.log_level_forced,
            .rank = settings_.rank,
            .host = settings_.host_name,
            .file = config.log.file});

  loop_ = std::make_unique<EventLoop>(config.network.wait);
  auto uring = Uring::create(*loop_, config.storage.queue_size, config.storage.submit_depth);
  if (!uring.ok())
    return refuse(exit_storage, "Failed to set up io_uring: " + reason(uring.error()) +
                                    " (kernel.io_uring_disabled or a seccomp filter may forbid it, "
                                    "or storage.queue_size is too large)");
  uring_ = *std::move(uring);
  PeerOptions options;
  options.request_timeout_ms = config.network.request_timeout_ms;
  options.heartbeat_ms = config.network.heartbeat_ms;
  std::string why;
  auto peers = PeerChannel::create(*loop_, options, why);
  if (!peers.ok()) return refuse(exit_network, why);
  peers_ = *std::move(peers);
  const auto address = peers_->address();
  return control_.send(control::AddressIs{{address.begin(), address.end()}});
}

template <class Make>
Status Worker::hold(const char* name, Make make) {
  if (held_.contains(name)) return Done{};
  TRY(held_[name], make());
  Fd copy(sys::fcntl(held_[name].get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return Error(EMFILE);
  return control_.send(control::Hold{{name, std::move(copy)}});
}

// The leader of a host makes what all its processes share.
Status Worker::make_tables(LocalChannel::HostDescriptors& host) {
  TRY_OK(hold("host_table", [] { return make_shared_memory("benchfs-host", sizeof(HostTable)); }));
  TRY_OK(hold("transfer_pool", [] { return make_shared_memory("benchfs-pool", pool_bytes); }));
  TRY_OK(hold("placeholder", [this] { return make_placeholder(settings_.rank_dir); }));
  TRY_OK(
      hold("leased_view", [] { return make_shared_memory("benchfs-leases", sizeof(LeasedView)); }));
  TRY(table_, Mapping::map(held_["host_table"].get(), sizeof(HostTable)));
  TRY(pool_, Mapping::map(held_["transfer_pool"].get(), pool_bytes));
  table_.at<HostTable>().magic = HostTable::magic_value;
  table_.at<HostTable>().inline_bytes = settings_.config.metadata.inline_bytes;
  host = {.host_table = held_["host_table"].get(),
          .transfer_pool = held_["transfer_pool"].get(),
          .placeholder = held_["placeholder"].get()};
  TRY(leased_, Mapping::map(held_["leased_view"].get(), sizeof(LeasedView)));
  leased_.at<LeasedView>().reset(held_["leased_view"].get(), start_.size);
  host.leased_view = held_["leased_view"].get();
  return Done{};
}

Status Worker::borrow_tables() {
  if (!held_.contains("host_table")) {
    const Topology topology = topology_of(start_);
    const Peer& leader = start_.peers[topology.host()];
    const std::string rank_dir = leader.data_dir + "/rank_" + std::to_string(leader.rank);
    TRY(LeaderTables tables, fetch_tables(rank_dir, start_.instance));
    // Held, so that this rank comes up again without the leader.
    TRY_OK(hold("host_table", [&] { return Result<Fd>(std::move(tables.host_table)); }));
    TRY_OK(hold("transfer_pool", [&] { return Result<Fd>(std::move(tables.transfer_pool)); }));
  }
  TRY(table_, Mapping::map(held_["host_table"].get(), sizeof(HostTable)));
  TRY(pool_, Mapping::map(held_["transfer_pool"].get(), pool_bytes));
  return Done{};
}

// What a worker before this one knew. From here on changes are logged.
Status Worker::recover() {
  if (settings_.config.metadata.log == MetadataLog::off) {
    server_->names.claim_contents();
    return Done{};
  }
  JournalOptions options;
  options.directory = settings_.rank_dir + "/journal";
  options.identity.instance = start_.instance;
  options.identity.rank = start_.rank;
  options.sync = settings_.config.metadata.log == MetadataLog::fsync;
  Replay replay(*server_);
  std::string why;
  const std::int64_t begin = sys::now_ns();
  auto journal = Journal::open(*loop_, *uring_, std::move(options), replay, why);
  if (!journal.ok()) return refuse(exit_storage, why);
  journal_ = *std::move(journal);
  if (journal_->records_recovered() != 0)
    log::info("restored {} files and directories from {} records in {} ms", server_->names.size(),
              journal_->records_recovered(), (sys::now_ns() - begin) / 1'000'000);
  server_->log_to(*journal_);
  if (journal_->records_recovered() != 0 && !server_->restore_transactions().ok())
    return refuse(exit_storage, "The journal of " + settings_.rank_dir +
                                    " holds a change on several servers that cannot be read: "
                                    "remove the directory");
  snapshots_ = std::make_unique<Snapshots>(*server_, *uring_, *journal_);
  journal_->on_snapshot_due = [this] { snapshots_->start(); };
  finish_cuts(*server_);
  return Done{};
}

// The clients' own mappings of these stay good when a worker follows another.
Result<LocalChannel::Parts> Worker::channel_parts() {
  LocalChannel::Parts parts;
  parts.listener = std::move(held_["listener"]);
  TRY_OK(
      hold("control", [] { return make_shared_memory("benchfs-control", sizeof(ControlPage)); }));
  TRY_OK(hold("doorbell", [] {
    Fd doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return doorbell ? Result<Fd>(std::move(doorbell)) : Error::last();
  }));
  TRY_OK(hold("view", [] { return make_shared_memory("benchfs-view", sizeof(HostView)); }));
  parts.control = std::move(held_["control"]);
  parts.doorbell = std::move(held_["doorbell"]);
  parts.view = std::move(held_["view"]);
  TRY(parts.control_page, Mapping::map(parts.control.get(), sizeof(ControlPage)));
  TRY(view_, Mapping::map(parts.view.get(), sizeof(HostView)));
  HostView& view = view_.at<HostView>();
  view.magic = HostView::magic_value;
  view.reset(parts.view.get());
  server_->names.show_in(view, server_->topology.host());
  parts.pool = &pool_;
  parts.instance = start_.instance;
  return parts;
}

Status Worker::serve() {
  const Config& config = settings_.config;
  const std::int64_t patience_ns = (config.node.start_timeout_s + 30) * second_ns;
  TRY(ControlMessage second, control_.receive(sys::now_ns() + patience_ns));
  if (!std::holds_alternative<control::Start>(second)) return Error(EBADMSG);
  start_ = std::get<control::Start>(std::move(second));
  if (start_.peers.size() != start_.size || start_.rank >= start_.size) return Error(EBADMSG);
  for (HeldFd& held : start_.held) held_[held.name] = std::move(held.fd);
  Topology topology = topology_of(start_);

  auto store = UringChunkStore::create(
      *uring_, settings_.rank_dir,
      {.chunk_bytes = config.storage.chunk_size, .rank = start_.rank, .ranks = start_.size});
  if (!store.ok())
    return refuse(exit_storage, "Cannot make " + settings_.rank_dir +
                                    "/chunks: " + reason(store.error()) +
                                    ": set storage.data_dir to a "
                                    "directory that can be written");
  store_ = *std::move(store);
  LocalChannel::HostDescriptors host;
  const Status tables = topology.is_leader() ? make_tables(host) : borrow_tables();
  if (!tables.ok())
    return refuse(exit_other, "Cannot set up the tables of this host: " + reason(tables.error()));

  server_ = std::make_unique<Server>(*loop_, config, std::move(topology), *peers_, *store_,
                                     table_.at<HostTable>(), process_id(::getpid()));
  server_->on_stop = [this] {
    static_cast<void>(control_.send(control::StopRequested{}).ok());  // a lost supervisor ends us
  };
  TRY_OK(recover());
  if (server_->topology.is_leader()) {
    server_->held = std::make_unique<LeaseHolder>(leased_.at<LeasedView>(), start_.size);
    keeper_ = std::make_unique<HostKeeper>(*server_, start_.incarnation != 0);
  }
  releases_ = std::make_unique<Releases>(*server_, start_.incarnation != 0);
  TRY(LocalChannel::Parts parts, channel_parts());
  parts.host = host;
  channel_ = std::make_unique<LocalChannel>(*server_, keeper_.get(), std::move(parts));
  // Armed after the channel, from when on clients ring.
  if (keeper_ != nullptr) loop_->add(*keeper_);
  loop_->add(*releases_);

  PeerIdentity identity;
  identity.instance = start_.instance;
  identity.rank = start_.rank;
  identity.size = start_.size;
  identity.incarnation = start_.incarnation;
  std::memcpy(identity.secret.data(), start_.secret.data(), identity.secret.size());
  PeerHooks hooks;
  hooks.look_up = [this](std::uint32_t rank) {
    static_cast<void>(control_.send(control::WhereIs{rank}).ok());  // it is asked again
  };
  hooks.restarted = [this](std::uint32_t rank) {
    if (server_->topology.host_of[rank] == rank) leader_restarted(*server_, rank);
  };
  peers_->set_hooks(std::move(hooks));
  std::vector<std::vector<std::byte>> addresses;
  for (Peer& peer : start_.peers) addresses.push_back(std::move(peer.address));
  peers_->start(identity, std::move(addresses),
                [this](PeerCall call) { loop_->spawn(server_->serve_peer(std::move(call))); });
  if (start_.incarnation != 0) {
    peers_->greet_all();
    loop_->spawn(server_->recall_everything());
    recover_open_state(*server_);
    loop_->spawn(recover_locks(*server_));
  }
  loop_->watch(control_.fd(), EPOLLIN, [this](std::uint32_t) { on_control(); });
  TRY_OK(control_.send(control::Ready{.transport = "ucx", .recovers = journal_ != nullptr}));
  view_.at<HostView>().warm();
  return Done{};
}

void Worker::on_control() {
  auto message = control_.receive(0);
  if (!message.ok()) {
    if (message.error().code() != EAGAIN) loop_->stop();  // the supervisor is gone
    return;
  }
  if (const auto* order = std::get_if<control::Stop>(&*message)) on_stop(*order);
  if (auto* peer = std::get_if<control::PeerIs>(&*message)) {
    if (peer->ended)
      peers_->ended(peer->rank);
    else if (!peer->address.empty())
      peers_->update(peer->rank, std::move(peer->address), peer->incarnation);
  }
}

void Worker::on_stop(const control::Stop& order) {
  if (order.drain_ms == 0) hurry_ = true;  // a second order ends a drain
  if (ending_) return;
  ending_ = true;
  loop_->spawn(
      end(*this, sys::now_ns() + order.drain_ms * std::int64_t{1'000'000}, order.tell_peers));
}

// A client of any host may need any server. A rank that does not answer has none.
Task<bool> Worker::anyone_has_clients() {
  if (channel_->clients() != 0) co_return true;
  // After the death of a worker, clients connect again when they have something to ask.
  if (keeper_ != nullptr && keeper_->processes() != 0) co_return true;
  for (std::uint32_t rank = 0; rank < start_.size; ++rank) {
    if (rank == start_.rank) continue;
    const wire::StatusRequest question{.reserved = 0};
    const auto status = co_await server_->ask(rank, question);
    if (status.ok() && status->clients != 0) co_return true;
  }
  co_return false;
}

Task<int> Worker::tell_rank_0(Server& server) {
  ++server.answering;
  const wire::Stop message{.from_rank_0 = 0};
  const auto told = co_await server.ask(0, message);
  if (!told.ok()) log::warn("rank 0 could not be told to stop: {}", told.error());
  --server.answering;
  co_return 0;
}

Task<int> Worker::end(Worker& worker, std::int64_t drain_until_ns, bool tell_peers) {
  EventLoop& loop = *worker.loop_;
  while (!worker.hurry_ && sys::now_ns() < drain_until_ns) {
    const bool needed = co_await worker.anyone_has_clients();
    if (!needed) break;
    co_await loop.sleep(50'000'000);
  }
  // A rank 0 that is not there must not keep this one.
  if (tell_peers && worker.start_.size > 1) loop.spawn(tell_rank_0(*worker.server_));
  worker.channel_->close();
  worker.server_->locks.end_all(EIO);
  const std::int64_t deadline = sys::now_ns() + stop_patience_ns;
  while (worker.channel_->in_flight() + worker.server_->answering != 0 && sys::now_ns() < deadline)
    co_await loop.sleep(1'000'000);
  const Status ended = co_await worker.peers_->shutdown(sys::now_ns() + stop_patience_ns);
  if (!ended.ok()) log::debug("peer channel: {}", ended.error());
  if (!worker.control_.send(control::Done{}).ok()) log::debug("the supervisor is gone");
  loop.stop();
  co_return 0;
}

int Worker::run() {
  if (const Status connected = connect(); !connected.ok()) return exit_other;
  if (const Status serving = serve(); !serving.ok()) {
    log::error("cannot serve: {}", serving.error());
    return exit_other;
  }
  loop_->run();
  // Requests that never got an answer still hold their frames; the process ends with them.
  if (loop_->spawned() != 0) ::_exit(0);
  channel_.reset();
  peers_.reset();
  return 0;
}

}  // namespace

int run_worker(Fd control) {
  ::prctl(PR_SET_NAME, "benchfsd_worker");  // else "exe", by which it was started
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The supervisor alone decides when this ends; a terminal's Ctrl-C reaches the whole group.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGQUIT})
    ::signal(number, SIG_IGN);
  arm_fault_points();
  Worker worker(std::move(control));
  return worker.run();
}

}  // namespace benchfs
