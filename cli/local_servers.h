// Servers of one instance on this machine, started by mpirun and ended with this object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/child.h"
#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/private_directories.h"
#include "cli/signals.h"
#include "common/config.h"

namespace benchfs::cli {

class LocalServers {
 public:
  // Starts them; throws Failure. `signals` must outlive this.
  LocalServers(const RunOptions& options, const Signals& signals);
  LocalServers(const LocalServers&) = delete;
  LocalServers& operator=(const LocalServers&) = delete;
  // Ends them, whatever that takes, and removes what they and this made.
  ~LocalServers();

  // Returns when all are ready. Throws Failure when they fail, or when a signal comes.
  void await_ready(Signals& signals);

  View view() const;
  int pidfd() const { return launcher_->pidfd(); }  // readable: all have ended
  bool ended() { return launcher_->ended(); }
  // Ends them in good order; the line says what went wrong, in this or before.
  std::optional<std::string> stop();

 private:
  void launch(const Signals& signals);
  void end_launcher(std::int64_t patience_ns);
  void kill_servers();
  // Why they ended, from `failed` or the last lines of the log.
  std::string reason();
  std::string registry() const { return directory_.path() + "/registry"; }
  std::string log_file() const { return directory_.path() + "/servers.log"; }

  std::uint32_t count_;
  std::optional<std::string> config_file_;
  std::vector<std::string> settings_;  // section.key=value
  std::string library_;
  std::string server_;
  Config config_;
  PrivateDirectory directory_;
  std::optional<PrivateDirectory> own_data_;  // none: the user named one
  std::string data_dir_;
  std::string made_data_dir_;  // did not exist before; empty: it did
  std::optional<Child> launcher_;
  bool ready_ = false;
};

}  // namespace benchfs::cli
