#include "daemon/supervisor/control.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "common/placement.h"
#include "common/sys.h"
#include "registry/bytes.h"

namespace benchfs {
namespace {

using namespace control;

enum class Type : std::uint32_t {
  configure = 1,
  held_batch,  // part of a Start, which follows
  start,
  stop,
  address_is,
  failed,
  ready,
  stop_requested,
  hold,
  done,
  where_is,
  peer_is,
};

constexpr std::size_t packet_bytes_max = 128U << 10;
constexpr std::size_t fds_per_packet_max = 200;  // the kernel's limit is 253
constexpr std::size_t path_bytes_max = 4095;
constexpr std::size_t host_name_bytes_max = 255;
constexpr std::size_t line_bytes_max = 4096;
constexpr std::size_t address_bytes_max = 64U << 10;
constexpr std::size_t start_bytes_max = std::size_t{1} << 30;

ByteWriter packet(Type type) {
  ByteWriter out;
  out.number(static_cast<std::uint32_t>(type));
  return out;
}

// The identities of all ranks are too large for a packet, and the secret belongs into no queue
// that outlives its reader: both travel in a memory file.
Result<Fd> start_file(const Start& message) {
  ByteWriter out;
  out.number(message.incarnation);
  out.number(message.rank);
  out.number(message.size);
  out.number(message.host_id);
  out.fixed(message.instance);
  out.fixed(message.secret);
  out.number(static_cast<std::uint32_t>(message.peers.size()));
  for (const Peer& peer : message.peers) {
    out.number(peer.host_id);
    out.text(peer.host_name);
    out.text(peer.data_dir);
    out.counted(peer.address);
    out.number(peer.incarnation);
  }
  Fd file(::memfd_create("benchfs-start", MFD_CLOEXEC));
  if (!file) return Error::last();
  std::span<const std::byte> rest = out.bytes();
  while (!rest.empty()) {
    const ssize_t n = sys::write(file.get(), rest.data(), rest.size());
    if (n < 0 && n != -EINTR) return Error(static_cast<int>(-n));
    if (n > 0) rest = rest.subspan(static_cast<std::size_t>(n));
  }
  ::explicit_bzero(out.bytes().data(), out.bytes().size());
  return file;
}

Result<Start> read_start(int file) {
  struct stat attributes {};
  if (::fstat(file, &attributes) != 0) return Error::last();
  if (attributes.st_size < 0 || static_cast<std::size_t>(attributes.st_size) > start_bytes_max)
    return Error(EBADMSG);
  std::vector<std::byte> bytes(static_cast<std::size_t>(attributes.st_size));
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n =
        sys::pread(file, bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
    if (n == -EINTR) continue;
    if (n <= 0) return Error(EBADMSG);
    got += static_cast<std::size_t>(n);
  }

  ByteReader in(bytes);
  Start message;
  message.incarnation = in.number<std::uint32_t>();
  message.rank = in.number<std::uint32_t>();
  message.size = in.number<std::uint32_t>();
  message.host_id = in.number<std::uint64_t>();
  message.instance = in.fixed<16>();
  message.secret = in.fixed<32>();
  const auto count = in.number<std::uint32_t>();
  if (count != message.size || count > ranks_max || message.rank >= count) return Error(EBADMSG);
  for (std::uint32_t rank = 0; rank < count && !in.failed(); ++rank) {
    Peer peer;
    peer.rank = rank;
    peer.host_id = in.number<std::uint64_t>();
    peer.host_name = in.text(host_name_bytes_max);
    peer.data_dir = in.text(path_bytes_max);
    const auto address = in.counted(address_bytes_max);
    peer.address.assign(address.begin(), address.end());
    peer.incarnation = in.number<std::uint32_t>();
    message.peers.push_back(std::move(peer));
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  if (!in.complete()) return Error(EBADMSG);
  return message;
}

bool read_held(ByteReader& in, std::vector<Fd>& fds, std::vector<HeldFd>& held) {
  const auto count = in.number<std::uint32_t>();
  if (count != fds.size() || held.size() + count > held_fds_max) return false;
  for (Fd& fd : fds) held.push_back({in.text(held_name_bytes_max), std::move(fd)});
  return in.complete();
}

Result<ControlMessage> parse_configure(ByteReader& in) {
  Configure message;
  const std::string settings = in.text(packet_bytes_max);
  message.rank = in.number<std::uint32_t>();
  message.host_name = in.text(host_name_bytes_max);
  message.rank_dir = in.text(path_bytes_max);
  message.log_level_forced = in.number<std::uint8_t>() != 0;
  message.incarnation = in.number<std::uint32_t>();
  if (!in.complete()) return Error(EBADMSG);
  try {
    message.config = decode(settings);
  } catch (const ConfigError&) {
    return Error(EBADMSG);
  }
  return ControlMessage(std::move(message));
}

}  // namespace

Result<std::pair<Fd, Fd>> ControlChannel::make_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return Error::last();
  return std::pair<Fd, Fd>(Fd(ends[0]), Fd(ends[1]));
}

Status ControlChannel::send_packet(std::span<const std::byte> bytes, std::span<const int> fds) {
  if (bytes.size() > packet_bytes_max) return Error(EMSGSIZE);
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int) * fds_per_packet_max)];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = ancillary;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return Error::last();
  return benchfs::Done{};
}

