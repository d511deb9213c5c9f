#include "client-preload/fs/host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/process.h"

namespace benchfs {
namespace {

// The order of ring.h.
struct Descriptor {
  enum { region, control, doorbell, chunks, view, table, pool, placeholder, leased };
};

}  // namespace

LocalServer::LocalServer(Host& owner, std::uint32_t number, PrivateDescriptors& privates)
    : host(owner),
      rank(number),
      bell(privates, &Host::repair, this),
      chunks(privates),
      waits(privates) {}

// One line a process: every later failure has the same cause.
void Host::complain(Error why) {
  if (complained_) return;
  complained_ = true;
  const char* const reason = ::strerrordesc_np(why.code());
  std::string line = "benchfs: no servers reachable in " + local_dir_ + ": ";
  line += why == Error(ENOENT)   ? "no servers are ready on this host"
          : why == Error(ESTALE) ? "servers of another instance answer there"
                                 : (reason != nullptr ? reason : "unknown error");
  line += '\n';
  sys::write(2, line.data(), line.size());
}

Status Host::connect() {
  auto record = read_host_record(local_dir_.c_str());
  if (!record.ok()) {
    complain(record.error());
    return Error(EIO);
  }
  servers_.clear();
  for (const std::uint32_t rank : record->local_ranks)
    servers_.push_back(std::make_unique<LocalServer>(*this, rank, privates_));
  instance_ = record->instance;
  ranks_ = record->size;
  self_ = process_id(sys::getpid());
  uid_ = static_cast<std::uint32_t>(sys::call(SYS_geteuid));
  const Status status = greet_locked(leader());
  if (!status.ok()) {
    complain(status.error());
    return Error(EIO);
  }
  // After exec: what it was writing then is no longer under way.
  ProcessRecord* const kept = table_->record_of(self_, false);
  if (kept != nullptr)
    for (auto& word : kept->writing) word.store(0);
  record_.store(kept, std::memory_order_release);
  return Done{};
}

Status Host::greet_locked(LocalServer& server, Channel* attaching) {
  const bool leads = &server == &leader();
  const int kept = attaching != nullptr ? attaching->memory.get() : -1;
  if (attaching != nullptr && kept < 0) return Error(EBADF);  // closed behind our back
  TRY(Greeted greeted, greet(local_dir_, server.rank, leads, instance_, kept));
  auto& fds = greeted.descriptors;
  if (!server.bell.control) {
    TRY(server.bell.control, Mapping::map(fds[Descriptor::control].get(), sizeof(ControlPage)));
  }
  TRY_OK(server.waits.take(std::move(fds[Descriptor::control])));
  TRY_OK(server.bell.doorbell.take_if_missing(std::move(fds[Descriptor::doorbell])));
  TRY_OK(server.chunks.take_if_missing(std::move(fds[Descriptor::chunks])));
  if (!server.view_mapping) {
    TRY(server.view_mapping, Mapping::map(fds[Descriptor::view].get(), sizeof(HostView), false));
    const HostView& view = server.view_mapping.at<HostView>();
    if (view.magic != HostView::magic_value) return Error(EPROTO);
    server.view.store(&view, std::memory_order_release);
  }
  const ServerHello& hello = greeted.hello;
  if (leads) {
    if (table_ == nullptr) {
      TRY(table_mapping_, Mapping::map(fds[Descriptor::table].get(), sizeof(HostTable)));
      TRY(pool_mapping_, Mapping::map(fds[Descriptor::pool].get(), pool_bytes));
      if (table_mapping_.at<HostTable>().magic != HostTable::magic_value) return Error(EPROTO);
      TRY(leased_mapping_, Mapping::map(fds[Descriptor::leased].get(), sizeof(LeasedView), false));
      leased_ = &leased_mapping_.at<LeasedView>();
      if (leased_->view.magic != HostView::magic_value) return Error(EPROTO);
      table_ = &table_mapping_.at<HostTable>();
      pool_ = &pool_mapping_.at<PoolHeader>();
    }
    TRY_OK(memory.take_if_missing(std::move(fds[Descriptor::table])));
    TRY_OK(placeholder.take_if_missing(std::move(fds[Descriptor::placeholder])));
    TRY_OK(open_common_locked());
    device_ = hello.device;
    inode_ = hello.inode;
    chunk_shift_ = std::countr_zero(hello.chunk_bytes);
    policy_.waiting = static_cast<Waiting>(std::min<std::uint8_t>(hello.waiting, 2));
    policy_.spin_ns = std::int64_t{hello.spin_us} * 1000;
    read_only_ = hello.read_only != 0;
  }
  const Channel::Place place{.client = hello.client, .generation = hello.generation};
  if (attaching != nullptr) {
    TRY_OK(attaching->socket.take(std::move(greeted.socket)));
    attaching->attached(place);
    return Done{};
  }
  TRY(Mapping region, Mapping::map(fds[Descriptor::region].get(), sizeof(ClientRegion)));
  auto channel = std::make_unique<Channel>(std::move(region), server.bell, privates_, place,
                                           policy_, &Host::attach, &server);
  TRY_OK(channel->socket.take(std::move(greeted.socket)));
  TRY_OK(channel->memory.take(std::move(fds[Descriptor::region])));
  if (Channel* const old = server.channel.load()) old->retire();
  server.channel.store(channel.get(), std::memory_order_release);
  server.channels.push_back(std::move(channel));
  return Done{};
}

Status Host::open_common_locked() {
  if (common_opening.get() >= 0) return Done{};
  Fd opening(sys::openat(placeholder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opening.get() < 0) return Error(-opening.release());
  const auto position = static_cast<off_t>(HostTable::common_position);
  if (sys::lseek(opening.get(), position, SEEK_SET) != position) return Error(EIO);
  return common_opening.take(std::move(opening));
}

Status Host::open_common() {
  const Guard guard(lock_);
  return open_common_locked();
}

// The doorbell's descriptor is gone, and the socket with it as likely: a new greeting gives both.
bool Host::repair(void* server) {
  auto& broken = *static_cast<LocalServer*>(server);
  const Guard guard(broken.host.lock_);
  broken.bell.doorbell.close();
  return broken.host.greet_locked(broken).ok();
}

// The server's process died, and its successor is there.
Status Host::attach(void* server, Channel& channel) {
  auto& followed = *static_cast<LocalServer*>(server);
  const Guard guard(followed.host.lock_);
  if (channel.generation() == followed.bell.page().generation.load()) return Done{};
  return followed.host.greet_locked(followed, &channel);
}

LocalServer* Host::local(std::uint32_t rank) {
  for (const auto& server : servers_)
    if (server->rank == rank) return server.get();
  return nullptr;
}

Result<Channel*> Host::channel(std::uint32_t rank) {
  LocalServer* server = local(rank);
  if (server == nullptr) server = &leader();
  Channel* channel = server->channel.load(std::memory_order_acquire);
  if (channel != nullptr && !channel->dead()) {
    const std::uint32_t generation = server->bell.page().generation.load(std::memory_order_relaxed);
    // Another server than before, which is to know this channel before something is posted. If that
    // fails, whoever waits for the answer tries again.
    if (channel->generation() != generation && generation != 0)
      static_cast<void>(attach(server, *channel).ok());
    return channel;
  }
  const Guard guard(lock_);
  channel = server->channel.load();
  if (channel != nullptr && !channel->dead()) return channel;
  if (const Status status = greet_locked(*server); !status.ok()) {
    complain(status.error());
    return Error(EIO);
  }
  return server->channel.load();
}

Result<int> Host::chunk_directory(LocalServer& server) {
  if (const int fd = server.chunks.get(); fd >= 0) return fd;
  const Guard guard(lock_);
  if (const int fd = server.chunks.get(); fd >= 0) return fd;
  if (const Status status = greet_locked(server); !status.ok()) {
    complain(status.error());
    return Error(EIO);
  }
  return server.chunks.get();
}

Result<int> Host::wait_file(std::uint32_t rank) {
  LocalServer& server = *local(server_for(rank));
  if (const int fd = server.waits.get(); fd >= 0) return fd;
  const Guard guard(lock_);
  if (const int fd = server.waits.get(); fd >= 0) return fd;
  if (const Status status = greet_locked(server); !status.ok()) {
    complain(status.error());
    return Error(EIO);
  }
  return server.waits.get();
}

void Host::lost(LocalServer& server) {
  const Guard guard(lock_);
  server.chunks.close();
}

ProcessRecord* Host::record() {
  if (ProcessRecord* const known = known_record()) return known;
  ProcessRecord* const made = table_->record_of(self_, true);
  if (made == nullptr) return nullptr;
  record_.store(made, std::memory_order_release);
  table_->process_events.fetch_add(1);
  return made;
}

std::uint64_t Host::requests_sent() const {
  std::uint64_t sum = 0;
  for (const auto& server : servers_)
    for (const auto& channel : server->channels) sum += channel->posted();
  return sum;
}

// The leader looks after those that this process has no doorbell of.
void Host::ring_for_releases() {
  bool leader_helps =
      table_->has_releases(HostTable::leaders_list) || table_->release_help.load() != 0;
  for (const auto& server : servers_) {
    if (!table_->has_releases(HostTable::release_list(server->rank))) continue;
    if (server->channel.load(std::memory_order_acquire) != nullptr || server == servers_.front()) {
      server->bell.ring();
      continue;
    }
    table_->release_help.store(1);
    leader_helps = true;
  }
  if (leader_helps) ring_leader();
}

// The parent's slots are its own: the child drops them and connects when it has something to ask.
void Host::forked(ProcessRecord* record) {
  self_ = process_id(sys::getpid());
  record_.store(record);
  if (record != nullptr) record->process.store(self_);
  for (const auto& server : servers_) {
    server->channel.store(nullptr);
    server->channels.clear();
  }
}

void Host::disconnect() {
  servers_.clear();
  placeholder.close();
  common_opening.close();
  memory.close();
}

void Host::leave(int fd) {
  const Guard guard(lock_);
  placeholder.leave(fd);
  common_opening.leave(fd);
  memory.leave(fd);
  for (const auto& server : servers_) {
    server->bell.doorbell.leave(fd);
    server->chunks.leave(fd);
    server->waits.leave(fd);
    for (const auto& channel : server->channels) {
      channel->socket.leave(fd);
      channel->memory.leave(fd);
    }
  }
}

}  // namespace benchfs
