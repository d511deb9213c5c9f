// Descriptor calls on any file, for the parts of the shim that are themselves clients of files.
#pragma once

#include <sys/types.h>

namespace benchfs::shim::descriptors {

int open(const char* name, int flags, mode_t mode);
int replace(int from, int to, int flags);  // dup3, and dup2 where they are equal
int status_flags(int fd);
int set_status_flags(int fd, int flags);
// Around the library's own descriptors; `flags` as close_range(2) takes them.
int close_range(unsigned first, unsigned last, int flags);

}  // namespace benchfs::shim::descriptors
