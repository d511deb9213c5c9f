// The servers of an allocation: started by whoever needs them first (srun, or the batch step),
// awaited by all others. Runs as the user; knows nothing of SPANK.
//
// The registry directory of the job is where they meet. `starter`, a symbolic link whose target
// names a process, exists while somebody starts servers: making it is atomic on shared filesystems,
// too. `ready` and `failed` are the servers' own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "spank-plugin/options.h"
#include "spank-plugin/places.h"
#include "spank-plugin/service.h"

namespace benchfs::spank {

struct Request {
  Settings settings;
  Job job;
  const char* const* environment = nullptr;  // the user's
  std::function<SlurmFacts()> facts;
};

struct Outcome {
  bool ready = false;
  bool started_here = false;
  double seconds = 0;
  std::string problem;               // one line: what, where, what next
  std::vector<std::string> details;  // the last lines of logs that will be removed with the job
};

// Returns when the servers are ready, or have failed to start, at most `timeout_s` seconds later.
Outcome ensure_servers(const Request& request);

}  // namespace benchfs::spank
