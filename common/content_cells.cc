#include "common/content_cells.h"

#include <sys/mman.h>

#include "common/sys.h"

namespace benchfs {
namespace {

constexpr std::uint32_t warm_max = 32768;  // free cells that keep their memory: 128 MiB

// The upper half counts changes, so that a head that looks as before is as before.
std::uint64_t next_head(std::uint64_t head, std::uint32_t cell) {
  return ((head >> 32) + 1) << 32 | cell;
}

}  // namespace

std::uint32_t ContentCells::take(std::uint64_t inode, std::uint32_t leave) {
  const std::uint32_t fresh = content_cells - 1 - high.load(std::memory_order_relaxed);
  if (free_count.load(std::memory_order_relaxed) + fresh <= leave) return 0;
  std::uint64_t head = free_head.load(std::memory_order_acquire);
  for (;;) {
    const auto cell = static_cast<std::uint32_t>(head);
    if (cell == 0) break;
    const std::uint32_t behind = next[cell].load(std::memory_order_relaxed);
    if (!free_head.compare_exchange_weak(head, next_head(head, behind), std::memory_order_acq_rel))
      continue;
    free_count.fetch_sub(1, std::memory_order_relaxed);
    owners[cell] = inode;
    return cell;
  }
  std::uint32_t seen = high.load(std::memory_order_relaxed);
  do {
    if (seen + 1 >= content_cells) return 0;
  } while (!high.compare_exchange_weak(seen, seen + 1));
  owners[seen + 1] = inode;
  return seen + 1;
}

void ContentCells::give(Stored cell) {
  if (!in_cell(cell)) return;
  if (free_count.load(std::memory_order_relaxed) >= warm_max)
    sys::call(SYS_madvise, sys::pointer(bytes(cell)), cell_bytes, MADV_REMOVE);
  owners[cell] = 0;
  free_count.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t head = free_head.load(std::memory_order_relaxed);
  do {
    next[cell].store(static_cast<std::uint32_t>(head), std::memory_order_relaxed);
  } while (
      !free_head.compare_exchange_weak(head, next_head(head, cell), std::memory_order_release));
}

}  // namespace benchfs
