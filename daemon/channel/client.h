// One connected client: its socket, its process and its slots.
#pragma once

#include <cstdint>

#include "common/fd.h"
#include "common/host_table.h"
#include "common/process.h"
#include "common/ring.h"
#include "common/shared_memory.h"

namespace benchfs {

struct Client {
  std::uint32_t id = 0;
  ProcessId process = 0;
  ProcessRecord* record = nullptr;  // as last seen: it may be another's by now
  std::uint32_t uid = 0;
  Fd socket;
  Fd process_fd;
  Mapping region;
  std::uint32_t in_flight = 0;  // requests being served; the region stays until they end
  std::uint32_t served = 0;     // bit per slot whose request is being served
  bool gone = false;

  // Null: it has none (yet).
  ProcessRecord* record_in(HostTable& table) {
    if (record == nullptr || record->process.load() != process)
      record = table.record_of(process, false);
    return record;
  }
  ClientRegion& slots() const { return region.at<ClientRegion>(); }
};

}  // namespace benchfs
