#include "client-preload/fs/chunk_io.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/placement.h"

namespace benchfs {
namespace {

constexpr std::uint64_t synced_directly_max = 16;  // chunks; more are one request

Error error_of(long result) { return Error(static_cast<int>(-result)); }

bool went_missing(Error error) { return error == Error(EBADF) || error == Error(ENOTDIR); }

}  // namespace

ChunkIo::Piece ChunkIo::piece_at(const ChunkFile& file, std::uint64_t stamp, std::uint64_t offset,
                                 std::size_t bytes) const {
  const std::uint64_t chunk = offset >> host_.chunk_shift();
  const std::uint64_t inside = offset & (host_.chunk_bytes() - 1);
  const std::uint32_t ranks = host_.ranks();
  const auto rank =
      ranks == 1 ? 0 : static_cast<std::uint32_t>((file.first_rank + chunk % ranks) % ranks);
  return {.key = {.inode = file.inode, .chunk = chunk, .stamp = stamp},
          .rank = rank,
          .offset = static_cast<std::uint32_t>(inside),
          .bytes = std::min<std::size_t>(bytes, host_.chunk_bytes() - inside)};
}

Result<ChunkCache::Pin> ChunkIo::opened(LocalServer& server, const ChunkKey& key, bool create) {
  for (bool again = true;; again = false) {
    TRY(const int directory, host_.chunk_directory(server));
    auto pin = cache_.open(key, directory, create);
    if (pin.ok() || !again || !went_missing(pin.error())) return pin;
    host_.lost(server);
  }
}

// One call on the chunk's descriptor, opened if need be; once more if the cached one turns out to
// be gone.
template <class Call>
Result<std::size_t> ChunkIo::on_chunk(LocalServer& server, const ChunkKey& key, bool create,
                                      Call call) {
  if (ChunkCache::Pin pin = cache_.find(key)) {
    ssize_t n = 0;
    do {
      n = call(pin.fd());
    } while (n == -EINTR);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (n != -EBADF) return error_of(n);
    cache_.discard(pin);
  }
  TRY(const ChunkCache::Pin pin, opened(server, key, create));
  ssize_t n = 0;
  do {
    n = call(pin.fd());
  } while (n == -EINTR);
  if (n < 0) return error_of(n);
  return static_cast<std::size_t>(n);
}

// A short read is the end of the chunk file: the rest is a hole.
Status ChunkIo::read_here(LocalServer& server, const Piece& piece, std::byte* out) {
  const auto done = on_chunk(server, piece.key, false, [&](int fd) {
    return sys::pread(fd, out, piece.bytes, static_cast<off_t>(piece.offset));
  });
  if (!done.ok() && done.error() != Error(ENOENT)) return done.error();
  const std::size_t bytes = done.ok() ? *done : 0;
  if (bytes < piece.bytes) std::memset(out + bytes, 0, piece.bytes - bytes);
  return Done{};
}

Result<std::size_t> ChunkIo::write_here(LocalServer& server, const Piece& piece,
                                        const std::byte* data) {
  std::size_t done = 0;
  while (done < piece.bytes) {
    const auto n = on_chunk(server, piece.key, true, [&](int fd) {
      return sys::pwrite(fd, data + done, piece.bytes - done,
                         static_cast<off_t>(piece.offset + done));
    });
    if (!n.ok() && done == 0) return n.error();
    if (!n.ok() || *n == 0) break;
    done += *n;
  }
  return done;
}

Status ChunkIo::read(const ChunkFile& file, std::uint64_t stamp, std::span<std::byte> out,
                     std::uint64_t offset) {
  const Piece first = piece_at(file, stamp, offset, out.size());
  if (first.bytes == out.size())
    if (LocalServer* const server = host_.local(first.rank))
      return read_here(*server, first, out.data());

  RemoteWindow window(host_);
  for (std::size_t done = 0; done < out.size();) {
    Piece piece = piece_at(file, stamp, offset + done, out.size() - done);
    if (LocalServer* const server = host_.local(piece.rank)) {
      const Status read = read_here(*server, piece, out.data() + done);
      if (!read.ok()) window.failed(done, read.error().code());
    } else {
      piece.bytes = std::min(piece.bytes, pool_buffer_bytes);
      window.read(remote(piece, done), out.data() + done);
    }
    done += piece.bytes;
  }
  window.finish();
  if (window.failure().error != 0) return Error(window.failure().error);
  return Done{};
}

Result<std::size_t> ChunkIo::write(const ChunkFile& file, std::uint64_t stamp,
                                   std::span<const std::byte> data, std::uint64_t offset) {
  const Piece first = piece_at(file, stamp, offset, data.size());
  if (first.bytes == data.size())
    if (LocalServer* const server = host_.local(first.rank))
      return write_here(*server, first, data.data());

  RemoteWindow window(host_);
  for (std::size_t done = 0; done < data.size() && window.failure().error == 0;) {
    Piece piece = piece_at(file, stamp, offset + done, data.size() - done);
    if (LocalServer* const server = host_.local(piece.rank)) {
      const auto written = write_here(*server, piece, data.data() + done);
      if (!written.ok()) {
        window.failed(done, written.error().code());
      } else if (*written < piece.bytes) {
        window.failed(done + *written, ENOSPC);
      }
    } else {
      piece.bytes = std::min(piece.bytes, pool_buffer_bytes);
      window.write(remote(piece, done), data.data() + done);
    }
    done += piece.bytes;
  }
  window.finish();
  const auto& failure = window.failure();
  if (failure.error == 0) return data.size();
  if (failure.position == 0) return Error(failure.error);
  return static_cast<std::size_t>(failure.position);
}

RemotePiece ChunkIo::remote(const Piece& piece, std::uint64_t position) {
  return {.inode = piece.key.inode,
          .chunk = piece.key.chunk,
          .rank = piece.rank,
          .offset = piece.offset,
          .bytes = static_cast<std::uint32_t>(piece.bytes),
          .position = position};
}

Status ChunkIo::sync_here(LocalServer& server, const ChunkFile& file, std::uint64_t stamp,
                          std::uint64_t chunks) {
  for (std::uint64_t chunk = 0; chunk < chunks; ++chunk) {
    const Piece piece = piece_at(file, stamp, chunk << host_.chunk_shift(), 1);
    if (piece.rank != server.rank) continue;
    const auto synced = on_chunk(server, piece.key, false, [](int fd) {
      return static_cast<ssize_t>(sys::call(SYS_fdatasync, fd));
    });
    if (!synced.ok() && synced.error() != Error(ENOENT)) return synced.error();
  }
  return Done{};
}

Status ChunkIo::sync(const ChunkFile& file, std::uint64_t stamp, std::uint64_t size) {
  const std::uint64_t chunks = (size + host_.chunk_bytes() - 1) >> host_.chunk_shift();
  const auto ranks = static_cast<std::uint32_t>(std::min<std::uint64_t>(chunks, host_.ranks()));
  const wire::SyncChunks message{.inode = file.inode, .size = size};
  Status status = Done{};
  constexpr std::uint32_t at_once = 8;
  for (std::uint32_t from = 0; from < ranks; from += at_once) {
    std::array<Request, at_once> requests;
    std::array<bool, at_once> asked{};
    const std::uint32_t count = std::min(at_once, ranks - from);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t rank = (file.first_rank + from + i) % host_.ranks();
      LocalServer* const server = host_.local(rank);
      if (server != nullptr && chunks <= synced_directly_max) {
        const Status here = sync_here(*server, file, stamp, chunks);
        if (!here.ok()) status = here;
        continue;
      }
      const auto channel = host_.channel(rank);
      if (!channel.ok()) return channel.error();
      // Whoever has answers to collect must not wait for a slot.
      if (!requests[i].try_begin(**channel)) {
        for (std::uint32_t j = 0; j < i; ++j) {
          if (!asked[j]) continue;
          const Status there = requests[j].wait();
          if (!there.ok()) status = there;
          requests[j].end();
          asked[j] = false;
        }
        requests[i].begin(**channel);
      }
      requests[i].add(wire::bytes_of(message));
      requests[i].post(wire::Op::sync_chunks, rank);
      asked[i] = true;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!asked[i]) continue;
      const Status there = requests[i].wait();
      if (!there.ok()) status = there;
    }
  }
  return status;
}

}  // namespace benchfs
