// Small contents: they lie in a cell of the host's shared memory (common/content_cells.h) until
// they grow.
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "client-preload/fs/core.h"
#include "client-preload/fs/open_file.h"
#include "common/placement.h"

namespace benchfs {
namespace {

// Cell 0 is nobody's, and has zeros.
constexpr Stored zeros = 0;

// In the table's file.
off_t place_of(HostTable& table, Stored cell, std::uint64_t offset) {
  const std::byte* const begin = reinterpret_cast<const std::byte*>(&table);
  return table.contents.bytes(cell) - begin + static_cast<off_t>(offset);
}

}  // namespace

Result<bool> OpenFile::lies_in_chunks(std::uint64_t end) {
  std::atomic<Stored>& place = entry().stored;
  Stored stored = place.load(std::memory_order_acquire);
  if (stored == in_chunks) return true;
  if (end <= core_.host.table().inline_bytes) return false;
  // What has no byte yet can begin as it will go on: nothing is to be moved.
  if (stored == stored_nowhere && place.compare_exchange_strong(stored, in_chunks)) return true;
  if (stored == in_chunks) return true;
  return needs_chunks;
}

// The kernel copies between cells and what the caller has, so that a bad address is EFAULT, as for
// any file.
Result<std::size_t> OpenFile::put_content(Stored cell, std::span<const std::byte> data,
                                          std::uint64_t offset) {
  ssize_t n = 0;
  do {
    n = sys::pwrite(core_.host.memory.get(), data.data(), data.size(),
                    place_of(core_.host.table(), cell, offset));
  } while (n == -EINTR);
  if (n == -EBADF) {  // the descriptor was closed behind our back
    std::memcpy(core_.host.table().contents.bytes(cell) + offset, data.data(), data.size());
    return data.size();
  }
  if (n < 0) return Error(static_cast<int>(-n));
  return static_cast<std::size_t>(n);
}

Result<std::size_t> OpenFile::put_content(Stored cell, Writable pieces, std::uint64_t offset) {
  std::size_t done = 0;
  for (const auto& piece : pieces) {
    if (piece.empty()) continue;
    const auto put = put_content(cell, piece, offset + done);
    if (!put.ok() && done == 0) return put.error();
    if (!put.ok()) break;
    done += *put;
    if (*put < piece.size()) break;
  }
  return done;
}

// A cell with unknown content: the kernel writes all of it, so that its page is neither cleared
// before nor mapped here.
Result<std::size_t> OpenFile::fill_content(Stored cell, Writable pieces, std::uint64_t offset) {
  static constexpr std::array<std::byte, cell_bytes> zeros_behind{};
  ContentCells& cells = core_.host.table().contents;
  if (offset == 0 && pieces.size() == 1) {
    const std::span<const std::byte> data = pieces.front();
    const auto behind = std::span(zeros_behind).subspan(data.size());
    const iovec parts[] = {{const_cast<std::byte*>(data.data()), data.size()},
                           {const_cast<std::byte*>(behind.data()), behind.size()}};
    const long n = sys::call(SYS_pwritev, core_.host.memory.get(), sys::pointer(parts), 2,
                             place_of(core_.host.table(), cell, 0), 0);
    if (n == static_cast<long>(cell_bytes)) return data.size();
  }
  std::memset(cells.bytes(cell), 0, offset);
  const auto put = put_content(cell, pieces, offset);
  if (put.ok()) cells.trim(cell, offset + *put);
  return put;
}

std::optional<Result<std::size_t>> OpenFile::write_content(Writable pieces, std::uint64_t offset) {
  ContentCells& cells = core_.host.table().contents;
  std::atomic<Stored>& place = entry().stored;
  Stored stored = place.load(std::memory_order_acquire);
  if (stored == stored_nowhere) {
    const Stored fresh = cells.take(inode(), cells_kept_for_opens);
    if (!in_cell(fresh)) {
      place.compare_exchange_strong(stored, in_chunks);
    } else {
      const auto put = fill_content(fresh, pieces, offset);
      // The first to write gives the file its place, with the bytes in it. Who was second writes
      // there.
      if (put.ok() && place.compare_exchange_strong(stored, fresh)) return put;
      cells.give(fresh);
      if (!put.ok()) return put;
    }
    stored = place.load(std::memory_order_acquire);
  }
  if (!in_cell(stored)) return {};
  return put_content(stored, pieces, offset);
}

Status OpenFile::read_content(Stored stored, std::span<std::byte> out, std::uint64_t offset) {
  for (std::size_t done = 0; done < out.size();) {
    const std::uint64_t at = offset + done;
    const Stored cell = in_cell(stored) && at < cell_bytes ? stored : zeros;
    const std::uint64_t inside = at % cell_bytes;
    const auto part = std::min<std::size_t>(out.size() - done, cell_bytes - inside);
    const ssize_t n = sys::pread(core_.host.memory.get_lately(), out.data() + done, part,
                                 place_of(core_.host.table(), cell, inside));
    if (n == -EINTR) continue;
    if (n == -EBADF) {
      std::memcpy(out.data() + done, core_.host.table().contents.bytes(cell) + inside, part);
      done += part;
      continue;
    }
    if (n < 0) return Error(static_cast<int>(-n));
    done += static_cast<std::size_t>(n);
  }
  return Done{};
}

// A handler that interrupted a write of its own thread to this file cannot wait for that to end.
Status OpenFile::move_to_chunks() {
  if (WriteBracket::this_thread_writes(core_.host.table(), entry_)) return Error(EDEADLK);
  TRY_OK(core_.ready());
  const wire::MoveToChunks message{.inode = inode()};
  TRY([[maybe_unused]] const auto done, core_.ask(home_rank(inode()), message));
  return Done{};
}

}  // namespace benchfs
