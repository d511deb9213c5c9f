// Which process is meant: a pid alone may be given away again, pid and start time may not.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace benchfs {

// pid in the low half, low bits of the start time (clock ticks since boot) in the high one.
// 0 is nobody.
using ProcessId = std::uint64_t;

inline pid_t pid_of(ProcessId process) { return static_cast<pid_t>(process & 0xffffffffu); }

// Of a running process; 0 when there is none. Reads /proc/<pid>/stat.
ProcessId process_id(pid_t pid);
// False once the process has ended, a zombie included.
bool is_alive(ProcessId process);

}  // namespace benchfs
