// Core: the peer channel behind its public header. Private to daemon/peer; one file per concern:
//
//   receive.cc   the UCX callback: from active messages to the inbox, and answers to their calls
//   connect.cc   hello, challenge, proof, accepted
//   calls.cc     outgoing requests
//   serve.cc     incoming requests, and their answers
//   liveness.cc  signs of life, failing connections
//   leaving.cc   closing the least recently used, by agreement
//   core.cc      progress, sleeping, shutdown
//
// Inside a UCX callback only the inbox, the list of the doomed and Completions are touched; what
// is in those is handled after ucp_worker_progress returned.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/loop/completion.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/task.h"
#include "daemon/peer/connection.h"
#include "daemon/peer/messages.h"
#include "daemon/peer/peer_channel.h"
#include "daemon/peer/transfer_buffers.h"
#include "daemon/peer/ucx_context.h"

namespace benchfs::peer {

// How a call ends whose connection is lost: it may be made again. No application sees it.
inline constexpr int connection_lost = ECONNRESET;

// Looks at UCX after a close: it destroys what was closed in some later progress.
inline constexpr int looks_after_close = 64;

// A message as the UCX callback leaves it in the inbox.
struct Message {
  std::shared_ptr<Connection> connection;  // none: a hello
  Header header{};
  std::vector<std::byte> body{};
  TransferBuffer data{};           // eager bulk
  void* descriptor = nullptr;      // UCX's: a payload that is still at the peer
  const void* endpoint = nullptr;  // of a hello: what UCX received it by, only to be compared
};

class Core {
 public:
  Core(EventLoop& loop, const PeerOptions& options, UcxContext context);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();
  ucs_status_t listen();

  void start(const PeerIdentity& identity, std::vector<std::vector<std::byte>> addresses,
             PeerChannel::Handler handler);
  void set_hooks(PeerHooks hooks) { hooks_ = std::move(hooks); }
  void greet_all();
  void update(std::uint32_t rank, std::vector<std::byte> address, std::uint32_t incarnation);
  void ended(std::uint32_t rank);
  std::uint32_t incarnation(std::uint32_t rank) const {
    return rank < links_.size() ? links_[rank].incarnation : 0;
  }
  PeerStatistics statistics() const;
  Task<Status> shutdown(std::int64_t deadline_ns);
  bool poll();
  bool arm();

  Task<Result<PeerReply>> call(std::uint32_t rank, std::vector<std::byte> body,
                               std::span<const std::byte> send, std::span<std::byte> receive);

  Task<Status> reply(std::shared_ptr<Connection> connection, std::uint64_t number,
                     std::vector<std::byte> body, std::span<const std::byte> data);
  void reply_error(const std::shared_ptr<Connection>& connection, std::uint64_t number, int error);
  void request_begins(Connection& connection);
  void request_ends(const std::shared_ptr<Connection>& connection);

  EventLoop& loop() { return loop_; }
  ucp_worker_h worker() const { return context_.worker(); }
  std::span<const std::byte> address() const { return context_.address(); }

  // From UCX callbacks or anywhere: `connection` fails as soon as progress is over.
  void doom(Connection& connection, std::string_view why);
  void operation_started() { ++operations_; }
  void operation_ended();
  void note_started() { ++notes_, ++operations_; }
  void note_ended() { --notes_, operation_ended(); }
  void count_sent(std::size_t bytes) {
    ++statistics_.messages_sent;
    statistics_.bytes_sent += bytes;
  }

 private:
  using State = Connection::State;

  // A coroutine of ours runs: shutdown waits for it.
  class Busy {
   public:
    explicit Busy(Core& core) : core_(core) { ++core_.tasks_; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() {
      --core_.tasks_;
      core_.notify();
    }

   private:
    Core& core_;
  };

  // receive.cc
  static ucs_status_t on_message(void* self, const void* header, std::size_t header_bytes,
                                 void* payload, std::size_t payload_bytes,
                                 const ucp_am_recv_param_t* param);
  ucs_status_t receive(std::span<const std::byte> head, void* payload, std::size_t payload_bytes,
                       const ucp_am_recv_param_t& param);
  ucs_status_t receive_hello(const Header& header, std::span<const std::byte> payload,
                             const ucp_am_recv_param_t& param);
  ucs_status_t receive_answer(Connection& connection, const Header& header,
                              std::span<const std::byte> inline_body, void* payload,
                              bool rendezvous);
  ucs_status_t refuse(const ucp_am_recv_param_t& param, std::string_view why);
  void receive_unknown(const Header& header, const ucp_am_recv_param_t& param);
  void close_stranger(const ucp_am_recv_param_t& param);
  void handle_inbox();
  void handle(Message message);
  void drop(Message& message);

