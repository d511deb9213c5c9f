// The hello: how two servers prove to each other that they know the instance's secret.
//
// Pure computation over messages.h; who sends what when is in connect.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/result.h"
#include "daemon/peer/messages.h"
#include "daemon/peer/peer_channel.h"

namespace benchfs::peer {

Nonce fresh_nonce();
// Never 0.
std::uint64_t fresh_number();

// The hello's bytes: struct, address, proof.
std::vector<std::byte> make_hello(const PeerIdentity& self, std::uint32_t to, const Nonce& nonce,
                                  std::uint64_t connection, std::span<const std::byte> address);

struct VerifiedHello {
  Hello hello;
  std::vector<std::byte> address;
};
// EBADMSG: not a hello; EPERM: of another instance, for another rank, or without the secret.
Result<VerifiedHello> verify_hello(const PeerIdentity& self, std::span<const std::byte> bytes);

// What both sides know after the hello and the challenge.
struct Handshake {
  std::uint32_t initiator;
  std::uint32_t responder;
  std::uint32_t initiator_incarnation = 0;
  std::uint32_t responder_incarnation = 0;
  Nonce initiator_nonce;
  Nonce responder_nonce;
};

Proof responder_proof(const PeerIdentity& self, const Handshake& handshake);
Proof initiator_proof(const PeerIdentity& self, const Handshake& handshake);
// The connection's number. Never 0.
std::uint64_t connection_number(const PeerIdentity& self, const Handshake& handshake);

// In constant time.
bool same(const Proof& left, const Proof& right);

}  // namespace benchfs::peer
