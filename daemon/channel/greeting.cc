#include "daemon/channel/greeting.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace benchfs {
namespace {

constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int) * hello_descriptors_max);

// Through a descriptor of the directory, as the path may be longer than a socket address holds.
Result<Fd> connect_in(const std::string& rank_dir) {
  const Fd directory(sys::openat(AT_FDCWD, rank_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error(-directory.get());
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::last();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/socket";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::last();
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return Error::last();
  if (peer.uid != ::geteuid()) return Error(EPERM);
  return socket;
}

// One packet, and the descriptors that came with it.
Result<std::size_t> receive(int socket, void* data, std::size_t bytes, int flags,
                            std::vector<Fd>& descriptors) {
  iovec part{data, bytes};
  alignas(cmsghdr) std::array<char, control_bytes> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  if (n < 0) return Error::last();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  return static_cast<std::size_t>(n);
}

}  // namespace

Result<Introduction> receive_hello(int socket) {
  Introduction got{};
  std::vector<Fd> descriptors;
  const auto n =
      receive(socket, &got.hello, sizeof got.hello, MSG_DONTWAIT | MSG_TRUNC, descriptors);
  if (!n.ok()) return n.error();
  if (*n != sizeof got.hello || got.hello.magic != greeting_magic) return Error(EBADMSG);
  if (got.hello.attached == 0) return got;
  if (descriptors.size() != 1) return Error(EBADMSG);
  got.region = std::move(descriptors[0]);
  return got;
}

Status send_hello(int socket, const ServerHello& hello, std::span<const int> descriptors) {
  iovec part{const_cast<ServerHello*>(&hello), sizeof hello};
  alignas(cmsghdr) std::array<char, control_bytes> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  const ssize_t n = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return Error::last();
  return Done{};
}

Result<LeaderTables> fetch_tables(const std::string& rank_dir,
                                  const std::array<std::byte, 16>& instance) {
  TRY(const Fd socket, connect_in(rank_dir));
  const ClientHello hello{.magic = greeting_magic,
                          .version = wire::version,
                          .instance = instance,
                          .kind = PeerKind::worker,
                          .attached = 0};
  if (::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello)
    return Error::last();
  ServerHello reply{};
  std::vector<Fd> received;
  TRY(const std::size_t n, receive(socket.get(), &reply, sizeof reply, 0, received));
  if (n != sizeof reply || reply.magic != greeting_magic) return Error(EBADMSG);
  if (reply.error != 0) return Error(reply.error);
  if (received.size() != 2) return Error(EBADMSG);
  return LeaderTables{std::move(received[0]), std::move(received[1])};
}

}  // namespace benchfs
