// TransferPool: buffers of the host's pool, through which data goes to and from other hosts.
#pragma once

#include <cstdint>
#include <optional>

#include "common/process.h"
#include "common/ring.h"

namespace benchfs {

class TransferPool {
 public:
  // A free buffer, or a dead process's; empty when all are in use.
  static std::optional<std::uint32_t> try_take(PoolHeader& pool, ProcessId self);
  // Waits for one. Only who holds none may wait, or all could wait for each other.
  static std::uint32_t take(PoolHeader& pool, ProcessId self);
  static void give_back(PoolHeader& pool, std::uint32_t buffer);
};

}  // namespace benchfs
