// Reading and writing open files.
#include <algorithm>

#include "client-preload/fs/core.h"
#include "client-preload/fs/held.h"
#include "client-preload/fs/open_file.h"
#include "client-preload/fs/set_attributes.h"
#include "common/placement.h"

namespace benchfs {
namespace {

template <class Pieces>
std::uint64_t bytes_of_all(Pieces pieces) {
  std::uint64_t sum = 0;
  for (const auto& piece : pieces) sum += piece.size();
  return sum;
}

}  // namespace

// One transfer at the offset that all descriptors of this open file share. `transfer(offset)` gives
// the bytes moved and where the next one begins.
template <class Transfer>
Result<std::size_t> OpenFile::at_shared_offset(std::uint64_t planned, Transfer transfer) {
  Held held(slot().offset_lock, core_.host.self(), &slot().offset);
  std::atomic<std::uint64_t>& position = held.position();
  const std::uint64_t start = position.fetch_add(planned);
  const Result<Moved> moved = transfer(start);
  std::uint64_t expected = start + planned;  // something else: a signal handler went on behind us
  position.compare_exchange_strong(expected, moved.ok() ? moved->end : start);
  if (!moved.ok()) return moved.error();
  return moved->bytes;
}

Result<std::size_t> OpenFile::read(std::span<std::byte> out) {
  return read_pieces({&out, 1}, nullptr);
}
Result<std::size_t> OpenFile::write(std::span<const std::byte> data) {
  return write_pieces({&data, 1}, nullptr);
}
Result<std::size_t> OpenFile::read_at(std::span<std::byte> out, off_t offset) {
  return read_pieces({&out, 1}, &offset);
}
Result<std::size_t> OpenFile::write_at(std::span<const std::byte> data, off_t offset) {
  return write_pieces({&data, 1}, &offset);
}

Result<std::size_t> OpenFile::read_pieces(Readable pieces, const off_t* offset) {
  if (offset != nullptr && *offset < 0) return Error(EINVAL);
  TRY_OK(may_read());
  note_read();
  if (offset != nullptr) {
    return read_range(pieces, static_cast<std::uint64_t>(*offset));
  }
  return at_shared_offset(bytes_of_all(pieces), [&](std::uint64_t start) -> Result<Moved> {
    TRY(const std::size_t bytes, read_range(pieces, start));
    return Moved{.bytes = bytes, .end = start + bytes};
  });
}

Result<std::size_t> OpenFile::read_range(Readable pieces, std::uint64_t offset) {
  const std::uint64_t wanted = bytes_of_all(pieces);
  if (wanted == 0) return std::size_t{0};
  const SizeEntry& here = entry();
  for (;;) {
    const std::uint32_t generation = here.generation.load(std::memory_order_acquire);
    TRY(const std::uint64_t size, size_for(offset + wanted));
    // After the size, which who makes the place raises last.
    const Stored stored = here.stored.load(std::memory_order_acquire);
    std::uint64_t left = offset < size ? std::min(wanted, size - offset) : 0;
    const std::uint64_t bytes = left;
    std::uint64_t at = offset;
    for (const auto& piece : pieces) {
      const std::uint64_t part = std::min<std::uint64_t>(piece.size(), left);
      if (part == 0) continue;
      if (stored == in_chunks) {
        TRY_OK(core_.io.read(chunks_, stamp(generation), piece.first(part), at));
      } else {
        TRY_OK(read_content(stored, piece.first(part), at));
      }
      at += part;
      left -= part;
    }
    if (bytes != 0 && stored == in_chunks) touched_chunks(at);
    // A truncation beside us may have cut what we took for holes: then the answer is void.
    if (here.generation.load(std::memory_order_acquire) == generation &&
        here.frozen.load(std::memory_order_seq_cst) == 0)
      return static_cast<std::size_t>(bytes);
    if (WriteBracket::this_thread_writes(core_.host.table(), entry_))
      return static_cast<std::size_t>(bytes);
    WriteBracket::wait_for_thaw(entry());
  }
}

Result<std::size_t> OpenFile::write_pieces(Writable pieces, const off_t* offset) {
  if (offset != nullptr && *offset < 0) return Error(EINVAL);
  TRY_OK(may_write());
  const bool appends = (status_flags() & O_APPEND) != 0;
  const std::uint64_t wanted = bytes_of_all(pieces);
  if (wanted == 0) return std::size_t{0};
  if (entry().privileged.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    TRY_OK(take_privileges());
  }
  Result<std::size_t> written = std::size_t{0};
  if (offset != nullptr) {
    // As Linux does: with O_APPEND the offset named is ignored.
    const auto moved =
        appends ? append(pieces) : write_range(pieces, static_cast<std::uint64_t>(*offset));
    written = moved.ok() ? Result<std::size_t>(moved->bytes) : moved.error();
  } else {
    written = at_shared_offset(wanted, [&](std::uint64_t start) {
      return appends ? append(pieces) : write_range(pieces, start);
    });
  }
  if (written.ok() && (status_flags() & O_DSYNC) != 0) {
    TRY_OK(sync(true));
  }
  return written;
}

Result<OpenFile::Moved> OpenFile::write_range(Writable pieces, std::uint64_t offset) {
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr) return Error(EIO);
  for (;;) {
    {
      const WriteBracket bracket(core_.host.table(), *record, entry_, inode());
      const auto moved = write_inside(bracket, pieces, offset);
      if (moved.ok() || moved.error() != needs_chunks) return moved;
    }
    TRY_OK(move_to_chunks());
  }
}

