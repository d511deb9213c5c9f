// Reading, writing and seeking on any descriptor, ours or not, for the parts of the shim that are
// themselves clients of files (streams, copies between descriptors).
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace benchfs::shim::io {

ssize_t read(int fd, void* data, std::size_t size);
ssize_t write(int fd, const void* data, std::size_t size);
off_t seek(int fd, off_t offset, int whence);

// At *offset, which moves, or at the descriptor's own position.
ssize_t read_at(int fd, void* data, std::size_t size, off_t* offset);
ssize_t write_at(int fd, const void* data, std::size_t size, off_t* offset);

}  // namespace benchfs::shim::io
