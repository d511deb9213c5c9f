// model: random steps of several processes in one directory, one after the other. An ordinary
// program: run with the same seed on two file systems that keep the same promises it prints the
// same.
//
//   model run DIRECTORY [--seed S] [--operations N] [--processes P] [--features LIST]
//             [--remote R --listen ADDRESS --port-file FILE]
//   model join DIRECTORY --connect ADDRESS:PORT  and the same other options
//   model probe DIRECTORY           prints the features the directory has
//
// The last R of the P processes run elsewhere, as `model join`. DIRECTORY must be absolute, empty,
// and of equal length in runs that are compared: symlinks lead to it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/model/observation.h"
#include "tests/model/steps.h"
#include "tests/model/worker.h"

namespace model {
namespace {

struct Options {
  std::string directory;
  std::uint64_t seed = 1;
  std::uint64_t operations = 1000;
  unsigned processes = 4;
  unsigned remote = 0;
  Features features;
  std::string listen;
  std::string port_file;
  std::string connect;
  unsigned local() const { return processes - remote; }
};

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + ::strerror(errno));
}

// What the coordinator asks of a worker.
struct Order {
  enum Verb : std::uint32_t { steps, close_all, tree, end };
  std::uint32_t verb;
  std::uint32_t reserved;
  std::uint64_t from;  // steps [from, to)
  std::uint64_t to;
};

bool read_fully(int fd, void* bytes, std::size_t length) {
  auto* at = static_cast<char*>(bytes);
  while (length > 0) {
    const ssize_t n = ::read(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    length -= static_cast<std::size_t>(n);
  }
  return true;
}

bool write_fully(int fd, const void* bytes, std::size_t length) {
  const auto* at = static_cast<const char*>(bytes);
  while (length > 0) {
    const ssize_t n = ::write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    length -= static_cast<std::size_t>(n);
  }
  return true;
}

// Does what it is told until the coordinator is gone.
[[noreturn]] void work(const Options& options, Worker worker, int channel) {
  if (::chdir(options.directory.c_str()) != 0) fail("chdir " + options.directory);
  Generator generator(options.seed, options.processes, options.features);
  std::uint64_t position = 0;
  Order order{};
  while (read_fully(channel, &order, sizeof order) && order.verb != Order::end) {
    std::string text;
    if (order.verb == Order::close_all) worker.close_all();
    if (order.verb == Order::tree) text = worker.tree();
    for (; order.verb == Order::steps && position < order.to; ++position) {
      const Step step = generator.next();
      if (step.number < order.from) continue;
      text += worker.run(step, generator);
      if (step.kind == Kind::fork) position += step.count;
    }
    const std::uint64_t length = text.size();
    if (!write_fully(channel, &length, sizeof length) || !write_fully(channel, text.data(), length))
      break;
  }
  ::_exit(0);
}

// Forks `count` workers that share what `first` has open; each serves channel(index).
template <class MakeChannel>
void fork_workers(const Options& options, const Worker& first, unsigned count,
                  MakeChannel make_channel) {
  const pid_t parent = ::getpid();
  for (unsigned i = 0; i < count; ++i) {
    const auto [mine, its] = make_channel(i);
    const pid_t child = ::fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      if (mine >= 0) ::close(mine);
      try {
        work(options, first, its);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "model: %s\n", error.what());
      }
      ::_exit(1);
    }
    ::close(its);
  }
}

void await_workers() {
  while (::wait(nullptr) > 0 || errno == EINTR) {
  }
}

sockaddr_in address_of(const std::string& text, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1)
    throw std::runtime_error("not an IPv4 address: " + text);
  return address;
}

void no_delay(int socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

// Connections of the processes elsewhere, in their order.
std::vector<int> accept_remote(const Options& options) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = address_of(options.listen, 0);
  socklen_t length = sizeof address;
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener, 64) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    fail("listen on " + options.listen);
  const std::string incomplete = options.port_file + ".new";
  FILE* const file = std::fopen(incomplete.c_str(), "w");
  if (file == nullptr || std::fprintf(file, "%u\n", ntohs(address.sin_port)) < 0 ||
      std::fclose(file) != 0 || std::rename(incomplete.c_str(), options.port_file.c_str()) != 0)
    fail("write " + options.port_file);
  std::vector<int> channels(options.remote, -1);
  for (unsigned i = 0; i < options.remote; ++i) {
    const int channel = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    std::uint32_t index = 0;
    if (channel < 0 || !read_fully(channel, &index, sizeof index) || index >= options.remote)
      throw std::runtime_error("a remote process did not say which one it is");
    no_delay(channel);
    channels[index] = channel;
  }
  ::close(listener);
  return channels;
}