Result<OpenFile::Moved> OpenFile::write_inside(const WriteBracket& bracket, Writable pieces,
                                               std::uint64_t offset) {
  if (!bracket.entered()) return Error(EBADF);
  if (offset >= wire::file_bytes_max) return Error(EFBIG);
  std::uint64_t room = wire::file_bytes_max - offset;
  std::uint64_t at = offset;
  TRY(const bool to_chunks, lies_in_chunks(offset + std::min(room, bytes_of_all(pieces))));
  if (!to_chunks) {
    if (const auto put = write_content(pieces, offset)) {
      if (!put->ok()) return put->error();
      at += **put;
      published(offset, at);
      return Moved{.bytes = **put, .end = at};
    }
  }
  for (const auto& piece : pieces) {
    const std::uint64_t part = std::min<std::uint64_t>(piece.size(), room);
    if (part == 0) continue;
    const auto written =
        core_.io.write(chunks_, stamp(bracket.generation()), piece.first(part), at);
    if (!written.ok() && at == offset) return written.error();
    if (!written.ok()) break;  // what was written counts; the next call says why
    at += *written;
    room -= *written;
    if (*written < part) break;
  }
  touched_chunks(at);
  published(offset, at);
  return Moved{.bytes = static_cast<std::size_t>(at - offset), .end = at};
}

// The access time as relatime keeps it: the first read after an opening, a write or a change of
// attributes. The home learns it with the size.
void OpenFile::note_read() {
  SizeEntry& here = entry();
  if (here.accessed.load(std::memory_order_relaxed) > here.modified.load(std::memory_order_relaxed))
      [[likely]]
    return;
  if ((status_flags() & O_NOATIME) != 0 || core_.read_only()) return;
  raise_to(here.accessed, sys::now_ns(CLOCK_REALTIME));
}

// Of a file that runs with its owner's rights, before others than root write to it.
Status OpenFile::take_privileges() {
  if (sys::call(SYS_geteuid) == 0) return Done{};
  wire::SetAttributes request{};
  request.valid = wire::valid_written;
  TRY_OK(set_attributes(core_, inode(), request));
  entry().privileged.store(0);
  return Done{};
}

// Before the bracket is left, so that a truncation sees all that it waited for.
void OpenFile::published(std::uint64_t begin, std::uint64_t end) {
  SizeEntry& here = entry();
  constexpr std::uint64_t page = 4096;
  const std::uint64_t before = known_size();
  if (begin > before && begin / page > (before + page - 1) / page)
    here.sparse.store(1, std::memory_order_relaxed);  // whole pages between were written by nobody
  raise_to(here.end, end);
  raise_to(here.modified, sys::now_ns(CLOCK_REALTIME));
}

void OpenFile::touched_chunks(std::uint64_t end) {
  const std::uint64_t chunks = ((end - 1) >> core_.host.chunk_shift()) + 1;
  if (end != 0 && chunks > chunks_touched_.load(std::memory_order_relaxed))
    raise_to(chunks_touched_, chunks);
}

Result<OpenFile::Moved> OpenFile::append(Writable pieces) {
  ProcessRecord* const record = core_.host.known_record();
  if (record == nullptr) return Error(EIO);
  const std::uint64_t wanted = bytes_of_all(pieces);
  for (;;) {
    {
      Held held(entry().append_lock, core_.host.self());
      const WriteBracket bracket(core_.host.table(), *record, entry_, inode());
      if (entry().exact.load(std::memory_order_seq_cst) == 0) break;
      const std::uint64_t offset = held.place_at_end(known_size(), wanted);
      const auto moved = write_inside(bracket, pieces, offset);
      if (moved.ok() || moved.error() != needs_chunks) return moved;
    }
    TRY_OK(move_to_chunks());
  }
  // Other hosts append too: the home gives out the places.
  TRY_OK(core_.ready());
  const wire::Reserve message{.inode = inode(), .bytes = wanted};
  TRY(const auto place, core_.ask(home_rank(inode()), message));
  return write_range(pieces, place.offset);
}

}  // namespace benchfs
