#include "daemon/rpc/server.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>

#include "common/log.h"
#include "common/sys.h"
#include "daemon/handlers/handlers.h"
#include "daemon/rpc/bulk.h"

namespace benchfs {
namespace {

// Above every number that an earlier process of this rank counted from its own start.
std::uint64_t start_number() { return static_cast<std::uint64_t>(sys::now_ns(CLOCK_REALTIME)); }
constexpr std::uint64_t sessions_ahead = 1 << 16;  // logged at a time

std::uint64_t memory_in_use() {
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

}  // namespace

Server::Server(EventLoop& loop_, const Config& config_, Topology topology_, PeerChannel& peers_,
               UringChunkStore& store_, HostTable& table_, ProcessId self_)
    : loop(loop_),
      config(config_),
      topology(std::move(topology_)),
      peers(peers_),
      store(store_),
      table(table_),
      self(self_),
      names(topology.rank, topology.size, config_.metadata.max_inodes),
      coordinator(*this, start_number()),
      participant(*this),
      rename_ticket(*this, start_number()),
      splitter(*this),
      memory_at_start_(memory_in_use()),
      silent_(topology.size) {
  names.leases().on_recall = [this](std::uint32_t host) { loop.spawn(send_recalls(host)); };
  names.split_above(config.metadata.directory_split_entries);
  names.keep_contents_in(table, self);
}

std::uint64_t Server::metadata_bytes() const {
  const std::uint64_t now = memory_in_use();
  return now > memory_at_start_ ? now - memory_at_start_ : 0;
}

Task<Answer> Server::dispatch(wire::Op op, const Caller& caller, std::span<const std::byte> body) {
  const Route* const route = find_route(op);
  if (route == nullptr || (!route->for_clients && !caller.is_peer))
    co_return Answer(Error(EBADMSG));
  // A change of a client is made once, however often it is asked for.
  const bool once = route->for_clients && route->effect != Effect::none && caller.process != 0;
  const RequestKey request{{caller.host, caller.process}, caller.request_id};
  Answers::State state = once ? answers.begin(request) : Answers::State::fresh;
  for (; state == Answers::State::running; state = answers.begin(request))
    co_await answers.wait(loop, request);
  if (state == Answers::State::stale) co_return Answer(Error(EIO));
  const bool again = state == Answers::State::done;
  if (again && op != wire::Op::open) co_return answers.answer(request);

  if (lacks_room(*route, body)) {
    const Status room = co_await journal->make_room(room_for(*route));
    if (!room.ok()) {
      if (once) answers.forget(request);
      co_return Answer(room.error());
    }
  }
  Leases::Watch watch(names.leases());
  Answer answer;
  if (again) {
    Answer known = answers.answer(request);
    answer = co_await open_again(*this, caller, body, std::move(known));
  } else {
    answer = co_await route->run(*this, caller, body);
  }
  if (once && !again) remember(op, request, answer);
  names.show_changes();
  if (names.has_overfull()) [[unlikely]]
    splitter.start(names.overfull());
  commit();
  if (journal != nullptr && !journal->is_synced()) {
    const Status synced = co_await journal->synced();
    if (!synced.ok()) answer = Answer(synced.error());
  }
  Leases::Recalls recalls = watch.end();
  // A recall waits for nobody, so that recalls never wait for each other.
  if (!recalls.empty() && op != wire::Op::recall_leases)
    co_await Leases::settled(loop, std::move(recalls));
  if (once) answers.finish(request);
  co_return answer;
}

Status Server::restore_transactions() {
  for (const auto& [key, bytes] : blobs.all()) {
    if (key.kind == prepared_blob) {
      TRY_OK(participant.restore(bytes));
    } else if (key.kind == committed_blob) {
      TRY_OK(coordinator.restore(bytes));
    }
  }
  rename_ticket.after_restart();
  return Done{};
}

// In the frame of the change. What changed nothing here is run again if it comes again. An open is
// granted again then, with the content of that time.
void Server::remember(wire::Op op, const RequestKey& request, const Answer& given) {
  if (given.error != 0 || (given.flags & wire::Flag::redirected) != 0)
    return answers.forget(request);
  Answer without_content;
  const bool has_content = op == wire::Op::open && given.body.size() > sizeof(wire::OpenReply);
  if (has_content) {
    without_content = given;
    without_content.body.resize(sizeof(wire::OpenReply));
  }
  const Answer& answer = has_content ? without_content : given;
  answers.keep(request, answer);
  if (journal != nullptr && journal->has_room(room_at_last + answer.body.size()))
    journal->append(RecordType::answer, Answers::record_of(request, answer), answer.body);
}

void Server::log_to(Journal& target) {
  journal = &target;
  names.log_to(target);
  blobs.log_to(target);
  commit();
}

void Server::commit() {
  if (journal == nullptr) return;
  names.log_changes();
  if (next_session >= sessions_logged_) {
    sessions_logged_ = next_session + sessions_ahead;
    const CounterRecord record{.inode_counter = names.counter_end(), .session = sessions_logged_};
    journal->append(RecordType::counters, record);
  }
  journal->commit();
  names.committed();
}

std::size_t Server::room_for(const Route& route) {
  return route.effect == Effect::change ? room_to_change : room_to_free;
}

// An open that makes nothing is not refused: that a host has a file open may be logged later.
bool Server::lacks_room(const Route& route, std::span<const std::byte> body) const {
  if (journal == nullptr || route.effect == Effect::none) return false;
  if (journal->has_room(room_for(route))) return false;
  const auto request = wire::parse<wire::Open>(body);
  return route.op != wire::Op::open || !request.ok() || (request->flags & O_CREAT) != 0;
}

Task<Answer> Server::ask_raw(std::uint32_t rank, wire::Op op, const Caller& caller,
                             std::span<const std::byte> body, std::span<const std::byte> send,
                             std::span<std::byte> receive) {
  if (rank >= topology.size) co_return Answer(Error(ESTALE));
  if (rank == topology.rank) co_return co_await dispatch(op, caller, body);
  commit();
  if (journal != nullptr && !journal->is_synced()) {
    const Status synced = co_await journal->synced();
    if (!synced.ok()) co_return Answer(synced.error());
  }
  wire::Envelope envelope{};
  envelope.rank = rank;
  envelope.op = static_cast<std::uint16_t>(op);
  envelope.length = static_cast<std::uint32_t>(body.size());
  envelope.uid = caller.uid;
  const bool takes_leases = caller.wants_leases && held != nullptr;
  if (takes_leases) envelope.flags |= wire::Flag::leases;
  const std::int64_t asked_ns = takes_leases ? sys::now_ns() : 0;
  envelope.request_id = caller.request_id;
  envelope.process = caller.process;
  std::vector<std::byte> message(sizeof envelope + body.size());
  std::memcpy(message.data(), &envelope, sizeof envelope);
  std::ranges::copy(body, message.begin() + sizeof envelope);
  auto reply = co_await peers.call(rank, std::move(message), send, receive);
  if (!reply.ok()) {
    if (!silent_[rank])
      log::warn("rank {} on {} does not answer: requests to it fail with {}", rank,
                topology.host_name_of[rank], reply.error());
    silent_[rank] = true;
    if (held != nullptr) held->lost(rank);
    co_return Answer(reply.error());
  }
  silent_[rank] = false;
  const auto head = wire::parse<wire::Envelope>(reply->body);
  if (!head.ok() || head->length != reply->body.size() - sizeof(wire::Envelope))
    co_return Answer(Error(EIO));
  Answer answer;
  answer.error = head->error;
  answer.flags = head->flags;
  answer.append(std::span(reply->body).subspan(sizeof(wire::Envelope)));
  if ((answer.flags & wire::Flag::leases) != 0) {
    answer.flags &= static_cast<std::uint16_t>(~wire::Flag::leases);
    if (!takes_leases || !held->take(rank, asked_ns, answer.body).ok())
      co_return Answer(Error(EIO));
  }
  co_return answer;
}

Task<int> Server::serve_peer(PeerCall call) {
  ++counters.peer_requests;
  ++answering;
  const auto envelope = wire::parse<wire::Envelope>(call.body());
  Answer answer{Error(EBADMSG)};
  std::vector<std::byte> outgoing;  // bulk of the answer
  std::size_t outgoing_bytes = 0;
  if (envelope.ok() && envelope->length == call.body().size() - sizeof(wire::Envelope) &&
      envelope->length <= wire::body_bytes_max && call.source() < topology.size) {
    const auto body = call.body().subspan(sizeof(wire::Envelope));
    const auto op = static_cast<wire::Op>(envelope->op);
    Caller caller;
    caller.uid = envelope->uid;
    caller.host = topology.host_of[call.source()];
    caller.leader = peers.incarnation(caller.host);
    caller.rank = call.source();
    caller.is_peer = true;
    caller.process = envelope->process;
    caller.request_id = envelope->request_id;
    caller.bulk = call.data();
    std::vector<Passed> passed;
    const bool leases = (envelope->flags & wire::Flag::leases) != 0 && caller.host == caller.rank &&
                        caller.host != topology.host();
    if (leases) caller.passed = &passed;
    const auto bulk = bulk_of(op, body);
    if (bulk.ok() && !bulk->sent) {
      outgoing.resize(bulk->bytes);
      caller.bulk = outgoing;
    }
    const bool changes_chunks = op == wire::Op::write_chunk || op == wire::Op::cut_chunks;
    if (changes_chunks) co_await chunk_order_.begin(loop, call.source(), call.connection());
    if (bulk.ok()) {
      answer = co_await dispatch(op, caller, body);
    } else {
      answer = Answer(bulk.error());
    }
    if (changes_chunks) chunk_order_.end(call.source());
    if (answer.error == 0 && (answer.flags & wire::Flag::redirected) == 0 && !outgoing.empty()) {
      const auto read = wire::parse<wire::ChunkReply>(answer.body);
      if (read.ok()) outgoing_bytes = std::min<std::size_t>(read->bytes, outgoing.size());
    }
    if (leases) add_leases(caller.host, passed, answer);
  }
  wire::Envelope head{};
  head.rank = topology.rank;
  head.error = answer.error;
  head.flags = answer.flags;
  head.length = static_cast<std::uint32_t>(answer.body.size());
  std::vector<std::byte> message(sizeof head + answer.body.size());
  std::memcpy(message.data(), &head, sizeof head);
  std::ranges::copy(answer.body, message.begin() + sizeof head);
  const Status sent =
      co_await call.reply(std::move(message), std::span(outgoing).first(outgoing_bytes));
  --answering;
  co_return sent.ok() ? 0 : -sent.error().code();
}

}  // namespace benchfs