  // calls.cc
  Task<Result<PeerReply>> attempt(std::uint32_t rank, std::span<const std::byte> body,
                                  std::span<const std::byte> send, std::span<std::byte> receive);
  bool worth_another_attempt(std::uint32_t rank);
  Task<Done> greet_every(std::uint32_t first, std::uint32_t step);

  // connect.cc
  Task<Result<std::shared_ptr<Connection>>> connected(std::uint32_t rank);
  Status greet(std::uint32_t rank);
  std::shared_ptr<Connection> open_endpoint(std::uint32_t rank, std::vector<std::byte> address,
                                            const void* pair);
  void handle_hello(std::span<const std::byte> bytes, const void* endpoint);
  void challenge(const std::shared_ptr<Connection>& connection, const Hello& hello);
  void handle_challenge(const std::shared_ptr<Connection>& connection,
                        std::span<const std::byte> body);
  void handle_proof(const std::shared_ptr<Connection>& connection, std::span<const std::byte> body);
  void opened(const std::shared_ptr<Connection>& connection);
  void rename(Connection& connection, std::uint64_t number);
  static void on_failure(void* connection, ucp_ep_h endpoint, ucs_status_t status);

  // serve.cc
  void serve(Message message);
  Task<Done> fetch(std::unique_ptr<Incoming> incoming, void* descriptor, Header header);

  // liveness.cc
  void fail(std::shared_ptr<Connection> connection, std::string_view why);
  void lie(const std::shared_ptr<Connection>& connection, std::string_view why) {
    connection->lied = true;
    fail(connection, why);
  }
  void down_since(Link& link, std::int64_t time_ns);
  void look_up(std::uint32_t rank);
  void close(std::shared_ptr<Connection> connection, int waiters_result);
  void wake(Link& link, int result);
  void watch_over();
  Task<Done> monitor();
  bool look_at(const std::shared_ptr<Connection>& connection, std::int64_t elapsed_ns,
               std::int64_t now_ns);

  // leaving.cc
  void used(Connection& connection);
  void released(const std::shared_ptr<Connection>& connection);
  void trim();
  void handle_leave(const std::shared_ptr<Connection>& connection);
  void note(const std::shared_ptr<Connection>& connection, Kind kind);

  // core.cc
  void enter(const std::shared_ptr<Connection>& connection, State state);
  void notify();  // something ended that shutdown may wait for
  bool drained() const { return tasks_ == 0 && operations_ == 0 && requests_ == 0; }
  bool notes_left() const { return notes_ == 0; }
  bool answers_left() const;
  Task<Done> wait_until(bool (Core::*condition)() const, std::int64_t deadline_ns);

  EventLoop& loop_;
  const PeerOptions options_;
  UcxContext context_;
  PeerIdentity identity_;
  PeerChannel::Handler handler_;
  PeerHooks hooks_;
  bool started_ = false;
  bool closing_ = false;

  std::vector<Link> links_;                             // by rank
  std::list<std::shared_ptr<Connection>> connections_;  // most recently used first
  std::unordered_map<std::uint64_t, Connection*> by_number_;
  std::uint64_t call_sequence_ = 0;
  // Numbers of connections that failed on this side, and whose peer may not know it: their rank.
  std::unordered_map<std::uint64_t, std::uint32_t> failed_here_;
  std::vector<std::uint32_t> greet_again_;

  struct Doomed {
    std::shared_ptr<Connection> connection;
    std::string why;
  };
  std::deque<Message> inbox_;
  std::vector<Doomed> doomed_;
  std::deque<Message> early_hellos_;  // came before start()
  std::uint32_t hellos_waiting_ = 0;  // in the inbox

  TransferBuffers buffers_;
  PeerStatistics statistics_;

  std::uint32_t tasks_ = 0;
  std::uint32_t operations_ = 0;
  std::uint32_t notes_ = 0;     // of the operations
  std::uint32_t requests_ = 0;  // of peers, that live here
  Completion* changed_ = nullptr;

  Completion* monitor_sleeps_ = nullptr;
  EventLoop::Timer monitor_timer_{};
  bool monitor_runs_ = false;

  // Nothing is connected and UCX is armed: its event fd says when to look again.
  bool quiet_ = false;
  // Looks still to be made before sleeping: UCX does not wake us for what it must destroy.
  int looks_left_ = 0;
};

// The guts of a PeerCall.
class Incoming {
 public:
  Incoming(Core& core, std::shared_ptr<Connection> connection, std::uint64_t number);
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;
  ~Incoming();

  Core& core;
  const std::shared_ptr<Connection> connection;
  const std::uint64_t number;
  std::vector<std::byte> body;
  TransferBuffer buffer;
  std::span<std::byte> data;  // in `buffer`
  int error = EIO;            // what the peer gets if nobody answers
  bool answered = false;
};

}  // namespace benchfs::peer
