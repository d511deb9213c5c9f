// The greeting: how a client gets into one server of its host.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/fd.h"
#include "common/result.h"
#include "common/ring.h"
#include "registry/host_record.h"

namespace benchfs {

struct Greeted {
  ServerHello hello;
  Fd socket;
  // In the order of ring.h.
  std::array<Fd, hello_descriptors_max> descriptors;
};

// Connects to <local_dir>/rank_<rank>/socket. ESTALE: another instance answered there. EPERM:
// another user did. Gives up after ten seconds: ETIMEDOUT. `region`: of the time with an earlier
// server, to go on with; -1: a new one is wanted.
Result<Greeted> greet(const std::string& local_dir, std::uint32_t rank, bool leader,
                      const InstanceId& instance, int region);

}  // namespace benchfs
