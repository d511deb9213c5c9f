// What all messages have in common: their operations, their envelope, and how they are read.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "common/result.h"

namespace benchfs::wire {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint32_t version = 4;
inline constexpr std::size_t name_bytes_max = 255;
inline constexpr std::size_t path_bytes_max = 4095;
inline constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 62;
inline constexpr std::size_t xattr_bytes_max = 65536;  // a value, and all names of an inode
// Longest body of a message: two paths and a struct fit, and so does a page of a listing.
inline constexpr std::size_t body_bytes_max = 16320;

enum class Op : std::uint16_t {
  // by clients, at the home of the directory or inode named
  stat = 1,
  open = 2,
  release = 3,  // by the host server, for its clients
  make_directory = 4,
  remove_directory = 5,
  unlink = 6,
  rename = 7,
  symlink = 8,
  read_link = 9,
  link = 10,
  set_attributes = 11,
  list = 12,
  name_of = 13,
  resolve = 14,  // to a directory: what the two-path operations start with
  // data
  size = 20,
  truncate = 21,
  reserve = 22,  // room at the end, for O_APPEND on several hosts
  read_chunk = 23,
  write_chunk = 24,
  sync_chunks = 25,
  // the whole instance
  file_system = 30,
  status = 31,
  stop = 32,
  // server to server only
  freeze = 47,
  thaw = 48,
  host_size = 49,
  revoke_exact = 50,
  cut_chunks = 51,
  // changes on several servers (doc/design.md)
  prepare = 60,        // agree to a change and lock what it concerns
  decide = 61,         // make it, or forget it
  outcome = 62,        // what was decided? Asked by who agreed and heard nothing
  rename_ticket = 63,  // rank 0 lets one directory at a time move to another parent
  // parts of split directories
  fill_part = 64,        // entries for a part that is to be made
  part_status = 65,      // what it adds to the directory's attributes
  part_attributes = 66,  // the directory's mode and owner changed
  parts_of = 67,         // all of a directory
  // after a restart
  held_opens = 80,  // which inodes at home at the asking rank a host has open
  // locks of files
  lock = 90,           // set, test, release, withdraw
  end_lock_wait = 91,  // by clients, at the server of their host that said "queued"
  await_lock = 92,     // by that server, at the home: answered when the lock is granted
  lock_owner = 93,     // by a home, at the owner's host: does it live, what does it wait for?
  lock_blockers = 94,  // at a home: who keeps a wait from its lock?
  held_locks = 95,     // by a restarted home, at each host's leader
  // extended attributes, by clients
  get_xattr = 96,
  set_xattr = 97,
  list_xattrs = 98,
  remove_xattr = 99,
  count_blocks = 100,   // server to server: what the chunks of a file with holes take
  recall_leases = 104,  // see lease_messages.h
  // contents of small files; by clients, at the inode's home
  move_to_chunks = 112,
  sync_inode = 113,
  // benchfs fsck, at each rank
  check_state = 120,
  check_inodes = 121,
  check_entries = 122,
  check_chunks = 123,
};

// In front of every request and reply.
struct Envelope {
  std::uint64_t request_id;  // the client's; echoed. Grows; the low bits are its slot's number
  std::uint64_t process;     // the client's, set by the host's server; 0 for servers themselves
  std::uint32_t client;      // client id at its host's server, 0 for servers themselves
  std::uint32_t rank;        // request: whom it is for; reply: who answered
  std::uint16_t op;
  std::uint16_t flags;   // Flag
  std::int32_t error;    // reply: 0 or a Linux errno; request: zero
  std::uint32_t length;  // bytes of the body that follow
  std::uint32_t uid;     // the caller's effective uid, set by the host's server
};

enum Flag : std::uint16_t {
  redirected = 1,  // reply: the body is a Redirect and perhaps a symlink's target
  leases = 2,      // request: may be given; reply: a list of them ends the body (lease_messages.h)
};

template <class M>
concept Struct =
    std::is_trivially_copyable_v<M> && std::has_unique_object_representations_v<M>;  // no padding
template <class M>
concept Message = Struct<M> && requires {
  { M::op } -> std::convertible_to<Op>;
  typename M::Reply;
};
static_assert(Struct<Envelope> && sizeof(Envelope) == 40);

struct Nothing {
  std::uint64_t reserved;
};

// Copies a struct out of bytes that a stranger wrote.
template <Struct M>
Result<M> parse(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(M)) return Error(EBADMSG);
  M message;
  std::memcpy(&message, bytes.data(), sizeof message);  // bytes may be unaligned
  return message;
}

// The `length` bytes of text that follow a parsed struct, from `offset` on.
inline Result<std::string_view> text(std::span<const std::byte> bytes, std::size_t offset,
                                     std::size_t length) {
  if (offset > bytes.size() || length > bytes.size() - offset) return Error(EBADMSG);
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + offset, length);
}

template <Struct M>
std::span<const std::byte> bytes_of(const M& message) {
  return std::as_bytes(std::span(&message, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace benchfs::wire
