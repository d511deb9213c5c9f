// stdio on descriptors of ours.
//
// libc's own FILEs read and write by calls no preload sees. A FILE on one of our descriptors is
// therefore a cookie stream, and the variables stdin, stdout and stderr are switched to such
// streams whenever descriptors 0 to 2 become ours, and back to libc's when they cease to be. What
// is buffered moves along. The standard cookie streams are made once and never freed, since
// programs keep the pointers; their functions serve whatever the descriptor is at the time.
#pragma once

#include <cstdio>
#include <optional>
#include <string_view>

#include "common/result.h"

namespace benchfs::shim::streams {

// Descriptor 0, 1 or 2 may have become ours, or ceased to be. Keeps errno.
void changed(int fd);

struct Mode {
  int flags;  // O_*
  bool append;
};
// As fopen(3) reads it: EINVAL for what starts with none of r, w, a.
Result<Mode> parse_mode(std::string_view mode);

// A stream that owns `fd` once made.
Result<std::FILE*> make(int fd, const Mode& mode);

// The descriptor of a stream of ours; empty for libc's.
std::optional<int> descriptor(std::FILE* stream);
// 0, 1, 2 if `stream` is libc's or our stream of that standard descriptor.
std::optional<int> standard_descriptor(std::FILE* stream);
// Our stream of a standard descriptor, which must not be freed.
bool is_standard_cookie(std::FILE* stream);
// The variable's value now.
std::FILE* current(int standard_fd);

// A cookie stream goes on with `mode` after its descriptor was replaced.
void reopened(std::FILE* stream, const Mode& mode);

}  // namespace benchfs::shim::streams
