// The control channel between a supervisor and its worker: a SOCK_SEQPACKET pair, one message a
// packet. Used by both sides, each from one thread (send and receive may be two threads).
//
//   supervisor                              worker
//     Configure          ->                            first message, before rank 0 is known to all
//                        <-  AddressIs                 its UCX worker exists
//     Start              ->                            who the others are
//                        <-  Ready                     serves; lets clients in
//                        <-  Hold                      any time after Configure
//                        <-  WhereIs                   a peer cannot be reached
//     PeerIs             ->                            what the registry says of it now
//                        <-  StopRequested             a client or another rank asked
//     Stop               ->                            perhaps twice: first drain, then at once
//                        <-  Done                      nothing in flight; the process then exits
//   A worker that dies while it serves is followed by another, on a channel of its own, which gets
//   back what the dead one asked to be held, if the dead one had said that it recovers.
//   Failed may replace any answer of the worker; the supervisor prints its line, so the worker
//   does not. A closed channel means the other side died: the worker then exits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/config.h"
#include "common/fd.h"
#include "common/result.h"
#include "registry/identity.h"

namespace benchfs {

// Something that outlives a worker. Names in use: "listener" (the clients' listening socket, bound
// to <rank_dir>/socket), "lock" (of the rank's directory: only to be kept open, so that the
// directory counts as in use while either process lives), and whatever the worker sent by Hold, of
// which the supervisor itself looks into "control" (the ControlPage, common/ring.h).
struct HeldFd {
  std::string name;
  Fd fd;
};
inline constexpr std::size_t held_name_bytes_max = 63;
inline constexpr std::size_t held_fds_max = 4096;

struct Peer {
  std::uint32_t rank = 0;
  std::uint64_t host_id = 0;
  std::string host_name;
  std::string data_dir;
  std::vector<std::byte> address;  // of the UCX worker
  std::uint32_t incarnation = 0;   // how often its worker was started again
  friend bool operator==(const Peer&, const Peer&) = default;
};

namespace control {

// To the worker.

struct Configure {
  Config config;
  std::uint32_t rank = 0;
  std::string host_name;
  std::string rank_dir;           // exists, 0700; empty at the first start
  bool log_level_forced = false;  // BENCHFS_LOG: log.level holds for all ranks
  std::uint32_t incarnation = 0;  // how often a worker died before this one
};

struct Start {
  std::uint32_t incarnation = 0;
  std::uint32_t rank = 0;
  std::uint32_t size = 0;
  InstanceId instance{};
  std::uint64_t host_id = 0;
  Secret secret{};
  std::vector<Peer> peers;  // peers[i].rank == i; this rank too
  std::vector<HeldFd> held;
};

struct Stop {
  std::uint32_t drain_ms = 0;  // how long clients may go on; 0: answer what is in flight and end
  bool tell_peers = false;     // the whole instance is to stop: pass it on through rank 0
};

struct PeerIs {
  std::uint32_t rank = 0;
  bool ended = false;  // in order, or it is not started again
  std::uint32_t incarnation = 0;
  std::vector<std::byte> address;
};

// To the supervisor.

struct AddressIs {
  std::vector<std::byte> address;
};
struct Failed {
  int exit_code = 0;
  std::string line;
};
struct Ready {
  std::string transport;  // for the banner, such as "tcp (eth0)"
  bool recovers = false;  // a worker started after its death knows all that was answered
};
struct StopRequested {
  bool by_peer = false;  // another rank passed it on: the others know already
};
struct Hold {
  HeldFd held;  // replaces an older one of the same name
};
struct WhereIs {
  std::uint32_t rank = 0;
};
struct Done {};

}  // namespace control

using ControlMessage =
    std::variant<control::Configure, control::Start, control::Stop, control::AddressIs,
                 control::Failed, control::Ready, control::StopRequested, control::Hold,
                 control::Done, control::WhereIs, control::PeerIs>;

class ControlChannel {
 public:
  explicit ControlChannel(Fd socket) : socket_(std::move(socket)) {}
  // Close-on-exec both; hand the number of the second to the worker after clearing that.
  static Result<std::pair<Fd, Fd>> make_pair();

  int fd() const { return socket_.get(); }  // readable: a message or the end

  // Packets are small and the queue is the kernel's, so sending waits only for a peer that has
  // stopped reading: then EAGAIN. EPIPE: the peer is gone.
  Status send(const control::Configure& message);
  Status send(const control::Start& message);
  Status send(const control::Stop& message);
  Status send(const control::AddressIs& message);
  Status send(const control::Failed& message);
  Status send(const control::Ready& message);
  Status send(const control::StopRequested& message);
  Status send(const control::Hold& message);  // the descriptor stays the caller's too
  Status send(const control::Done& message);
  Status send(const control::WhereIs& message);
  Status send(const control::PeerIs& message);

  // Waits until `deadline_ns` (CLOCK_MONOTONIC; 0: do not wait). EAGAIN: nothing came.
  // ECONNRESET: the peer is gone. EBADMSG: not one of ours, dropped.
  // A descriptor received is close-on-exec.
  Result<ControlMessage> receive(std::int64_t deadline_ns);

 private:
  struct Packet {
    std::vector<std::byte> bytes;
    std::vector<Fd> fds;
  };
  Status send_packet(std::span<const std::byte> bytes, std::span<const int> fds);
  Result<Packet> receive_packet(std::int64_t deadline_ns);

  Fd socket_;
  std::vector<HeldFd> batches_;  // of a Start that is still to come
};

}  // namespace benchfs
