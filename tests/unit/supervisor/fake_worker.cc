// A program like benchfsd_mpi with a worker that only speaks the control protocol. What it does
// wrong on purpose is said by FAKE_WORKER:
//   fail          fails instead of giving an address
//   die           is killed by a signal before it is ready
//   deaf          does not answer Stop
//   die_on_start  as `die`, but only at rank 1
//   die_on_client is killed when somebody connects; otherwise that asks the whole instance to stop
//   recover_<n>   as `die_on_client`, n times, and its successors recover
//   refuse_again  as `recover_1`, but its successor fails instead of giving an address
// The environment is inherited from whoever starts the supervisor. "<rank_dir>/chunks" gets a file,
// so that there is something to remove.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "common/ring.h"
#include "common/shared_memory.h"
#include "daemon/supervisor/control.h"
#include "daemon/worker.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

class FakeWorker {
 public:
  explicit FakeWorker(Fd control) : channel_(std::move(control)) {
    const char* const mode = std::getenv("FAKE_WORKER");
    if (mode != nullptr) mode_ = mode;
    if (mode_.starts_with("recover_"))
      deaths_ = static_cast<std::uint32_t>(std::stoul(mode_.substr(8)));
    if (mode_ == "refuse_again") deaths_ = 1;
  }

  int run() {
    for (;;) {
      pollfd watched[] = {{.fd = channel_.fd(), .events = POLLIN, .revents = 0},
                          {.fd = listener_, .events = POLLIN, .revents = 0}};
      ::poll(watched, 2, -1);
      if (watched[1].revents != 0) on_client();
      if (watched[0].revents == 0) continue;
      auto message = channel_.receive(0);
      if (!message.ok() && message.error() == Error(EAGAIN)) continue;
      if (!message.ok()) return exit_code::worker;
      if (auto* const configure = std::get_if<control::Configure>(&*message))
        on_configure(*configure);
      if (auto* const start = std::get_if<control::Start>(&*message)) on_start(std::move(*start));
      if (const auto* const stop = std::get_if<control::Stop>(&*message)) {
        if (mode_ == "deaf") continue;
        // Drains as long as the test has not made this file.
        while (stop->drain_ms > 0 && ::access((rank_dir_ + "/drained").c_str(), F_OK) != 0)
          ::poll(nullptr, 0, 5);
        (void)channel_.send(control::Done{});
        return 0;
      }
    }
  }

 private:
  void on_configure(const control::Configure& message) {
    rank_ = message.rank;
    rank_dir_ = message.rank_dir;
    incarnation_ = message.incarnation;
    if (mode_ == "fail" || (mode_ == "refuse_again" && incarnation_ > 0)) {
      (void)channel_.send(control::Failed{.exit_code = exit_code::network,
                                          .line = "Failed to create UCX context: on purpose"});
      ::pause();
    }
    ::mkdir((rank_dir_ + "/chunks").c_str(), 0700);
    const Fd chunk(::open((rank_dir_ + "/chunks/inode_2_chunk_0").c_str(),
                          O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    std::string text = "address of rank " + std::to_string(rank_);
    if (incarnation_ > 0) text += " as " + std::to_string(incarnation_);
    const auto bytes = std::as_bytes(std::span(text));
    (void)channel_.send(control::AddressIs{{bytes.begin(), bytes.end()}});
  }

  void on_start(control::Start message) {
    if (mode_ == "die" || (mode_ == "die_on_start" && rank_ == 1)) ::raise(SIGKILL);
    for (const Peer& peer : message.peers) {
      const std::string text = "address of rank " + std::to_string(peer.rank);
      const std::size_t more = peer.rank == rank_ && incarnation_ > 0 ? std::strlen(" as 1") : 0;
      if (peer.address.size() != text.size() + more) std::abort();
    }
    start_ = std::move(message);
    if (start_.incarnation != incarnation_) std::abort();
    for (const HeldFd& held : start_.held) {
      if (held.name == "listener") listener_ = held.fd.get();
      if (held.name == "control") page_ = *Mapping::map(held.fd.get(), sizeof(ControlPage));
    }
    // What the dead one had asked to be kept is the same memory still.
    if (page_ && page_.at<ControlPage>().generation.load() != incarnation_) std::abort();
    if (!page_ && incarnation_ == 0) make_page();
    page_.at<ControlPage>().generation.fetch_add(1);
    (void)channel_.send(control::Ready{.transport = "none (fake)", .recovers = deaths_ > 0});
  }

  void make_page() {
    auto memory = make_shared_memory("fake-control", sizeof(ControlPage));
    page_ = *Mapping::map(memory->get(), sizeof(ControlPage));
    (void)channel_.send(control::Hold{{"control", *std::move(memory)}});
  }

  void on_client() {
    if (mode_ == "die_on_client") ::raise(SIGKILL);
    const Fd client(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (incarnation_ < deaths_) ::raise(SIGKILL);
    (void)channel_.send(control::StopRequested{});
  }

  ControlChannel channel_;
  std::string mode_;
  std::uint32_t rank_ = 0;
  std::uint32_t incarnation_ = 0;
  std::uint32_t deaths_ = 0;
  Mapping page_;
  std::string rank_dir_;
  control::Start start_;
  int listener_ = -1;
};

}  // namespace

int run_worker(Fd control) { return FakeWorker(std::move(control)).run(); }

}  // namespace benchfs
