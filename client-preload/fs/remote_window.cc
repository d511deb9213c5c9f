#include "client-preload/fs/remote_window.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client-preload/fs/transfer_pool.h"

namespace benchfs {

// Buffers and slots are shared: whoever has some out collects an answer rather than wait for more.
void RemoteWindow::start(const RemotePiece& piece, std::byte* out, const std::byte* data) {
  const auto channel = host_.channel(piece.rank);
  if (!channel.ok()) return failed(piece.position, channel.error().code());
  if (flying_ == flights_max) land_oldest();
  std::optional<std::uint32_t> buffer = TransferPool::try_take(host_.pool(), host_.self());
  while (!buffer && flying_ > 0) {
    land_oldest();
    buffer = TransferPool::try_take(host_.pool(), host_.self());
  }
  if (!buffer) buffer = TransferPool::take(host_.pool(), host_.self());

  Flight& flight = flights_[(oldest_ + flying_) % flights_max];
  flight.piece = piece;
  flight.out = out;
  flight.buffer = *buffer;
  if (data != nullptr) std::memcpy(host_.pool_buffer(*buffer), data, piece.bytes);
  while (!flight.request.try_begin(**channel)) {
    if (flying_ == 0) {
      flight.request.begin(**channel);
      break;
    }
    land_oldest();
  }
  const wire::ReadChunk message{.inode = piece.inode,
                                .chunk = piece.chunk,
                                .offset = piece.offset,
                                .bytes = piece.bytes,
                                .buffer = *buffer,
                                .reserved = 0};
  static_assert(sizeof(wire::WriteChunk) == sizeof message);  // and the same fields
  flight.request.add(wire::bytes_of(message));
  flight.request.post(data != nullptr ? wire::Op::write_chunk : wire::Op::read_chunk, piece.rank);
  ++flying_;
}

void RemoteWindow::land_oldest() {
  Flight& flight = flights_[oldest_];
  oldest_ = (oldest_ + 1) % flights_max;
  --flying_;
  land(flight);
}

void RemoteWindow::land(Flight& flight) {
  const RemotePiece& piece = flight.piece;
  const Status answered = flight.request.wait();
  if (!answered.ok()) {
    // When the server has ended, nothing of it can reach the buffer any more either.
    failed(piece.position, answered.error().code());
  } else {
    const auto reply = wire::parse<wire::ChunkReply>(flight.request.body());
    const std::uint64_t bytes = reply.ok() ? std::min<std::uint64_t>(reply->bytes, piece.bytes) : 0;
    if (!reply.ok()) {
      failed(piece.position, EIO);
    } else if (flight.out == nullptr) {
      if (bytes < piece.bytes) failed(piece.position + bytes, ENOSPC);
    } else {
      std::memcpy(flight.out, host_.pool_buffer(flight.buffer), bytes);
      std::memset(flight.out + bytes, 0, piece.bytes - bytes);
    }
  }
  flight.request.end();
  TransferPool::give_back(host_.pool(), flight.buffer);
}

void RemoteWindow::finish() {
  while (flying_ > 0) land_oldest();
}

}  // namespace benchfs