Status ControlChannel::send(const Configure& message) {
  ByteWriter out = packet(Type::configure);
  out.text(encode(message.config));
  out.number(message.rank);
  out.text(message.host_name);
  out.text(message.rank_dir);
  out.number(static_cast<std::uint8_t>(message.log_level_forced));
  out.number(message.incarnation);
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const Start& message) {
  TRY(const Fd file, start_file(message));
  std::span<const HeldFd> rest = message.held;
  while (!rest.empty()) {
    const auto batch = rest.first(std::min(rest.size(), fds_per_packet_max));
    ByteWriter out = packet(Type::held_batch);
    out.number(static_cast<std::uint32_t>(batch.size()));
    std::vector<int> fds;
    for (const HeldFd& held : batch) {
      out.text(held.name);
      fds.push_back(held.fd.get());
    }
    TRY_OK(send_packet(out.bytes(), fds));
    rest = rest.subspan(batch.size());
  }
  const int fds[] = {file.get()};
  return send_packet(packet(Type::start).bytes(), fds);
}

Status ControlChannel::send(const Stop& message) {
  ByteWriter out = packet(Type::stop);
  out.number(message.drain_ms);
  out.number(static_cast<std::uint8_t>(message.tell_peers));
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const AddressIs& message) {
  ByteWriter out = packet(Type::address_is);
  out.counted(message.address);
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const Failed& message) {
  ByteWriter out = packet(Type::failed);
  out.number(static_cast<std::int32_t>(message.exit_code));
  out.text(std::string_view(message.line).substr(0, line_bytes_max));
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const Ready& message) {
  ByteWriter out = packet(Type::ready);
  out.text(std::string_view(message.transport).substr(0, line_bytes_max));
  out.number(static_cast<std::uint8_t>(message.recovers));
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const StopRequested& message) {
  ByteWriter out = packet(Type::stop_requested);
  out.number(static_cast<std::uint8_t>(message.by_peer));
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const Hold& message) {
  ByteWriter out = packet(Type::hold);
  out.number(std::uint32_t{1});
  out.text(message.held.name);
  const int fds[] = {message.held.fd.get()};
  return send_packet(out.bytes(), fds);
}

Status ControlChannel::send(const control::Done&) {
  return send_packet(packet(Type::done).bytes(), {});
}

Status ControlChannel::send(const WhereIs& message) {
  ByteWriter out = packet(Type::where_is);
  out.number(message.rank);
  return send_packet(out.bytes(), {});
}

Status ControlChannel::send(const PeerIs& message) {
  ByteWriter out = packet(Type::peer_is);
  out.number(message.rank);
  out.number(static_cast<std::uint8_t>(message.ended));
  out.number(message.incarnation);
  out.counted(message.address);
  return send_packet(out.bytes(), {});
}

