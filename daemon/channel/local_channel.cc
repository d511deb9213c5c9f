#include "daemon/channel/local_channel.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "common/log.h"
#include "common/placement.h"
#include "daemon/channel/greeting.h"
#include "daemon/channel/lock_release.h"
#include "daemon/rpc/bulk.h"

namespace benchfs {

LocalChannel::LocalChannel(Server& server, HostKeeper* keeper, Parts parts)
    : server_(server),
      keeper_(keeper),
      parts_(std::move(parts)),
      locks_(server, parts_.control.get()) {
  page().supervisor.store(process_id(::getppid()));
  page().server.store(server_.self);
  page().generation.fetch_add(1);
  server_.loop.add(*this);
  server_.loop.watch(parts_.doorbell.get(), EPOLLIN, [fd = parts_.doorbell.get()](std::uint32_t) {
    std::uint64_t rings = 0;
    sys::read(fd, &rings, sizeof rings);
  });
  server_.loop.watch(parts_.listener.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
}

LocalChannel::~LocalChannel() {
  close();
  server_.loop.unwatch(parts_.doorbell.get());
  for (auto& client : clients_) {
    if (client == nullptr) continue;
    server_.loop.unwatch(client->process_fd.get());
    server_.loop.unwatch(client->socket.get());
  }
}

void LocalChannel::close() {
  if (closing_) return;
  closing_ = true;
  server_.loop.unwatch(parts_.listener.get());
  for (auto& [socket, fd] : greeting_) server_.loop.unwatch(socket);
  greeting_.clear();
  page().generation.store(0);
}

void LocalChannel::accept_clients() {
  for (;;) {
    const int socket =
        ::accept4(parts_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) return;
    greeting_[socket] = Fd(socket);
    server_.loop.watch(socket, EPOLLIN, [this, socket](std::uint32_t) { greet(socket); });
  }
}

void LocalChannel::greet(int number) {
  server_.loop.unwatch(number);
  const auto found = greeting_.find(number);
  if (found == greeting_.end()) return;
  Fd socket = std::move(found->second);
  greeting_.erase(found);
  ucred peer{};
  socklen_t length = sizeof peer;
  auto introduced = receive_hello(socket.get());
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || !introduced.ok())
    return;  // not one of ours: closed without a word
  const ClientHello& hello = introduced->hello;
  Status status = Done{};
  if (peer.uid != ::geteuid()) {
    log::warn("refused a client of user {} (pid {}): this instance belongs to user {}", peer.uid,
              peer.pid, ::geteuid());
    status = Error(EACCES);
  } else if (hello.version != wire::version) {
    status = Error(EPROTONOSUPPORT);
  } else if (hello.instance != parts_.instance) {
    status = Error(ESTALE);
  } else if (hello.kind == PeerKind::worker) {
    ServerHello reply{};
    reply.magic = greeting_magic;
    reply.version = wire::version;
    reply.instance = parts_.instance;
    reply.descriptors = 2;
    const std::array descriptors{parts_.host.host_table, parts_.host.transfer_pool};
    status = parts_.host.host_table < 0 ? Status(Error(EINVAL))
                                        : send_hello(socket.get(), reply, descriptors);
    if (status.ok()) return;
  } else {
    status = let_in(socket, peer.uid, peer.pid, std::move(introduced->region));
    if (status.ok()) return;
  }
  ServerHello refusal{};
  refusal.magic = greeting_magic;
  refusal.version = wire::version;
  refusal.instance = parts_.instance;
  refusal.error = status.error().code();
  refusal.rank = server_.topology.rank;
  static_cast<void>(send_hello(socket.get(), refusal, {}).ok());  // it may have hung up already
}

Status LocalChannel::let_in(Fd& socket, std::uint32_t uid, pid_t pid, Fd region) {
  std::uint32_t id = 0;
  while (id < clients_max && clients_[id] != nullptr) ++id;
  if (id == clients_max) return Error(EUSERS);
  auto client = std::make_unique<Client>();
  client->id = id;
  client->uid = uid;
  client->process = process_id(pid);
  const long process_fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (process_fd < 0) return Error::last();
  client->process_fd.reset(static_cast<int>(process_fd));
  const bool attached = static_cast<bool>(region);
  if (!attached) {
    TRY(region, make_shared_memory("benchfs-client", sizeof(ClientRegion)));
  }
  TRY(client->region, Mapping::map(region.get(), sizeof(ClientRegion)));

  ServerHello hello{};
  hello.magic = greeting_magic;
  hello.version = wire::version;
  hello.instance = parts_.instance;
  hello.rank = server_.topology.rank;
  hello.client = id;
  hello.spin_us = server_.config.client.spin_us;
  hello.waiting = static_cast<std::uint8_t>(server_.config.client.wait);
  hello.read_only = server_.config.client.read_only ? 1 : 0;
  hello.chunk_bytes = server_.config.storage.chunk_size;
  hello.uid = uid;
  hello.generation = page().generation.load();
  std::vector<int> descriptors{region.get(), parts_.control.get(), parts_.doorbell.get(),
                               server_.store.directory(), parts_.view.get()};
  if (parts_.host.host_table >= 0) {
    hello.leader = 1;
    struct stat placeholder {};
    if (::fstat(parts_.host.placeholder, &placeholder) != 0) return Error::last();
    hello.device = placeholder.st_dev;
    hello.inode = placeholder.st_ino;
    descriptors.insert(descriptors.end(), {parts_.host.host_table, parts_.host.transfer_pool,
                                           parts_.host.placeholder, parts_.host.leased_view});
  }
  hello.descriptors = static_cast<std::uint32_t>(descriptors.size());
  TRY_OK(send_hello(socket.get(), hello, descriptors));

  client->socket = std::move(socket);
  // Death shows on the process, not on the socket: forked children keep the socket open. A client
  // that lives and closes it reconnects; its region goes when its requests are answered.
  server_.loop.watch(client->process_fd.get(), EPOLLIN, [this, id](std::uint32_t) {
    const ProcessId process = clients_[id]->process;
    remove(id);
    if (keeper_ != nullptr) keeper_->process_ended(process);
    release_orphaned_locks(server_);  // what this server wrote down after the leader had looked
  });
  server_.loop.watch(client->socket.get(), EPOLLIN | EPOLLRDHUP,
                     [this, id](std::uint32_t) { remove(id); });
  clients_[id] = std::move(client);
  ++server_.counters.clients;
  if (attached) take_over(*clients_[id]);
  return Done{};
}

// What was posted to the server before this one, and not answered.
void LocalChannel::take_over(Client& client) {
  for (std::uint32_t i = 0; i < slots_per_client; ++i)
    if (client.slots().slots[i].state.load() == SlotState::posted)
      client.slots().posted.fetch_or(1u << i);
  start_posted(client);
}

void LocalChannel::remove(std::uint32_t id) {
  Client* const client = clients_[id].get();
  if (client == nullptr || client->gone) return;
  client->gone = true;
  server_.loop.unwatch(client->process_fd.get());
  server_.loop.unwatch(client->socket.get());
  --server_.counters.clients;
  locks_.client_gone(id);
  forget_if_idle(id);
}

void LocalChannel::forget_if_idle(std::uint32_t id) {
  if (clients_[id]->gone && clients_[id]->in_flight == 0) clients_[id].reset();
}

bool LocalChannel::poll() {
  std::uint64_t words = page().summary.load(std::memory_order_relaxed);
  if (words == 0) return false;
  words = page().summary.exchange(0);
  const auto core = static_cast<std::uint32_t>(::sched_getcpu());
  if (page().core.load(std::memory_order_relaxed) != core)
    page().core.store(core, std::memory_order_relaxed);
  while (words != 0) {
    const auto word = static_cast<std::uint32_t>(std::countr_zero(words));
    words &= words - 1;
    if (word >= page().pending.size()) continue;
    std::uint64_t bits = page().pending[word].exchange(0);
    while (bits != 0) {
      const auto id = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
      if (clients_[id] != nullptr && !clients_[id]->gone) start_posted(*clients_[id]);
    }
  }
  return true;
}

void LocalChannel::start_posted(Client& client) {
  std::uint32_t bits = client.slots().posted.exchange(0);
  const std::uint32_t id = client.id;
  ++client.in_flight;  // keeps it while we look
  while (bits != 0) {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(bits));
    bits &= bits - 1;
    if (index >= slots_per_client) continue;
    // A client that was attached may set a bit after its slot was found posted without it.
    if ((client.served >> index & 1) != 0) continue;
    if (client.slots().slots[index].state.load(std::memory_order_acquire) != SlotState::posted)
      continue;
    client.served |= 1u << index;
    ++client.in_flight;
    ++in_flight_;
    server_.loop.spawn(serve(*this, client, index));
  }
  --client.in_flight;
  forget_if_idle(id);
}

