// hostile_client DATA_DIR ATTACK: says to the servers of this host what no client of ours would.
// Prints nothing and ends with 0 if every server answered or hung up in time.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "common/ring.h"
#include "common/shared_memory.h"
#include "registry/host_record.h"

namespace {

using namespace benchfs;

constexpr int patience_ms = 5000;
std::string data_dir;
InstanceId instance{};
std::mt19937_64 random_numbers(20240229);

[[noreturn]] void fail(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::exit(1);
}

Fd connect_to(unsigned rank) {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/rank_%u/socket", data_dir.c_str(),
                rank);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail(std::string("cannot connect: ") + std::strerror(errno));
  return socket;
}

bool readable(int fd) {
  pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, patience_ms) == 1;
}

bool hung_up(int socket) {
  char byte = 0;
  if (!readable(socket)) return false;
  const ssize_t n = ::recv(socket, &byte, 1, 0);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

ClientHello good_hello() {
  return {.magic = greeting_magic,
          .version = wire::version,
          .instance = instance,
          .kind = PeerKind::application,
          .attached = 0};
}

struct Greeted {
  ServerHello hello{};
  std::vector<Fd> descriptors;
};

Greeted answer_of(int socket) {
  Greeted greeted;
  iovec part{&greeted.hello, sizeof greeted.hello};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * hello_descriptors_max)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (!readable(socket) ||
      ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof greeted.hello))
    fail("no answer to a greeting");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      greeted.descriptors.emplace_back(fd);
    }
  }
  return greeted;
}

int answer_to(const ClientHello& hello) {
  const Fd socket = connect_to(0);
  ::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL);
  return answer_of(socket.get()).hello.error;
}

void silence() {
  std::vector<Fd> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(connect_to(0));
  if (answer_to(good_hello()) != 0) fail("a good client is not let in beside silent ones");
}

void garbage() {
  for (std::size_t size : {1, 2, 31, 33, 64, 80, 200, 4096, 65536}) {
    std::vector<std::byte> bytes(size);
    std::generate(bytes.begin(), bytes.end(),
                  [] { return static_cast<std::byte>(random_numbers()); });
    const Fd socket = connect_to(0);
    ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (!hung_up(socket.get())) fail(std::to_string(size) + " bytes of garbage: still connected");
  }
  for (int i = 0; i < 100; ++i) connect_to(0);  // gone before they are greeted
}

void greeting() {
  ClientHello hello = good_hello();
  hello.version = 4711;
  if (answer_to(hello) == 0) fail("another version was let in");
  hello = good_hello();
  hello.instance[3] ^= std::byte{1};
  if (answer_to(hello) == 0) fail("a client of another instance was let in");
  hello = good_hello();
  hello.magic = 1;
  const Fd socket = connect_to(0);
  ::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL);
  if (!hung_up(socket.get())) fail("wrong magic: still connected");
  // A greeting that brings descriptors: the server must not keep them.
  for (int i = 0; i < 300; ++i) {
    hello = good_hello();
    iovec part{&hello, sizeof hello};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * 8);
    const std::array<int, 8> descriptors{};  // eight times standard input
    std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof descriptors);
    const Fd giver = connect_to(0);
    ::sendmsg(giver.get(), &message, MSG_NOSIGNAL);
    if (answer_of(giver.get()).hello.error != 0) fail("a greeting with descriptors was refused");
  }
}

// A client that claims to have been here before, with something else than its region.
void attaching() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const Fd unsealed(::memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  static_cast<void>(::ftruncate(unsealed.get(), sizeof(ClientRegion)));
  const auto small = make_shared_memory("region", 4096);
  for (const int region : {-1, null.get(), unsealed.get(), small->get()}) {
    ClientHello hello = good_hello();
    hello.attached = 1;
    iovec part{&hello, sizeof hello};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (region >= 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof region);
      std::memcpy(CMSG_DATA(header), &region, sizeof region);
    }
    const Fd socket = connect_to(0);
    ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    if (region < 0) {
      if (!hung_up(socket.get())) fail("an attachment without a region: still connected");
    } else if (answer_of(socket.get()).hello.error == 0) {
      fail("an attachment with a wrong region was let in");
    }
  }
}

// A client that was let in, with its shared memory.
class Client {
 public:
  Client() : socket_(connect_to(0)) {
    const ClientHello hello = good_hello();
    ::send(socket_.get(), &hello, sizeof hello, MSG_NOSIGNAL);
    greeted_ = answer_of(socket_.get());
    if (greeted_.hello.error != 0 || greeted_.descriptors.size() < 3) fail("not let in");
    auto region = Mapping::map(greeted_.descriptors[0].get(), sizeof(ClientRegion));
    auto control = Mapping::map(greeted_.descriptors[1].get(), sizeof(ControlPage));
    if (!region.ok() || !control.ok()) fail("cannot map");
    region_ = *std::move(region);
    control_ = *std::move(control);
  }

  Slot& slot(std::size_t i) { return region_.at<ClientRegion>().slots[i]; }
  ControlPage& page() { return control_.at<ControlPage>(); }
  std::uint32_t id() const { return greeted_.hello.client; }