Result<ControlMessage> ControlChannel::receive(std::int64_t deadline_ns) {
  for (;;) {
    TRY(Packet received, receive_packet(deadline_ns));
    ByteReader in(received.bytes);
    const auto type = static_cast<Type>(in.number<std::uint32_t>());
    std::vector<Fd>& fds = received.fds;
    const bool carries = type == Type::held_batch || type == Type::start || type == Type::hold;
    if (!carries && !fds.empty()) return Error(EBADMSG);
    switch (type) {
      case Type::held_batch:
        if (!read_held(in, fds, batches_)) return Error(EBADMSG);
        continue;
      case Type::start: {
        if (fds.size() != 1 || !in.complete()) return Error(EBADMSG);
        TRY(Start message, read_start(fds[0].get()));
        message.held = std::exchange(batches_, {});
        return ControlMessage(std::move(message));
      }
      case Type::configure:
        return parse_configure(in);
      case Type::stop: {
        Stop message;
        message.drain_ms = in.number<std::uint32_t>();
        message.tell_peers = in.number<std::uint8_t>() != 0;
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(message);
      }
      case Type::address_is: {
        const auto address = in.counted(address_bytes_max);
        if (!in.complete() || address.empty()) return Error(EBADMSG);
        return ControlMessage(AddressIs{{address.begin(), address.end()}});
      }
      case Type::failed: {
        Failed message;
        message.exit_code = in.number<std::int32_t>();
        message.line = in.text(line_bytes_max);
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(std::move(message));
      }
      case Type::ready: {
        Ready message{.transport = in.text(line_bytes_max),
                      .recovers = in.number<std::uint8_t>() != 0};
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(std::move(message));
      }
      case Type::stop_requested: {
        StopRequested message;
        message.by_peer = in.number<std::uint8_t>() != 0;
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(message);
      }
      case Type::hold: {
        std::vector<HeldFd> held;
        if (!read_held(in, fds, held) || held.size() != 1) return Error(EBADMSG);
        return ControlMessage(Hold{std::move(held[0])});
      }
      case Type::done:
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(control::Done{});
      case Type::where_is: {
        WhereIs message;
        message.rank = in.number<std::uint32_t>();
        if (!in.complete()) return Error(EBADMSG);
        return ControlMessage(message);
      }
      case Type::peer_is: {
        PeerIs message;
        message.rank = in.number<std::uint32_t>();
        message.ended = in.number<std::uint8_t>() != 0;
        message.incarnation = in.number<std::uint32_t>();
        const auto address = in.counted(address_bytes_max);
        if (!in.complete()) return Error(EBADMSG);
        message.address.assign(address.begin(), address.end());
        return ControlMessage(std::move(message));
      }
    }
    return Error(EBADMSG);
  }
}

Result<ControlChannel::Packet> ControlChannel::receive_packet(std::int64_t deadline_ns) {
  Packet received;
  received.bytes.resize(packet_bytes_max);
  iovec part{.iov_base = received.bytes.data(), .iov_len = received.bytes.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int) * fds_per_packet_max)];
  bool was_reset = false;
  for (;;) {
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary;
    header.msg_controllen = sizeof ancillary;
    const ssize_t n = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n > 0) {
      received.bytes.resize(static_cast<std::size_t>(n));
      for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
          int fd;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
          received.fds.emplace_back(fd);
        }
      }
      if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Error(EBADMSG);
      return received;
    }
    if (n == 0) return Error(ECONNRESET);
    if (errno == EINTR) continue;
    // A peer that ended with packets unread resets the connection, but what it had said before is
    // still there behind the error, which is reported once.
    if (errno == ECONNRESET && !std::exchange(was_reset, true)) continue;
    if (errno != EAGAIN) return Error::last();

    const std::int64_t rest_ns = deadline_ns == 0 ? 0 : deadline_ns - sys::now_ns();
    if (rest_ns <= 0) return Error(EAGAIN);
    pollfd readable{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int wait_ms =
        static_cast<int>(std::min<std::int64_t>((rest_ns + 999'999) / 1'000'000, INT_MAX));
    if (::poll(&readable, 1, wait_ms) < 0 && errno != EINTR) return Error::last();
  }
}

}  // namespace benchfs
