// The first packets of a connection on the local socket, and the descriptors that go with them.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "common/fd.h"
#include "common/result.h"
#include "common/ring.h"

namespace benchfs {

struct Introduction {
  ClientHello hello;
  Fd region;  // of a client that was attached to an earlier server
};
// Reads the hello of a client that has connected. EBADMSG: not one of ours. EAGAIN: nothing yet.
Result<Introduction> receive_hello(int socket);
Status send_hello(int socket, const ServerHello& hello, std::span<const int> descriptors);

struct LeaderTables {  // what another server of the host gets from the leader
  Fd host_table;
  Fd transfer_pool;
};
// Connects to the leader's socket in `rank_dir` as a worker. Waits at most ten seconds.
Result<LeaderTables> fetch_tables(const std::string& rank_dir,
                                  const std::array<std::byte, 16>& instance);

}  // namespace benchfs