// The client may write to the slot at any time: what is checked is a copy.
Task<int> LocalChannel::serve(LocalChannel& channel, Client& client, std::uint32_t index) {
  Slot& slot = client.slots().slots[index];
  const wire::Envelope envelope = slot.envelope;
  Bytes body;
  Answer answer;
  const bool fits = envelope.length <= wire::body_bytes_max;
  if (!fits) {
    answer = Answer(Error(EBADMSG));
  } else {
    body.insert(body.end(), slot.body.begin(), slot.body.begin() + envelope.length);
    ++channel.server_.counters.requests;
    answer = co_await channel.run(client, envelope, body);
    if (answer.body.size() > wire::body_bytes_max) answer = Answer(Error(EIO));
  }
  wire::Envelope head = envelope;
  head.error = answer.error;
  head.flags = answer.flags;
  head.length = static_cast<std::uint32_t>(answer.body.size());
  head.rank = channel.server_.topology.rank;
  std::byte* const place = slot.body.data() + Slot::reply_offset(fits ? envelope.length : 0);
  std::memcpy(place, &head, sizeof head);
  if (!answer.body.empty())
    std::memcpy(place + sizeof head, answer.body.data(), answer.body.size());
  client.served &= ~(1u << index);
  slot.state.store(SlotState::answered, std::memory_order_seq_cst);
  if (slot.sleeper.load(std::memory_order_seq_cst) != 0) sys::futex_wake(&slot.state, 1);
  const std::uint32_t id = client.id;
  --client.in_flight;
  --channel.in_flight_;
  if (answer.error == EBADMSG) {  // whoever speaks so is not one of ours
    log::warn("client pid {} sent a malformed request (op {}, {} bytes): disconnected",
              pid_of(client.process), envelope.op, envelope.length);
    channel.remove(id);
    co_return 0;
  }
  channel.forget_if_idle(id);
  co_return 0;
}

