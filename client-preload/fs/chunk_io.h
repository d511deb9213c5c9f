// Moves bytes between memory and a file's chunks, wherever those lie: directly in the chunk files
// of this host, through the leader and its transfer buffers for other hosts, several of them at
// once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "client-preload/fs/chunk_cache.h"
#include "client-preload/fs/host.h"
#include "client-preload/fs/remote_window.h"
#include "common/result.h"

namespace benchfs {

// What the transfers of one open file share.
struct ChunkFile {
  std::uint64_t inode = 0;
  std::uint32_t first_rank = 0;  // of chunk 0; the next lies on the next rank
};

class ChunkIo {
 public:
  ChunkIo(Host& host, ChunkCache& cache) : host_(host), cache_(cache) {}

  // Bytes [offset, offset + out.size()), which the caller knows to be below the size: what no chunk
  // file holds reads as zeros.
  Status read(const ChunkFile& file, std::uint64_t stamp, std::span<std::byte> out,
              std::uint64_t offset);
  // Fewer than all only when a device is full (or fails) after some.
  Result<std::size_t> write(const ChunkFile& file, std::uint64_t stamp,
                            std::span<const std::byte> data, std::uint64_t offset);
  // The chunk files below `size`, on the device, on every rank.
  Status sync(const ChunkFile& file, std::uint64_t stamp, std::uint64_t size);

 private:
  struct Piece {
    ChunkKey key;
    std::uint32_t rank;
    std::uint32_t offset;  // in the chunk
    std::size_t bytes;
  };

  Piece piece_at(const ChunkFile& file, std::uint64_t stamp, std::uint64_t offset,
                 std::size_t bytes) const;
  static RemotePiece remote(const Piece& piece, std::uint64_t position);
  Result<ChunkCache::Pin> opened(LocalServer& server, const ChunkKey& key, bool create);
  template <class Call>
  Result<std::size_t> on_chunk(LocalServer& server, const ChunkKey& key, bool create, Call call);
  Status read_here(LocalServer& server, const Piece& piece, std::byte* out);
  // The number of bytes written; after some, an error is for the next write to find.
  Result<std::size_t> write_here(LocalServer& server, const Piece& piece, const std::byte* data);
  Status sync_here(LocalServer& server, const ChunkFile& file, std::uint64_t stamp,
                   std::uint64_t chunks);

  Host& host_;
  ChunkCache& cache_;
};

}  // namespace benchfs
