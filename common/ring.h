// The local channel: what a client and a server of its host share.
//
// One memfd per client and server holds a ClientRegion (request slots); one per server holds its
// ControlPage (who has posted, is the server asleep). A client posts: slot, bit in the region, bit
// in the page, doorbell if the server sleeps. The server answers in the slot and wakes a waiter by
// futex. doc/wire.md has the life of a request.
//
// All of it outlives the server's process: the client keeps its region and hands it to the server's
// successor, which finds in it what was posted and not answered.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "common/wire.h"

namespace benchfs {

inline constexpr std::uint32_t clients_max = 4096;  // of one server
inline constexpr std::uint32_t slots_per_client = 16;

enum class SlotState : std::uint32_t { free, filling, posted, answered };

struct alignas(64) Slot {
  std::atomic<SlotState> state;
  std::atomic<std::uint32_t> sleeper;  // 1: the client waits in futex(state)
  std::uint32_t reserved[4];
  wire::Envelope envelope;
  // The request's body, and behind it, at reply_offset(), the answer's envelope and body: until the
  // state says `answered` the request is there for another server to answer.
  std::array<std::byte, 32704> body;

  static constexpr std::size_t reply_offset(std::uint32_t request_bytes) {
    return (std::size_t{request_bytes} + 63) / 64 * 64;
  }
};
static_assert(sizeof(Slot) == 32768);
static_assert(Slot::reply_offset(wire::body_bytes_max) + sizeof(wire::Envelope) +
                  wire::body_bytes_max <=
              sizeof(Slot::body));

struct ClientRegion {
  std::atomic<std::uint32_t> posted;  // bit per slot
  std::uint32_t reserved[15];
  std::array<Slot, slots_per_client> slots;
};

struct ControlPage {
  std::atomic<std::uint32_t> sleeping;    // 1: ring the doorbell
  std::atomic<std::uint32_t> generation;  // counts the server's starts; 0: it has ended
  std::atomic<std::uint64_t> server;      // ProcessId of the worker
  std::atomic<std::uint64_t> supervisor;  // while it lives, a dead worker is followed by another
  std::atomic<std::uint32_t> core;        // where the server last took requests
  std::uint32_t reserved[9];
  std::atomic<std::uint64_t> summary;  // bit per word of `pending`
  std::uint64_t reserved_too[7];
  std::array<std::atomic<std::uint64_t>, clients_max / 64> pending;
};

// The greeting on the Unix socket (SOCK_SEQPACKET). Both sides check the other's uid.
inline constexpr std::uint32_t greeting_magic = 0x53466342;  // "BcFS"

enum class PeerKind : std::uint32_t { application = 1, worker = 2 };

struct ClientHello {
  std::uint32_t magic;
  std::uint32_t version;
  std::array<std::byte, 16> instance;
  PeerKind kind;
  std::uint32_t
      attached;  // 1: the region of the client's time with an earlier server comes with it
};
static_assert(wire::Struct<ClientHello> && sizeof(ClientHello) == 32);

// With it, by SCM_RIGHTS, in this order: client region, control page, doorbell, chunk directory;
// view; from the host's leader also host table, transfer pool, placeholder directory, leased view.
struct ServerHello {
  std::uint32_t magic;
  std::uint32_t version;
  std::array<std::byte, 16> instance;
  std::int32_t error;  // 0, or why the client is not let in
  std::uint32_t rank;
  std::uint32_t client;
  std::uint32_t descriptors;
  std::uint32_t spin_us;  // how a client waits
  std::uint8_t waiting;   // enum Waiting
  std::uint8_t leader;
  std::uint8_t read_only;  // 1: clients change nothing
  std::uint8_t reserved;
  std::uint64_t chunk_bytes;
  std::uint64_t device;  // of the placeholder directory
  std::uint64_t inode;
  std::uint32_t uid;
  std::uint32_t generation;  // of the control page
};
static_assert(wire::Struct<ServerHello> && sizeof(ServerHello) == 80);
// Region, control page, doorbell, chunk directory, view; from the leader also host table, pool,
// placeholder, leased view.
inline constexpr std::size_t hello_descriptors = 5;
inline constexpr std::size_t hello_descriptors_max = 9;

// The transfer pool: 1 MiB buffers that cross to other hosts without another copy. A client takes
// one by writing its ProcessId into the owner word; a dead owner's buffer may be taken.
inline constexpr std::uint32_t pool_buffers = 64;
inline constexpr std::size_t pool_buffer_bytes = std::size_t{1} << 20;
struct PoolHeader {
  std::array<std::atomic<std::uint64_t>, pool_buffers> owner;
  std::array<std::byte, 4096 - 8 * pool_buffers> reserved;
};
static_assert(sizeof(PoolHeader) == 4096);
inline constexpr std::size_t pool_bytes = sizeof(PoolHeader) + pool_buffers * pool_buffer_bytes;
inline constexpr std::size_t pool_offset(std::uint32_t buffer) {
  return sizeof(PoolHeader) + buffer * pool_buffer_bytes;
}

}  // namespace benchfs