std::span<std::byte> LocalChannel::pool_buffer(std::uint32_t buffer) const {
  if (buffer >= pool_buffers) return {};
  return {parts_.pool->data() + pool_offset(buffer), pool_buffer_bytes};
}

Task<Answer> LocalChannel::run(Client& client, const wire::Envelope& envelope,
                               std::span<const std::byte> body) {
  const auto op = static_cast<wire::Op>(envelope.op);
  if (op == wire::Op::lock) {
    const auto request = wire::parse<wire::Lock>(body);
    if (!request.ok()) co_return Answer(request.error());
    const wire::Lock copy = *request;
    co_return co_await locks_.lock(client, copy);
  }
  if (op == wire::Op::end_lock_wait) {
    const auto request = wire::parse<wire::EndLockWait>(body);
    if (!request.ok()) co_return Answer(request.error());
    const wire::EndLockWait copy = *request;
    co_return co_await locks_.end_wait(client, copy);
  }
  const Route* const route = find_route(op);
  if (route == nullptr || !route->for_clients) co_return Answer(Error(EBADMSG));
  if (envelope.rank >= server_.topology.size) co_return Answer(Error(ESTALE));
  Caller caller;
  caller.uid = client.uid;
  caller.host = server_.topology.host();
  caller.rank = server_.topology.rank;
  caller.wants_leases = server_.topology.host_of[envelope.rank] != caller.host;
  caller.process = client.process;
  caller.request_id = envelope.request_id;
  const auto beside = bulk_of(op, body);
  if (!beside.ok()) co_return Answer(beside.error());
  std::span<std::byte> bulk;
  if (beside->bytes != 0) {
    bulk = pool_buffer(beside->buffer);
    if (bulk.empty()) co_return Answer(Error(EINVAL));
    bulk = bulk.first(beside->bytes);
  }
  caller.bulk = bulk;
  Answer answer;
  if (envelope.rank == server_.topology.rank) {
    answer = co_await server_.dispatch(op, caller, body);
  } else {
    ++server_.counters.relayed;
    const std::span<const std::byte> outgoing = beside->sent ? bulk : std::span<std::byte>{};
    const std::span<std::byte> incoming = beside->sent ? std::span<std::byte>{} : bulk;
    answer = co_await server_.ask_raw(envelope.rank, op, caller, body, outgoing, incoming);
  }
  if (op == wire::Op::open && answer.error == 0 && (answer.flags & wire::Flag::redirected) == 0) {
    const auto request = wire::parse<wire::Open>(body);
    if (request.ok()) co_return co_await finish_open(client, *request, std::move(answer));
  }
  co_return answer;
}

