// Gives back locks of this host whose owners are no more.
#pragma once

#include "daemon/rpc/server.h"

namespace benchfs {

// Looks through the host's table for locks of open file descriptions that are closed, and of
// processes that have ended or have the file open no more, and tells the files' homes. Cheap while
// nobody on this host holds a lock.
void release_orphaned_locks(Server& server);

}  // namespace benchfs
