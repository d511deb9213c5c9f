// The identity of a host: one boot of one kernel, seen from one network namespace. Processes with
// equal host ids can share memory and files; two namespaces of one machine are two hosts.
//
// Used by servers, the command line and the preloaded library: system calls only.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"

namespace benchfs {

// Of this process; reads /proc each time.
Result<std::uint64_t> host_id();

// 16 lower-case hexadecimal digits.
std::string host_id_text(std::uint64_t id);

}  // namespace benchfs
