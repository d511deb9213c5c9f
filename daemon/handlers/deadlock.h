// Circles of processes that wait for each other's fcntl locks, on any number of servers.
#pragma once

#include "daemon/rpc/server.h"

namespace benchfs {

// Follows a wait that was just queued here from who is in its way to what those wait for. If that
// comes back to the waiter, every step is looked at a second time, so that all of them were true at
// one moment; then the youngest wait of the circle ends with EDEADLK.
//
// A wait is in its host's table before it is queued at its home, so of two that close a circle
// together at least the later one sees the other.
Task<int> look_for_deadlock(Server& server, std::uint64_t inode, LockWaitId id);

}  // namespace benchfs
