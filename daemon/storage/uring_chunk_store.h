// Chunk files in one directory, by io_uring. Clients of this host open the same files themselves.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/fd.h"
#include "daemon/loop/uring.h"
#include "daemon/storage/chunk_store.h"

namespace benchfs {

// "inode_<inode>_chunk_<index>", as clients spell it too.
std::string chunk_name(ChunkId id);

class UringChunkStore final : public ChunkStore {
 public:
  // `rank` of `ranks`: which chunks of a striped file lie here.
  struct Layout {
    std::uint64_t chunk_bytes;
    std::uint32_t rank;
    std::uint32_t ranks;
  };
  // Makes `directory`/chunks.
  static Result<std::unique_ptr<UringChunkStore>> create(Uring& uring, const std::string& directory,
                                                         Layout layout);

  int directory() const { return directory_.get(); }

  Task<Result<std::size_t>> read(ChunkId id, std::uint32_t offset,
                                 std::span<std::byte> out) override;
  Task<Result<std::size_t>> write(ChunkId id, std::uint32_t offset,
                                  std::span<const std::byte> data) override;
  Task<Status> cut(std::uint64_t inode, std::uint64_t size, std::uint64_t known) override;
  Task<Status> sync(std::uint64_t inode, std::uint64_t size) override;
  std::uint64_t blocks(std::uint64_t inode, std::uint64_t size) const override;
  Result<Space> space() override;

 private:
  UringChunkStore(Uring& uring, Fd directory, Layout layout)
      : uring_(uring), directory_(std::move(directory)), layout_(layout) {}

  bool is_mine(ChunkId id) const;
  // Indices of this rank's chunks of `inode` in [first, last), by name or by listing.
  std::vector<std::uint64_t> chunks_between(std::uint64_t inode, std::uint64_t first,
                                            std::uint64_t last) const;
  std::vector<std::uint64_t> existing(std::uint64_t inode) const;

  Uring& uring_;
  Fd directory_;
  Layout layout_;
  bool memory_backed_ = false;  // small writes need not wait for a device: done inline
};

}  // namespace benchfs
