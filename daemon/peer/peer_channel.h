// PeerChannel: requests from server to server, and their answers, over UCX.
//
// One per worker process, on its loop thread, as a Source of its EventLoop. Connections are made
// when first needed, each side proves that it knows the instance's secret, and the least recently
// used is closed when there are too many. This header includes no UCX.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/task.h"

namespace benchfs {

namespace peer {
class Core;
class Incoming;
}  // namespace peer

struct PeerOptions {
  std::uint32_t request_timeout_ms = 10'000;  // no sign of life for so long: EIO
  std::uint32_t heartbeat_ms = 1'000;         // asked this often, while something is outstanding
  std::uint32_t connections_max = 200;        // more are open only while all of them are busy
  std::size_t buffer_bytes_max = 64 << 20;    // for bulk that comes with requests; 17 MiB at least
};

struct PeerIdentity {
  std::array<std::byte, 16> instance{};
  std::uint32_t rank = 0;
  std::uint32_t size = 1;
  std::array<std::byte, 32> secret{};
  std::uint32_t incarnation = 0;  // how often this rank was started again
};

struct PeerReply {
  std::vector<std::byte> body;
  std::size_t data_bytes = 0;  // arrived in the caller's receive buffer
};

struct PeerStatistics {
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_sent = 0;  // bodies and bulk
  std::uint64_t bytes_received = 0;
  std::uint64_t requests_received = 0;
  std::uint64_t connections_made = 0;  // whose hello succeeded
  std::uint64_t connections_lost = 0;  // not closed by agreement
  std::uint64_t messages_refused = 0;  // malformed, or from somebody who proved nothing
  std::uint64_t messages_unknown = 0;  // of no connection there is: late, or a stranger\'s
  std::uint32_t endpoints = 0;         // open now, of UCX
  std::uint32_t connections = 0;       // of them usable
  std::uint64_t buffer_bytes = 0;      // lent to requests now
};

// What the channel asks of, and tells, whoever made it. Called on the loop, outside UCX.
struct PeerHooks {
  // A rank cannot be reached where it was: update() or ended() is to be called when it is known
  // where it is. Asked again while it cannot be reached.
  std::function<void(std::uint32_t rank)> look_up;
  // A rank has said that it was started again, and can be asked from now on. What was outstanding
  // to the one before is being sent to it.
  std::function<void(std::uint32_t rank)> restarted;
};

// One incoming request. Must be gone before its channel is destroyed.
class PeerCall {
 public:
  explicit PeerCall(std::unique_ptr<peer::Incoming> incoming);
  PeerCall(PeerCall&&) noexcept;
  PeerCall& operator=(PeerCall&&) = delete;
  // Answers EIO if nobody answered.
  ~PeerCall();

  std::uint32_t source() const;
  // Which connection to the source it came by.
  std::uint64_t connection() const;
  std::span<const std::byte> body() const;
  // Bulk that came with the request: the caller's until this is destroyed.
  std::span<std::byte> data();
  // Sends the answer, once. `data` must stay valid until the task is done; the call itself need
  // not. An answer that is too long (64 KiB of body, 16 MiB of data) is sent as EMSGSIZE.
  Task<Status> reply(std::vector<std::byte> body, std::span<const std::byte> data = {});

 private:
  std::unique_ptr<peer::Incoming> incoming_;
};

class PeerChannel final : public Source {
 public:
  using Handler = std::function<void(PeerCall)>;

  // Adds itself to `loop`, which must outlive it, and which must not turn after it is destroyed.
  // On failure `why` is a line for the user: what was tried, and what the environment asked for.
  static Result<std::unique_ptr<PeerChannel>> create(EventLoop& loop, const PeerOptions& options,
                                                     std::string& why);
  ~PeerChannel() override;

  // This worker's UCX address: what the peers' start() and update() need.
  std::span<const std::byte> address() const;

  // `addresses` is by rank; the own one may be empty. Peers that said hello earlier are answered
  // now. `handler` runs on the loop, outside UCX; it may start tasks but must not block.
  void start(const PeerIdentity& identity, std::vector<std::vector<std::byte>> addresses,
             Handler handler);

  // Before start().
  void set_hooks(PeerHooks hooks);
  // Makes a connection to every peer, some at a time: they learn that this rank was started again.
  void greet_all();

  // One request and its answer. A connection that is lost is made again, to the rank's next process
  // if need be, and the request sent again, until the rank gave no sign of life for
  // request_timeout_ms: so the peer may get it several times. `body` is at most 64 KiB and `send`
  // at most 16 MiB (EMSGSIZE); `send` and `receive` must stay valid until the task is done. An
  // answer that does not fit into `receive` ends the connection. EIO: the peer is gone; whether it
  // acted on the request is then unknown. A slow answer of a living peer is waited for without
  // limit. EINVAL: no such rank, or the own one.
  Task<Result<PeerReply>> call(std::uint32_t rank, std::vector<std::byte> body,
                               std::span<const std::byte> send = {},
                               std::span<std::byte> receive = {});

  // A restarted peer has another address. (A peer that says hello from a new address, with the
  // right proof, is believed without this.)
  void update(std::uint32_t rank, std::vector<std::byte> address, std::uint32_t incarnation = 0);
  // A rank ended, and is not started again: what is asked of it fails at once, unless it says hello
  // after all.
  void ended(std::uint32_t rank);
  // How often a rank was started again, as far as it is known here.
  std::uint32_t incarnation(std::uint32_t rank) const;

  PeerStatistics statistics() const;

  // Lets answers leave, tells the peers, closes all; at `deadline_ns` (CLOCK_MONOTONIC), and after
  // 300 ms at the latest, whatever is left is cut off. New and outstanding calls fail with EIO.
  // ETIMEDOUT: some PeerCall or task still lives; it must end before the channel is destroyed.
  Task<Status> shutdown(std::int64_t deadline_ns);

  bool poll() override;
  bool arm() override;

 private:
  explicit PeerChannel(std::unique_ptr<peer::Core> core);
  std::unique_ptr<peer::Core> core_;
};

}  // namespace benchfs
