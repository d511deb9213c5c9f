// ChunkStore: where the chunk bytes of one rank live. UringChunkStore keeps them in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/result.h"
#include "daemon/loop/task.h"

namespace benchfs {

struct ChunkId {
  std::uint64_t inode;
  std::uint64_t index;
};

struct Space {
  std::uint64_t bytes_total;
  std::uint64_t bytes_free;  // to this user
  std::uint64_t device;      // equal for stores on one device
};

class ChunkStore {
 public:
  virtual ~ChunkStore() = default;

  // Up to out.size() bytes at `offset`: the number read, fewer past the end of what was written,
  // 0 for a chunk never written. `out` must stay valid until the task is done.
  virtual Task<Result<std::size_t>> read(ChunkId id, std::uint32_t offset,
                                         std::span<std::byte> out) = 0;
  // Makes the chunk if need be. Fewer bytes than given only when the device is full; ENOSPC when
  // none fit. `data` must stay valid until the task is done.
  virtual Task<Result<std::size_t>> write(ChunkId id, std::uint32_t offset,
                                          std::span<const std::byte> data) = 0;
  // Removes what lies at and after byte `size` of the file `inode`. `known` bounds the chunks that
  // may exist: those below it are tried by name; when there are very many, or `size` is 0 and
  // `known` is 0, the store looks which ones exist.
  virtual Task<Status> cut(std::uint64_t inode, std::uint64_t size, std::uint64_t known) = 0;
  // On the device when done.
  virtual Task<Status> sync(std::uint64_t inode, std::uint64_t size) = 0;
  // 512-byte blocks that the chunks below `size` take here.
  virtual std::uint64_t blocks(std::uint64_t inode, std::uint64_t size) const = 0;
  virtual Result<Space> space() = 0;
};

}  // namespace benchfs
