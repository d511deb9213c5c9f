// What a restarted home does about the locks it had granted.
#pragma once

#include "daemon/rpc/server.h"

namespace benchfs {

// Asks every host what it holds of files at home here, and takes it over. Until all have answered,
// or are dead (no answer for network.request_timeout_ms), lock requests wait. To be spawned by a
// worker that takes the place of a dead one, before it serves; those that waited for a lock ask
// again by themselves.
Task<int> recover_locks(Server& server);

}  // namespace benchfs
