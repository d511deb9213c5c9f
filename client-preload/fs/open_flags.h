// Which O_* bits belong to what.
#pragma once

#include <fcntl.h>

namespace benchfs {

// The kernel's, set for every open of a 64-bit program and shown by F_GETFL; libc's is 0 there.
#if defined(__x86_64__)
inline constexpr int kernel_largefile = 0100000;
#else
inline constexpr int kernel_largefile = 0400000;
#endif

// What O_TMPFILE has beside O_DIRECTORY.
inline constexpr int tmpfile_bit = O_TMPFILE & ~O_DIRECTORY;

// Acts at the opening and is not kept.
inline constexpr int opening_flags = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
// What F_SETFL may change.
inline constexpr int settable_flags = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;

}  // namespace benchfs
