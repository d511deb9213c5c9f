// The start of one rank, from the bootstrap until clients may come, as one straight line in a
// thread of its own: PMIx_Init and MPI_Init cannot be interrupted, and the supervisor's loop must
// go on hearing signals, its parent and its worker meanwhile.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/fd.h"
#include "daemon/supervisor/bootstrap.h"
#include "daemon/supervisor/control.h"
#include "daemon/supervisor/data_directory.h"
#include "registry/registry.h"
#include "registry/start_failure.h"

namespace benchfs {

// Rank 0 takes the registry's lock, the others see that no other instance has it.
void claim_registry(Registry& registry, const NodeRecord& own);

class Starter {
 public:
  // What is referred to must outlive the thread: until join(), or for good.
  struct Parts {
    Registry& registry;
    Rendezvous& rendezvous;
    DataDirectory& data;
    ControlChannel& control;  // its sending side is the thread's until it has finished
  };
  // `held` are the descriptors that Start gives to the worker.
  Starter(Parts parts, NodeRecord own, Identity identity, bool registry_claimed,
          std::vector<HeldFd> held, Patience patience);
  ~Starter();  // only after join(), or before begin()

  void begin();
  int fd() const { return finished_fd_.get(); }  // readable: finished

  // From the supervisor's loop: what the worker said.
  void worker_has_address(std::vector<std::byte> address);
  void worker_is_ready(std::string transport, bool recovers);

  // When finished: none means that clients may come.
  std::optional<StartFailure> join();
  // Gives the start up: the thread writes nothing more to this host, leaves PMIx and ends. If it
  // hangs in there until the deadline, it still runs when the process ends. (An mpirun whose ranks
  // end without leaving PMIx was seen to hang or to crash.)
  void cancel(std::int64_t deadline_ns);

  NodeRecord own() const;                                      // as far as it is known
  std::uint32_t hosts() const { return hosts_; }               // after join()
  const std::string& transport() const { return transport_; }  // after join()
  // After join(): what a worker that follows the first one is to be told, but for the descriptors.
  control::Start& start_message() { return message_; }
  bool recovers() const { return recovers_; }  // after join()

 private:
  void run() noexcept;
  void start();
  void send_start(const std::vector<NodeRecord>& records);
  void await_worker(const bool& flag, const char* what);
  void note_own();

  Parts parts_;
  NodeRecord own_;  // the thread's
  Identity identity_;
  bool registry_claimed_;
  control::Start message_;
  Patience patience_;
  Fd finished_fd_;
  std::thread thread_;
  std::optional<StartFailure> failure_;
  std::uint32_t hosts_ = 0;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  NodeRecord known_own_;
  bool finished_ = false;
  bool has_address_ = false;
  bool is_ready_ = false;
  std::atomic<bool> cancelled_ = false;
  std::vector<std::byte> address_;
  std::string transport_;
  bool recovers_ = false;
};

}  // namespace benchfs
