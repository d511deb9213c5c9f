// Server: one rank's state and the way from a request to its handler and back.
//
// Requests come from the local channel (clients of this host) and from peers; both end in
// dispatch(). Handlers are coroutines on the one loop; what they need from other ranks they ask().
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.h"
#include "common/host_table.h"
#include "common/lease_messages.h"
#include "common/ring.h"
#include "common/shared_memory.h"
#include "common/wire.h"
#include "daemon/journal/blobs.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/uring.h"
#include "daemon/metadata/file_locks.h"
#include "daemon/metadata/namespace.h"
#include "daemon/peer/peer_channel.h"
#include "daemon/rpc/answers.h"
#include "daemon/rpc/chunk_order.h"
#include "daemon/rpc/lease_holder.h"
#include "daemon/rpc/surveys.h"
#include "daemon/storage/uring_chunk_store.h"
#include "daemon/transaction/coordinator.h"
#include "daemon/transaction/participant.h"
#include "daemon/transaction/rename_ticket.h"
#include "daemon/transaction/splitter.h"
#include "registry/host_record.h"

namespace benchfs {

// Who asks.
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t host = 0;                 // leader's rank of the caller's host
  std::uint32_t rank = 0;                 // of the server that passed it on, or this one's
  std::uint32_t leader = 0;               // that rank's incarnation when the request came
  bool is_peer = false;                   // another server, for itself or for a client of its host
  bool wants_leases = false;              // of this host's clients, to a rank of another one
  std::vector<Passed>* passed = nullptr;  // collects what may be leased to the caller's host
  ProcessId process = 0;                  // the client that asks; 0: a server itself
  std::uint64_t request_id = 0;           // the client's
  std::span<std::byte> bulk{};  // write: the data; read: where it goes (stable until answered)
};

// Where the ranks are; filled at start, then const.
struct Topology {
  std::uint32_t rank = 0;
  std::uint32_t size = 1;
  std::vector<std::uint32_t> host_of;     // rank → leader's rank of its host
  std::vector<std::string> host_name_of;  // rank → name, for messages
  std::uint32_t host() const { return host_of[rank]; }
  bool is_leader() const { return host() == rank; }
};

struct Route;

struct Counters {
  std::uint64_t requests = 0;
  std::uint64_t peer_requests = 0;
  std::uint64_t relayed = 0;
  std::uint64_t recalls = 0;  // messages
  std::uint32_t clients = 0;
};

class Server {
 public:
  Server(EventLoop& loop, const Config& config, Topology topology, PeerChannel& peers,
         UringChunkStore& store, HostTable& table, ProcessId self);

  // Runs the handler of `op`. `body` must stay valid until the task is done.
  Task<Answer> dispatch(wire::Op op, const Caller& caller, std::span<const std::byte> body);
  // One request as the bytes after the envelope, to `rank`, this one included.
  Task<Answer> ask_raw(std::uint32_t rank, wire::Op op, const Caller& caller,
                       std::span<const std::byte> body, std::span<const std::byte> send,
                       std::span<std::byte> receive);
  // A server's own question; `text` follows the struct. `rest`: gets what follows the answer's.
  template <wire::Message M>
  Task<Result<typename M::Reply>> ask(std::uint32_t rank, M message, std::string text = {},
                                      std::string* rest = nullptr) {
    Bytes body;
    const auto head = wire::bytes_of(message);
    body.insert(body.end(), head.begin(), head.end());
    const auto tail = wire::bytes_of(text);
    body.insert(body.end(), tail.begin(), tail.end());
    Caller caller;
    caller.host = topology.host();
    caller.is_peer = true;
    const Answer answer = co_await ask_raw(rank, M::op, caller, body, {}, {});
    if (answer.error != 0) co_return Error(answer.error);
    const auto reply = wire::parse<typename M::Reply>(answer.body);
    if (rest != nullptr && reply.ok())
      *rest = *wire::text(answer.body, sizeof *reply, answer.body.size() - sizeof *reply);
    co_return reply;
  }
  // A request that came from a peer; answers it.
  Task<int> serve_peer(PeerCall call);

  // What replay put back of changes on several servers goes on. Before anything is served. EBADMSG:
  // not what this server wrote.
  Status restore_transactions();
  // All changes from now on go to `journal`, whose records of the time before are in place.
  void log_to(Journal& journal);
  // What was changed since the last time counts from now on, whatever becomes of this process. To
  // be called before anybody is told of it.
  void commit();

  // Makes every host drop all it has leased from this rank, which has lost its memory of that: to
  // be started before anything is served. Nothing is answered until each host has done so or is
  // dead.
  Task<int> recall_everything();
  // Of memory, since it began: inodes, names, answers, and what requests under way use.
  std::uint64_t metadata_bytes() const;
  // Above every session that was given out.
  std::uint64_t sessions_logged() const { return sessions_logged_; }

  // Set by the worker: the instance is to end.
  std::function<void()> on_stop;

  EventLoop& loop;
  const Config& config;
  const Topology topology;
  PeerChannel& peers;
  UringChunkStore& store;
  HostTable& table;
  const ProcessId self;
  const std::uint32_t owner = ::geteuid();  // of all that is made
  Namespace names;
  FileLocks locks;
  Counters counters;
  Surveys surveys;
  Blobs blobs;
  Answers answers;
  Journal* journal = nullptr;      // null: nothing is logged
  std::uint64_t next_session = 0;  // larger than any before, restarts included
  std::uint32_t answering = 0;     // requests of peers, and orders to them, under way
  // Changes on several servers.
  Coordinator coordinator;
  Participant participant;
  RenameTicket rename_ticket;
  Splitter splitter;
  absl::flat_hash_map<std::uint64_t, std::uint32_t> pinned;  // inodes such a change concerns: not
                                                             // erased, whatever else happens
  std::uint32_t removals = 0;         // of chunks of removed files, under way
  std::unique_ptr<LeaseHolder> held;  // the leader's, of ranks on other hosts

 private:
  void remember(wire::Op op, const RequestKey& request, const Answer& given);
  static std::size_t room_for(const Route& route);
  bool lacks_room(const Route& route, std::span<const std::byte> body) const;

  // recalls.cc
  std::uint32_t leases_good_ms() const;
  void add_leases(std::uint32_t host, const std::vector<Passed>& passed, Answer& answer);
  Task<int> recall_from(std::uint32_t host, wire::RecallLeases message, std::string keys);
  Task<int> send_recalls(std::uint32_t host);
  Task<int> recall_everything_of(std::uint32_t host, int& missing, Completion& all);

  ChunkOrder chunk_order_;
  std::uint64_t memory_at_start_;
  std::uint64_t sessions_logged_ = 0;  // a restart goes on above this one
  std::vector<bool> silent_;           // by rank: told in the log that it does not answer
};

// What becomes of the journal by a request.
enum class Effect : std::uint8_t {
  none,    // nothing, or what needs no promise
  change,  // it grows: refused when the device is full
  free,    // it grows, but makes room in the end
};

// The whole protocol: one row an operation (routes.cc).
struct Route {
  wire::Op op;
  bool for_clients;
  Effect effect;
  Task<Answer> (*run)(Server&, const Caller&, std::span<const std::byte> body);
};
const Route* find_route(wire::Op op);

}  // namespace benchfs
