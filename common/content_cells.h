// ContentCells: room for the contents of small files, in the host's shared memory.
//
// A cell holds what a file of up to cell_bytes holds. It belongs to the inode when that is at home
// on this host, else to the host's entry of the open file; so what a client wrote there outlives
// it, and is read by others of the host without a copy in between. doc/storage.md says who may
// write to a cell.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace benchfs {

inline constexpr std::size_t cell_bytes = 4096;
inline constexpr std::uint32_t content_cells = 1u << 18;  // of a host; cell 0 is none
// What new files leave to files of other hosts that are opened here: one for each that can be.
inline constexpr std::uint32_t cells_kept_for_opens = 1u << 16;

// Where the bytes of a regular file are: nowhere yet (0: what it has is holes), in a cell of the
// host (its number), or in chunks.
using Stored = std::uint32_t;
inline constexpr Stored stored_nowhere = 0;
inline constexpr Stored in_chunks = UINT32_MAX;
inline constexpr bool in_cell(Stored stored) {
  return stored != stored_nowhere && stored < content_cells;
}

struct ContentCells {
  // A cell with unknown content; 0 if no more than `leave` are free. `inode` is noted as the owner.
  // No lock is taken, as signal handlers write too and processes die at any point.
  std::uint32_t take(std::uint64_t inode, std::uint32_t leave);
  // Nobody may be told of the cell any more; who still copies out of it looks afterwards whether
  // the file had it all the time. What is in no cell has none to be given back.
  void give(Stored cell);
  std::uint32_t in_use() const { return high.load() - free_count.load(); }

  std::byte* bytes(std::uint32_t cell) { return cells[cell].data(); }
  // The first `size` bytes of a file.
  std::span<const std::byte> content(Stored stored, std::uint64_t size) {
    if (!in_cell(stored)) return {};
    return {bytes(stored), size < cell_bytes ? static_cast<std::size_t>(size) : cell_bytes};
  }
  // Sets the bytes from `size` on to zero, as all are that were never written.
  void trim(Stored stored, std::uint64_t size) {
    if (in_cell(stored) && size < cell_bytes)
      std::memset(bytes(stored) + size, 0, cell_bytes - static_cast<std::size_t>(size));
  }
  // A taken cell with this content and zeros behind it.
  void fill(std::uint32_t cell, std::span<const std::byte> content) {
    if (!content.empty()) std::memcpy(bytes(cell), content.data(), content.size());
    trim(cell, content.size());
  }

  std::atomic<std::uint64_t> free_head;  // of the free ones, linked by next; a count above 32 bits
  std::atomic<std::uint32_t> free_count;
  std::atomic<std::uint32_t> high;  // the highest ever used
  std::array<std::atomic<std::uint32_t>, content_cells> next;
  std::array<std::atomic<std::uint64_t>, content_cells> owners;  // inodes; 0: none
  alignas(cell_bytes) std::array<std::array<std::byte, cell_bytes>, content_cells> cells;
};

}  // namespace benchfs
