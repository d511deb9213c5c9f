// What several handlers need: the walk with its waits, sizes that open hosts know, the end of an
// inode nobody names or has open.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "daemon/rpc/server.h"

namespace benchfs {

// Walks from `where` along the first where.path_bytes of `tail`, waiting for locked names. The
// Walked is valid until the next suspension. An Answer is to be sent as it is: redirect or error.
using Arrival = std::variant<Walked, Answer>;
Task<Arrival> arrive(Server& server, const Caller& caller, wire::Where where,
                     std::span<const std::byte> tail, bool to_name);

// Asks the hosts that have the file open what size and write time they know, and keeps it in the
// inode, which may have gone when the task is done.
Task<Status> refresh(Server& server, std::uint64_t number, bool forget_times);

// Sets the size of a file: freezes its writers on every host, cuts chunks, thaws.
Task<Status> set_size(Server& server, std::uint64_t number, std::uint64_t size);

// Erases the inode and its chunks if no name and no open is left.
void remove_if_unused(Server& server, Inode& inode);

// This host's part of the questions above; entry 0 (not open here) is fine.
wire::SizeReply host_size_here(Server& server, std::uint64_t inode, bool forget_times);
Task<wire::SizeReply> freeze_here(Server& server, std::uint64_t inode);
void thaw_here(Server& server, std::uint64_t inode, std::uint64_t size, bool cut);

inline std::int64_t now() { return sys::now_ns(CLOCK_REALTIME); }

}  // namespace benchfs
