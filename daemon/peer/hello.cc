#include "daemon/peer/hello.h"

#include <sodium.h>

#include <cstring>
#include <string_view>

namespace benchfs::peer {
namespace {

static_assert(sizeof(Proof) == crypto_auth_BYTES);
static_assert(sizeof(PeerIdentity::secret) == crypto_auth_KEYBYTES);

const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// A proof is good for one purpose: the label is part of what is authenticated.
Proof authenticate(const PeerIdentity& self, std::string_view label,
                   std::span<const std::byte> bytes) {
  std::vector<std::byte> text(label.size() + bytes.size());
  std::memcpy(text.data(), label.data(), label.size());
  if (!bytes.empty()) std::memcpy(text.data() + label.size(), bytes.data(), bytes.size());
  Proof proof{};
  crypto_auth(reinterpret_cast<unsigned char*>(proof.data()), raw(text), text.size(),
              raw(self.secret));
  return proof;
}

Proof authenticate(const PeerIdentity& self, std::string_view label, const Handshake& handshake) {
  struct Text {
    std::array<std::byte, 16> instance;
    Handshake handshake;
  };
  static_assert(std::has_unique_object_representations_v<Text>);
  const Text text{.instance = self.instance, .handshake = handshake};
  return authenticate(self, label, std::as_bytes(std::span(&text, 1)));
}

}  // namespace

Nonce fresh_nonce() {
  Nonce nonce{};
  ::randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

std::uint64_t fresh_number() {
  std::uint64_t number = 0;
  while (number == 0) ::randombytes_buf(&number, sizeof number);
  return number;
}

std::vector<std::byte> make_hello(const PeerIdentity& self, std::uint32_t to, const Nonce& nonce,
                                  std::uint64_t connection, std::span<const std::byte> address) {
  const Hello hello{.magic = hello_magic,
                    .version = version,
                    .from = self.rank,
                    .to = to,
                    .size = self.size,
                    .instance = self.instance,
                    .nonce = nonce,
                    .connection = connection,
                    .address_bytes = static_cast<std::uint32_t>(address.size()),
                    .incarnation = self.incarnation};
  std::vector<std::byte> bytes(sizeof hello + address.size() + sizeof(Proof));
  std::memcpy(bytes.data(), &hello, sizeof hello);
  std::memcpy(bytes.data() + sizeof hello, address.data(), address.size());
  const std::size_t authentic = sizeof hello + address.size();
  const Proof proof = authenticate(self, "hello", std::span(bytes).first(authentic));
  std::memcpy(bytes.data() + authentic, proof.data(), proof.size());
  return bytes;
}

Result<VerifiedHello> verify_hello(const PeerIdentity& self, std::span<const std::byte> bytes) {
  VerifiedHello verified{};
  Hello& hello = verified.hello;
  if (bytes.size() < sizeof hello + sizeof(Proof)) return Error(EBADMSG);
  std::memcpy(&hello, bytes.data(), sizeof hello);
  if (hello.magic != hello_magic || hello.version != version) return Error(EBADMSG);
  if (hello.address_bytes == 0 || hello.address_bytes > address_bytes_max) return Error(EBADMSG);
  const std::size_t authentic = sizeof hello + hello.address_bytes;
  if (bytes.size() != authentic + sizeof(Proof)) return Error(EBADMSG);

  if (hello.instance != self.instance || hello.size != self.size) return Error(EPERM);
  if (hello.to != self.rank || hello.from >= self.size || hello.from == self.rank)
    return Error(EPERM);
  Proof proof{};
  std::memcpy(proof.data(), bytes.data() + authentic, proof.size());
  if (!same(proof, authenticate(self, "hello", bytes.first(authentic)))) return Error(EPERM);

  const auto address = bytes.subspan(sizeof hello, hello.address_bytes);
  verified.address.assign(address.begin(), address.end());
  return verified;
}

Proof responder_proof(const PeerIdentity& self, const Handshake& handshake) {
  return authenticate(self, "responder", handshake);
}

Proof initiator_proof(const PeerIdentity& self, const Handshake& handshake) {
  return authenticate(self, "initiator", handshake);
}

std::uint64_t connection_number(const PeerIdentity& self, const Handshake& handshake) {
  const Proof proof = authenticate(self, "connection", handshake);
  std::uint64_t number = 0;
  std::memcpy(&number, proof.data(), sizeof number);
  return number | 1;
}

bool same(const Proof& left, const Proof& right) {
  return ::sodium_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace benchfs::peer
