#include "client-preload/fs/greeting.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string_view>

#include "common/sys.h"

namespace benchfs {
namespace {

constexpr timeval deadline{.tv_sec = 10, .tv_usec = 0};

Error error_of(long result) {
  return Error(result == -EAGAIN ? ETIMEDOUT : static_cast<int>(-result));
}

// A socket's path has 107 bytes at most; a longer one is reached through its directory.
struct Address {
  sockaddr_un name{};
  Fd directory;

  Status set(const std::string& parent) {
    name.sun_family = AF_UNIX;
    std::string path = parent + "/socket";
    if (path.size() >= sizeof name.sun_path) {
      directory = Fd(sys::openat(AT_FDCWD, parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!directory) return error_of(directory.get());
      char number[16];
      const auto end = std::to_chars(number, number + sizeof number, directory.get());
      path = "/proc/self/fd/";
      path.append(number, end.ptr).append("/socket");
    }
    std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
    return Done{};
  }
};

Status check_peer(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  const long error = sys::call(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, sys::pointer(&peer),
                               sys::pointer(&size));
  if (error < 0) return error_of(error);
  if (peer.uid != static_cast<uid_t>(sys::call(SYS_geteuid))) return Error(EPERM);
  return Done{};
}

Result<Fd> connect_to(const std::string& parent) {
  Address address;
  TRY_OK(address.set(parent));
  Fd socket(static_cast<int>(sys::call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  if (!socket) return error_of(socket.get());
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    const long error = sys::call(SYS_setsockopt, socket.get(), SOL_SOCKET, option,
                                 sys::pointer(&deadline), sizeof deadline);
    if (error < 0) return error_of(error);
  }
  long error = 0;
  do {
    error = sys::call(SYS_connect, socket.get(), sys::pointer(&address.name), sizeof address.name);
  } while (error == -EINTR);
  if (error < 0) return error_of(error);
  TRY_OK(check_peer(socket.get()));
  return socket;
}

Status send(int socket, const ClientHello& hello, int region) {
  iovec data{.iov_base = const_cast<ClientHello*>(&hello), .iov_len = sizeof hello};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (region >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof region);
    std::memcpy(CMSG_DATA(rights), &region, sizeof region);
  }
  const long sent = sys::call(SYS_sendmsg, socket, sys::pointer(&message), MSG_NOSIGNAL);
  if (sent < 0) return error_of(sent);
  return Done{};
}

// The hello, and its descriptors into `out`; what came too much is closed.
Status receive(int socket, Greeted& out) {
  iovec data{.iov_base = &out.hello, .iov_len = sizeof out.hello};
  alignas(cmsghdr) char control[CMSG_SPACE(hello_descriptors_max * sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  long n = 0;
  do {
    n = sys::call(SYS_recvmsg, socket, sys::pointer(&message), MSG_CMSG_CLOEXEC);
  } while (n == -EINTR);
  if (n < 0) return error_of(n);
  std::size_t count = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < fds; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      Fd owned(fd);
      if (count < out.descriptors.size()) out.descriptors[count++] = std::move(owned);
    }
  }
  if (n == 0) return Error(ECONNRESET);
  if (static_cast<std::size_t>(n) != sizeof out.hello) return Error(EPROTO);
  if (out.hello.error == 0 && count != out.hello.descriptors) return Error(EMFILE);
  return Done{};
}

Status check(const ServerHello& hello, std::uint32_t rank, bool leader,
             const InstanceId& instance) {
  if (hello.magic != greeting_magic || hello.version != wire::version) return Error(EPROTO);
  if (hello.error != 0) return Error(hello.error > 0 && hello.error < 4096 ? hello.error : EPROTO);
  if (hello.instance != instance || hello.rank != rank) return Error(ESTALE);
  if (hello.descriptors != (leader ? hello_descriptors_max : hello_descriptors) ||
      hello.client >= clients_max)
    return Error(EPROTO);
  if (hello.chunk_bytes < 65536 || hello.chunk_bytes > (std::uint64_t{1} << 30) ||
      (hello.chunk_bytes & (hello.chunk_bytes - 1)) != 0)
    return Error(EPROTO);
  return Done{};
}

}  // namespace

Result<Greeted> greet(const std::string& local_dir, std::uint32_t rank, bool leader,
                      const InstanceId& instance, int region) {
  char number[16];
  const auto end = std::to_chars(number, number + sizeof number, rank);
  std::string parent = local_dir + "/rank_";
  parent.append(number, end.ptr);
  Greeted greeted;
  TRY(greeted.socket, connect_to(parent));
  const ClientHello hello{.magic = greeting_magic,
                          .version = wire::version,
                          .instance = instance,
                          .kind = PeerKind::application,
                          .attached = region >= 0 ? 1U : 0U};
  TRY_OK(send(greeted.socket.get(), hello, region));
  TRY_OK(receive(greeted.socket.get(), greeted));
  TRY_OK(check(greeted.hello, rank, leader, instance));
  return greeted;
}

}  // namespace benchfs