class Coordinator {
 public:
  Coordinator(const Options& options, std::vector<int> channels)
      : options_(options), channels_(std::move(channels)), observer_(options.features.atime) {}

  void run() {
    Generator generator(options_.seed, options_.processes, options_.features);
    Step step = generator.next();
    while (step.number < options_.operations) {
      const unsigned process = step.process;
      const std::uint64_t from = step.number;
      while (step.process == process && step.number < options_.operations)
        step = next(generator, step);
      order(process, {.verb = Order::steps, .reserved = 0, .from = from, .to = step.number});
    }
    for (unsigned i = 0; i < options_.processes; ++i)
      order(i, {.verb = Order::close_all, .reserved = 0, .from = 0, .to = 0});
    for (const unsigned i : {0U, options_.processes - 1}) {
      std::printf("the tree as process %u sees it\n", i);
      order(i, {.verb = Order::tree, .reserved = 0, .from = 0, .to = 0});
    }
    const Order end{.verb = Order::end, .reserved = 0, .from = 0, .to = 0};
    for (const int channel : channels_) write_fully(channel, &end, sizeof end);
  }

 private:
  // The step after this one, and after its child's if it forks one.
  static Step next(Generator& generator, const Step& step) {
    for (unsigned i = 0; step.kind == Kind::fork && i < step.count; ++i) generator.next();
    return generator.next();
  }
  void order(unsigned process, const Order& what) {
    const int channel = channels_[process];
    std::uint64_t length = 0;
    if (!write_fully(channel, &what, sizeof what) || !read_fully(channel, &length, sizeof length))
      throw std::runtime_error("process " + std::to_string(process) + " has ended in steps " +
                               std::to_string(what.from) + " to " + std::to_string(what.to));
    std::string text(length, '\0');
    if (!read_fully(channel, text.data(), length))
      throw std::runtime_error("an answer was cut off");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
      const std::string line = observer_.translate(std::string_view(text).substr(at, end - at));
      std::fwrite(line.data(), 1, line.size(), stdout);
      at = end;
    }
  }

  const Options& options_;
  std::vector<int> channels_;
  Observer observer_;
};

int run(const Options& options) {
  Worker first(options.directory, options.features);
  first.open_inherited();
  std::vector<int> channels;
  fork_workers(options, first, options.local(), [&](unsigned) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
    channels.push_back(ends[0]);
    return std::pair(ends[0], ends[1]);
  });
  first.close_all();
  if (options.remote > 0) {
    const std::vector<int> remote = accept_remote(options);
    channels.insert(channels.end(), remote.begin(), remote.end());
  }
  Coordinator(options, std::move(channels)).run();
  if (std::fflush(stdout) != 0) fail("write");
  await_workers();
  return 0;
}

