// How long an open file is: known here when nobody else has it open, else asked at its home.
#include <sys/stat.h>

#include <algorithm>

#include "client-preload/fs/core.h"
#include "client-preload/fs/held.h"
#include "client-preload/fs/open_file.h"
#include "client-preload/fs/view_walk.h"
#include "common/placement.h"

namespace benchfs {

std::uint64_t OpenFile::known_size() const {
  const SizeEntry& here = entry();
  return std::max(here.floor.load(std::memory_order_acquire),
                  here.end.load(std::memory_order_acquire));
}

Result<std::uint64_t> OpenFile::size_for(std::uint64_t end) {
  if (entry().exact.load(std::memory_order_acquire) != 0) return known_size();
  const std::uint64_t floor = entry().floor.load(std::memory_order_acquire);
  if (floor >= end) return floor;
  const auto shown = shown_inode(core_, inode());
  if (shown.has_value() && shown->elsewhere != Elsewhere::written_here) return shown->size();
  return ask_size();
}

Result<std::uint64_t> OpenFile::ask_size() {
  TRY_OK(core_.ready());
  for (;;) {
    const std::uint32_t generation = entry().generation.load(std::memory_order_acquire);
    const wire::Size message{.inode = inode()};
    TRY(const auto reply, core_.ask(home_rank(inode()), message));
    // Only a truncation may lower the floor, so raising it to an answer from before one would show
    // the old size for ever: within a bracket no truncation comes in between.
    ProcessRecord* const record = core_.host.known_record();
    if (record == nullptr) return reply.size;
    const WriteBracket bracket(core_.host.table(), *record, entry_, inode());
    if (!bracket.entered()) return Error(EBADF);
    if (bracket.generation() != generation) continue;
    raise_to(entry().floor, reply.size);
    return std::max(reply.size, known_size());
  }
}

Result<off_t> OpenFile::seek(off_t offset, int whence) {
  if ((status_flags() & O_PATH) != 0) return Error(EBADF);
  std::int64_t base = 0;
  if (whence == SEEK_END || whence == SEEK_DATA || whence == SEEK_HOLE) {
    if (is_directory()) return Error(EINVAL);
    TRY(const std::uint64_t size, size_for(UINT64_MAX));
    base = static_cast<std::int64_t>(size);
    if (whence != SEEK_END) {
      // All that was written counts as data, and the end of the file as the one hole.
      if (offset < 0 || offset >= base) return Error(ENXIO);
      if (whence == SEEK_DATA) base = offset;
      offset = 0;
    }
  } else if (whence != SEEK_SET && whence != SEEK_CUR) {
    return Error(EINVAL);
  }
  Held held(slot().offset_lock, core_.host.self(), &slot().offset);
  std::atomic<std::uint64_t>& position = held.position();
  std::uint64_t seen = position.load();
  std::int64_t target = 0;
  do {
    if (whence == SEEK_CUR) base = static_cast<std::int64_t>(seen);
    if (__builtin_add_overflow(base, offset, &target)) return Error(EOVERFLOW);
    const bool in_range =
        is_directory() || static_cast<std::uint64_t>(target) <= wire::file_bytes_max;
    if (target < 0 || !in_range) return Error(EINVAL);
  } while (!position.compare_exchange_weak(seen, static_cast<std::uint64_t>(target)));
  return target;
}

// What fallocate promises here is the size: space is given out when it is written.
Status OpenFile::allocate(int mode, off_t offset, off_t length) {
  TRY_OK(may_write());
  if (offset < 0 || length <= 0) return Error(EINVAL);
  const std::uint64_t end = static_cast<std::uint64_t>(offset) + static_cast<std::uint64_t>(length);
  if (end > wire::file_bytes_max) return Error(EFBIG);
  if (mode == FALLOC_FL_KEEP_SIZE) return Done{};
  if (mode != 0) return Error(EOPNOTSUPP);
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr) return Error(EIO);
  for (;;) {
    {  // As a write that ends there: a truncation to a longer size could undo another's growth.
      const WriteBracket bracket(core_.host.table(), *record, entry_, inode());
      if (!bracket.entered()) return Error(EBADF);
      const auto to_chunks = lies_in_chunks(end);
      if (to_chunks.ok()) {
        if (end > known_size()) published(end, end);
        return Done{};
      }
      if (to_chunks.error() != needs_chunks) return to_chunks.error();
    }
    TRY_OK(move_to_chunks());
  }
}

}  // namespace benchfs
