// LockRelay: locks of files for the clients of one server.
//
// Asks the file's home, writes into the host's table what was granted, and keeps the waits: a
// request that must wait is answered "queued" with a ticket, and its slot is free again. The client
// then sleeps in the kernel, in fcntl(F_SETLKW) on byte 2 · ticket of the control page's file,
// which this server has locked until the wait has ended. So it is woken by the grant, by the
// server's death and by signals, exactly as in a wait for a lock of the kernel's, and nothing
// spins.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>

#include "daemon/channel/client.h"
#include "daemon/rpc/server.h"

namespace benchfs {

class LockRelay {
 public:
  // `file`: what the clients got as control page; stays the caller's. No other descriptor of it may
  // be closed in this process while a client waits: the kernel would drop the locks.
  LockRelay(Server& server, int file);
  LockRelay(const LockRelay&) = delete;
  LockRelay& operator=(const LockRelay&) = delete;

  // `client` stays until the answer.
  Task<Answer> lock(Client& client, wire::Lock request);
  Task<Answer> end_wait(Client& client, wire::EndLockWait request);
  // Its waits are withdrawn.
  void client_gone(std::uint32_t id);

 private:
  struct Wait {
    wire::Lock request;
    std::uint32_t client;
    ProcessId process;
    bool withdrawn = false;
    bool orphaned = false;  // nobody will ask how it ended
    std::optional<int> result;
    Completion* asked = nullptr;
  };
  static constexpr std::int64_t places = std::int64_t{1} << 61;

  Status check(Client& client, const wire::Lock& request) const;
  Task<int> granted(wire::Lock request);
  static Task<int> follow(LockRelay& relay, std::shared_ptr<Wait> wait);
  static Task<int> withdraw(LockRelay& relay, wire::Lock request);
  void end(Wait& wait, int result);
  bool set_byte(std::uint64_t ticket, short kind);

  Server& server_;
  const int file_;
  std::uint64_t next_ticket_;
  absl::flat_hash_map<std::uint64_t, std::shared_ptr<Wait>> waits_;  // by ticket
};

}  // namespace benchfs