int join(const Options& options) {
  const std::size_t colon = options.connect.find(':');
  if (colon == std::string::npos) throw std::runtime_error("--connect ADDRESS:PORT");
  const auto port = static_cast<std::uint16_t>(std::stoul(options.connect.substr(colon + 1)));
  const sockaddr_in address = address_of(options.connect.substr(0, colon), port);
  Worker first(options.directory, options.features);
  first.open_inherited();
  fork_workers(options, first, options.remote, [&](unsigned index) {
    const int channel = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const std::uint32_t number = index;
    if (channel < 0 ||
        ::connect(channel, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        !write_fully(channel, &number, sizeof number))
      fail("connect to " + options.connect);
    no_delay(channel);
    return std::pair(-1, channel);
  });
  first.close_all();
  await_workers();
  return 0;
}

int probe(const Options& options) {
  const auto name = [&](const char* leaf) { return options.directory + "/" + leaf; };
  Features features;
  for (const char* const leaf : {"probe.a", "probe.b"}) {
    const int fd = ::open(name(leaf).c_str(), O_CREAT | O_RDWR, 0644);
    if (fd < 0 || ::write(fd, "x", 1) != 1) fail("write " + name(leaf));
    ::close(fd);
  }
  features.exchange = ::renameat2(AT_FDCWD, name("probe.a").c_str(), AT_FDCWD,
                                  name("probe.b").c_str(), RENAME_EXCHANGE) == 0;
  features.xattr = ::setxattr(name("probe.a").c_str(), "user.x", "y", 1, 0) == 0;
  const int unnamed = ::open(options.directory.c_str(), O_TMPFILE | O_RDWR, 0644);
  features.tmpfile = unnamed >= 0;
  if (unnamed >= 0) ::close(unnamed);
  const int handle = ::open(name("probe.a").c_str(), O_PATH);
  char byte = 0;
  features.path = handle >= 0 && ::read(handle, &byte, 1) < 0 && errno == EBADF;
  if (handle >= 0) ::close(handle);
  if (::symlink("probe.a", name("probe.l").c_str()) != 0) fail("symlink");
  const int link = ::open(name("probe.l").c_str(), O_PATH | O_NOFOLLOW);
  features.path = features.path && link >= 0;
  if (link >= 0) ::close(link);
  ::unlink(name("probe.l").c_str());
  const timespec times[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 0},
                             {.tv_sec = 1'000'000'000, .tv_nsec = 0}};
  if (::utimensat(AT_FDCWD, name("probe.a").c_str(), times, 0) != 0) fail("utimens");
  const int fd = ::open(name("probe.a").c_str(), O_RDONLY);
  struct stat status {};
  if (fd < 0 || ::read(fd, &byte, 1) != 1 || ::fstat(fd, &status) != 0) fail("read");
  ::close(fd);
  features.atime = status.st_atim.tv_sec != 1'000'000'000;
  for (const char* const leaf : {"probe.a", "probe.b"}) ::unlink(name(leaf).c_str());
  if (::mkdir(name("probe.d").c_str(), 0755) != 0) fail("mkdir");
  const int directory = ::open(name("probe.d").c_str(), O_RDONLY | O_DIRECTORY);
  if (::rmdir(name("probe.d").c_str()) != 0) fail("rmdir");
  features.removed = ::fstat(directory, &status) == 0 && status.st_nlink == 0;
  ::close(directory);
  const timespec neither[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                               {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  features.omit = ::utimensat(AT_FDCWD, name("missing").c_str(), neither, 0) == 0;
  const int made = ::open(name("probe.f").c_str(), O_CREAT | O_WRONLY, 0644);
  if (made < 0) fail("create");
  ::close(made);
  features.slash =
      ::open(name("probe.f/").c_str(), O_CREAT | O_WRONLY, 0644) < 0 && errno == EISDIR;
  ::unlink(name("probe.f").c_str());
  std::printf("%s\n", names_of(features).c_str());
  return 0;
}

Options parse(int argc, char** argv) {
  Options options;
  options.directory = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--seed")
      options.seed = std::stoull(value);
    else if (name == "--operations")
      options.operations = std::stoull(value);
    else if (name == "--processes")
      options.processes = static_cast<unsigned>(std::stoul(value));
    else if (name == "--remote")
      options.remote = static_cast<unsigned>(std::stoul(value));
    else if (name == "--features")
      options.features = parse_features(value);
    else if (name == "--listen")
      options.listen = value;
    else if (name == "--port-file")
      options.port_file = value;
    else if (name == "--connect")
      options.connect = value;
    else
      throw std::runtime_error("unknown option " + std::string(name));
  }
  if (options.processes < 1 || options.remote >= options.processes)
    throw std::runtime_error("at least one process must run here");
  return options;
}

}  // namespace
}  // namespace model

int main(int argc, char** argv) {
  try {
    const std::string_view mode = argc > 2 ? argv[1] : "";
    ::umask(022);
    ::signal(SIGPIPE, SIG_IGN);
    if (mode == "run") return model::run(model::parse(argc, argv));
    if (mode == "join") return model::join(model::parse(argc, argv));
    if (mode == "probe") return model::probe(model::parse(argc, argv));
    std::fprintf(stderr, "usage: model run|join|probe DIRECTORY [OPTION VALUE]...\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "model: %s\n", error.what());
    return 1;
  }
}
