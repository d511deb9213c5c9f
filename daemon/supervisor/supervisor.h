// The supervisor's loop, in one thread: signals, the parent, the worker and its words, the start.
// What happens when a worker dies while it serves is in restart.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/config.h"
#include "daemon/supervisor/bootstrap.h"
#include "daemon/supervisor/control.h"
#include "daemon/supervisor/data_directory.h"
#include "daemon/supervisor/signals.h"
#include "daemon/supervisor/starter.h"
#include "daemon/supervisor/worker_process.h"
#include "registry/registry.h"

namespace benchfs {

class Supervisor {
 public:
  struct Settings {
    Config config;
    bool log_level_forced = false;
    bool service_step = false;
    std::string registry_dir;
  };
  // Both must outlive it.
  Supervisor(const Settings& settings, const Place& place, const Environment& environment,
             Signals& signals);
  ~Supervisor();

  // Until the end of this rank; returns the exit code. The thread of an unfinished start may still
  // run then: end the process without running destructors.
  int run();

 private:
  enum class Phase { starting, serving, draining, stopping, ended };

  void prepare();
  void turn();
  int timeout_ms() const;
  void on_deadline();
  void on_signal(Request request, const char* name);
  void on_control();
  void on_message(ControlMessage message);
  void on_worker_end();
  void on_started();

  // restart.cc
  struct Restart {
    std::int64_t died_ns;  // when it served last
    std::string how;       // the first of those that died since
    bool started = false;  // the new worker knows who the others are
  };
  void begin_worker(std::uint32_t incarnation);
  void on_death_while_serving();
  void restart_worker();
  void on_restart_address(std::vector<std::byte> address);
  void on_restarted();
  void give_worker_up(const std::string& line);
  void tell_where(std::uint32_t rank);

  void begin_stop(const char* why, bool drain, bool tell_peers);
  void fail(const StartFailure& failure);
  void end(int code);
  bool tells(Teller teller) const;
  NodeRecord own() const;
  std::string worker_died() const;  // a line's beginning: which one, and how

  const Settings& settings_;
  const Place& place_;
  const Environment& environment_;
  Signals& signals_;
  const std::int64_t began_ns_;

  NodeRecord early_own_;  // what is known before the start begins
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<DataDirectory> data_;
  Fd listener_;
  std::map<std::string, Fd> held_;  // by name: what the worker asked to be kept
  std::unique_ptr<ControlChannel> control_;
  std::unique_ptr<WorkerProcess> worker_;
  std::unique_ptr<Rendezvous> rendezvous_;
  std::unique_ptr<Starter> starter_;

  Phase phase_ = Phase::starting;
  std::int64_t deadline_ns_ = 0;  // of the phase; 0: none
  bool control_open_ = false;
  bool worker_done_ = false;         // said that it has nothing in flight
  bool recovers_ = false;            // a dead worker can be followed by another
  std::deque<std::int64_t> deaths_;  // of the last minute
  std::optional<Restart> restart_;
  const char* stop_after_restart_ = nullptr;  // why; the other ranks are to be told
  std::optional<NodeRecord> serving_;         // this rank's record, once all are ready
  std::optional<control::Failed> worker_failed_;
  int exit_code_ = 0;
  std::int64_t stop_began_ns_ = 0;
  bool told_by_mpirun_ = false;
};

}  // namespace benchfs
