// A wait for a file lock that its home has queued.
#pragma once

#include <cstdint>

#include "common/result.h"

namespace benchfs {

struct Core;

// Sleeps until the wait `ticket`, which the server for requests to `home` gave out, has ended: the
// lock is granted, or EINTR (a signal without SA_RESTART came first; the wait is withdrawn),
// EDEADLK, EIO (the home has gone), ENOLCK. ESTALE: the server no longer knows the wait, ask anew.
Status wait_for_lock(Core& core, std::uint32_t home, std::uint64_t ticket);

}  // namespace benchfs
