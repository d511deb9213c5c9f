// What a home must find out again about the files that hosts have open: all of it after its own
// restart, and what one host holds after that host's leader was started again.
//
// A home counts the opens it granted a host, and the host's table counts those it got to know. The
// answer to an open that was on its way when either process died may have been lost, and nobody
// else knows that. So the home asks the host, whose table outlives its leader, and believes it.
// While it asks, it grants that host nothing, and says nothing that depends on the host's answer.
#pragma once

#include "daemon/rpc/server.h"

namespace benchfs {

// After the journal was read, before the first request: asks every host that had something open.
// Then removes what has no name and is open nowhere.
void recover_open_state(Server& server);

// The leader of a host was started again.
void leader_restarted(Server& server, std::uint32_t host);

// Clients of this host open files at home here for reading by what the view shows, and tell nobody.
// Takes what they have open of an inode that is not shown now (touch()), if it is not counted yet.
void count_unasked(Server& server, Inode& inode);
// Whether hosts, or clients of this one, may have it open.
bool may_be_open(const Server& server, const Inode& inode);

// Waits until every host that has the inode open has said so. At once, but after a restart.
Task<int> open_state_known(Server& server, std::uint64_t number);

}  // namespace benchfs