  void post(std::uint32_t bits) {
    region_.at<ClientRegion>().posted.fetch_or(bits);
    page().pending[id() / 64].fetch_or(std::uint64_t{1} << (id() % 64));
    page().summary.fetch_or(std::uint64_t{1} << (id() / 64));
    page().sleeping.store(0);
    ring();
  }
  void ring() {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(greeted_.descriptors[2].get(), &one, sizeof one));
  }
  bool connected() {
    char byte = 0;
    const ssize_t n = ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT);
    return n < 0 && errno == EAGAIN;
  }
  // Answered, or disconnected.
  void await(std::size_t i, const std::string& what) {
    const std::int64_t deadline = sys::now_ns() + patience_ms * std::int64_t{1'000'000};
    while (slot(i).state.load() != SlotState::answered && connected()) {
      if (sys::now_ns() > deadline) fail("no answer to " + what);
      const auto state = slot(i).state.load();
      if (state == SlotState::answered) break;
      sys::futex_wait(&slot(i).state, static_cast<std::uint32_t>(state), 1'000'000);
    }
  }

 private:
  Fd socket_;
  Greeted greeted_;
  Mapping region_;
  Mapping control_;
};

struct Message {
  std::uint16_t op = 0;
  std::uint32_t length = 0;
  std::uint32_t rank = 0;
  std::vector<std::byte> body;
};

void send(Client& client, const Message& message) {
  Slot& slot = client.slot(0);
  slot.envelope = {};
  slot.envelope.request_id = random_numbers();
  slot.envelope.client = static_cast<std::uint32_t>(random_numbers());
  slot.envelope.rank = message.rank;
  slot.envelope.op = message.op;
  slot.envelope.flags = static_cast<std::uint16_t>(random_numbers());
  slot.envelope.length = message.length;
  std::copy(message.body.begin(), message.body.end(), slot.body.begin());
  slot.sleeper.store(1);
  slot.state.store(SlotState::posted);
  client.post(1);
  client.await(0, "op " + std::to_string(message.op) + " of " + std::to_string(message.length) +
                      " bytes for rank " + std::to_string(message.rank));
}

Message random_message(std::uint16_t op) {
  Message message;
  message.op = op;
  message.rank = static_cast<std::uint32_t>(random_numbers() % 2);
  message.body.resize(random_numbers() % 4 == 0 ? random_numbers() % wire::body_bytes_max
                                                : random_numbers() % 128);
  for (std::byte& byte : message.body) byte = static_cast<std::byte>(random_numbers());
  const auto put = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    if (message.body.size() >= at + bytes) std::memcpy(message.body.data() + at, &value, bytes);
  };
  // Near to something real, so that some get beyond the first check: an inode that may be there,
  // and counts that look like counts.
  const bool only_looks = op == static_cast<std::uint16_t>(wire::Op::stat) ||
                          op == static_cast<std::uint16_t>(wire::Op::list) ||
                          op == static_cast<std::uint16_t>(wire::Op::resolve) ||
                          op == static_cast<std::uint16_t>(wire::Op::read_link);
  if (only_looks && random_numbers() % 2 == 0) put(0, 1, 8);
  if (random_numbers() % 2 == 0) put(8, random_numbers() % 64, 4);
  if (random_numbers() % 2 == 0) put(24, random_numbers() % 64, 4);
  message.length = static_cast<std::uint32_t>(message.body.size());
  return message;
}

void ring() {
  auto client = std::make_unique<Client>();
  const auto again = [&] {
    if (!client->connected()) client = std::make_unique<Client>();
  };
  // Lengths and addressees that cannot be.
  for (const std::uint32_t length :
       {16321U, 16384U, 1U << 20, 0x7fffffffU, 0x80000000U, UINT32_MAX})
    for (const std::uint16_t op : std::initializer_list<std::uint16_t>{1, 2, 24, 32}) {
      send(*client, {.op = op, .length = length, .rank = 0, .body = {}});
      again();
    }
  for (const std::uint32_t rank : {2U, 1U << 20, UINT32_MAX}) {
    send(*client, {.op = 1, .length = 64, .rank = rank, .body = {}});
    again();
  }
  // Every operation, those of servers and unknown ones too, with any content. All but the one that
  // is meant to end the servers.
  for (std::uint16_t op = 0; op < 136; ++op) {
    if (op == static_cast<std::uint16_t>(wire::Op::stop)) continue;
    for (int round = 0; round < 60; ++round) {
      send(*client, random_message(op));
      again();
    }
  }
  // States and bits that do not belong together.
  for (std::size_t i = 0; i < slots_per_client; ++i)
    client->slot(i).state.store(static_cast<SlotState>(i * 1000003));
  client->post(UINT32_MAX);
  for (auto& word : client->page().pending) word.store(UINT64_MAX);
  client->page().summary.store(UINT64_MAX);
  for (int i = 0; i < 1000; ++i) client->ring();
  client = std::make_unique<Client>();
  // A slot that changes while the server reads it.
  for (int round = 0; round < 2000; ++round) {
    Slot& slot = client->slot(0);
    slot.envelope = {};
    slot.envelope.op = 1;
    slot.envelope.length = 64;
    slot.state.store(SlotState::posted);
    client->post(1);
    for (int i = 0; i < 20; ++i) {
      slot.envelope.length = static_cast<std::uint32_t>(random_numbers());
      slot.body[8] = static_cast<std::byte>(random_numbers());
    }
    client->await(0, "a changing slot");
    again();
  }
}

void stranger() {
  if (answer_to(good_hello()) == 0) fail("let in");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: hostile_client DATA_DIR ATTACK");
  data_dir = argv[1];
  const std::string_view attack = argv[2];
  if (attack == "stranger") {  // may not read the host record either
    stranger();
    return 0;
  }
  const auto record = benchfs::read_host_record(argv[1]);
  if (!record.ok()) fail("no host record");
  instance = record->instance;
  if (attack == "silence")
    silence();
  else if (attack == "garbage")
    garbage();
  else if (attack == "attaching")
    attaching();
  else if (attack == "greeting")
    greeting();
  else if (attack == "ring")
    ring();
  else
    fail("unknown attack");
  return 0;
}
