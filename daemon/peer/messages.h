// What servers say to each other, around the messages of common/wire.h.
//
// Every active message has this header, and after it, still in the active message's header, a
// short body. A longer body travels in the payload, before the bulk data. Integers are
// little-endian. Changing a layout means a new version in the hello.
//
//   initiator              responder
//     hello      ------->             "I am rank 3 of this instance", with a nonce and a proof of
//     the secret
//                <-------  challenge  its nonce, and proof that it has the secret and saw ours
//     proof      ------->             the same from us
//                <-------  accepted   from here on both send requests
//
// From `proof` on, the connection's number is derived from both nonces and the secret: it names
// the connection and shows that the sender took part in the hello.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace benchfs::peer {

static_assert(std::endian::native == std::endian::little);

inline constexpr unsigned am_id = 7;                              // the active message we are
inline constexpr std::uint64_t hello_magic = 0x3152454550534642;  // "BFSPEER1"
inline constexpr std::uint32_t version = 2;

inline constexpr std::size_t body_bytes_max = 64 << 10;
inline constexpr std::size_t data_bytes_max = 16 << 20;
inline constexpr std::size_t inline_body_bytes_max = 256;  // in the active message's header
// Longer bulk goes by rendezvous. Measured over TCP: up to here two copies cost less than the
// further round trip.
inline constexpr std::size_t eager_bytes_max = 64 << 10;
inline constexpr std::size_t address_bytes_max = 16 << 10;

enum class Kind : std::uint8_t {
  hello = 1,
  challenge = 2,
  proof = 3,
  accepted = 4,
  request = 5,
  reply = 6,
  ping = 7,  // are you there?
  pong = 8,
  leave = 9,          // may we close this idle connection?
  leave_agreed = 10,  // yes: the asker closes it
  leave_refused = 11,
  gone = 12,     // the sender closes it now
  refused = 13,  // names a hello by the initiator's number; proves nothing
  ended = 14,    // as gone, and the sender is not coming back
};

enum Flag : std::uint8_t {
  body_in_payload = 1,
};

struct Header {
  std::uint64_t connection;  // hello: 0; challenge: the initiator's number
  std::uint64_t call;        // request and reply
  std::uint32_t data_bytes;
  std::uint32_t body_bytes;
  std::uint32_t error;  // reply: an errno instead of an answer
  Kind kind;
  std::uint8_t flags;
  std::uint16_t reserved;  // zero
};
static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) == 32);
static_assert(std::has_unique_object_representations_v<Header>);

using Nonce = std::array<std::byte, 32>;
using Proof = std::array<std::byte, 32>;

// The body of a hello; the initiator's UCX address and a Proof over both follow.
struct Hello {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t from;
  std::uint32_t to;
  std::uint32_t size;
  std::array<std::byte, 16> instance;
  Nonce nonce;
  std::uint64_t connection;  // the initiator's number for the challenge
  std::uint32_t address_bytes;
  std::uint32_t incarnation;  // of the initiator
};
static_assert(std::is_trivially_copyable_v<Hello> && sizeof(Hello) == 88);
static_assert(std::has_unique_object_representations_v<Hello>);

struct Challenge {
  Nonce nonce;
  Proof proof;
  std::uint32_t incarnation;  // of the responder
  std::uint32_t reserved;     // zero
};
static_assert(std::is_trivially_copyable_v<Challenge> && sizeof(Challenge) == 72);

}  // namespace benchfs::peer