// Enters the open into the host's tables before the client learns of it, so that a client which
// dies in between leaves nothing behind.
Task<Answer> LocalChannel::finish_open(Client& client, const wire::Open& request, Answer answer) {
  const auto reply = wire::parse<wire::OpenReply>(answer.body);
  if (!reply.ok()) co_return Answer(Error(EIO));
  HostTable& table = server_.table;
  const wire::Attributes& attributes = reply->attributes;
  const bool is_directory = S_ISDIR(attributes.mode);
  const ProcessRecord* const record = client.record_in(table);
  int error = 0;
  if (request.slot == 0 || request.slot >= open_slots || record == nullptr ||
      !table.holds(*record, request.slot)) {
    error = EINVAL;
  }
  std::uint32_t entry = 0;
  if (!is_directory) {
    const auto rest = std::span<const std::byte>(answer.body).subspan(sizeof *reply);
    const bool whole = reply->content_bytes <= std::min(rest.size(), cell_bytes);
    const Granted granted{
        .inode = attributes.inode,
        .session = reply->session,
        .tenure = reply->tenure,
        .size = attributes.size,
        .exact = reply->exact != 0,
        .accessed = kept_access(attributes.accessed, attributes.modified, attributes.changed),
        .privileged = (attributes.mode & (S_ISUID | S_ISGID)) != 0,
        .writes = (request.flags & O_ACCMODE) != O_RDONLY,
        .foreign = server_.topology.host_of[home_rank(attributes.inode)] != server_.topology.host(),
        .stored = reply->stored,
        .content = whole ? rest.first(reply->content_bytes) : rest.first(0)};
    if (whole)
      entry =
          table.opened(server_.self, granted, error == 0 ? &table.slots[request.slot] : nullptr);
    if (entry == 0) error = ENFILE;
    answer.body.resize(sizeof *reply);  // the client looks into the cell
  }
  if (error == 0) {
    OpenSlot& slot = table.slots[request.slot];
    // Of a file that was there when a server that died was asked the same.
    if (const std::uint32_t stale = is_directory ? slot.entry.exchange(0) : 0; stale != 0)
      table.undo_open(server_.self, stale);
    slot.type = attributes.mode & S_IFMT;
    slot.inode.store(attributes.inode, std::memory_order_release);
    co_return answer;
  }
  if (entry != 0) {
    table.undo_open(server_.self, entry);
  } else if (!is_directory) {
    const wire::Release undo{.inode = attributes.inode,
                             .session = reply->session,
                             .tenure = reply->tenure,
                             .end = 0,
                             .modified = 0,
                             .accessed = 0,
                             .opens = 0,
                             .undone = 1,
                             .flags = 0,
                             .stored = stored_nowhere};
    co_await server_.ask(home_rank(attributes.inode), undo);
  }
  co_return Answer(Error(error));
}

bool LocalChannel::arm() {
  page().sleeping.store(1, std::memory_order_seq_cst);
  return page().summary.load(std::memory_order_seq_cst) == 0;
}

void LocalChannel::disarm() { page().sleeping.store(0, std::memory_order_seq_cst); }

}  // namespace benchfs
