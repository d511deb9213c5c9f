// RemoteWindow: reads and writes of chunks on other hosts, up to eight under way at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "client-preload/fs/channel.h"
#include "client-preload/fs/host.h"
#include "common/result.h"

namespace benchfs {

struct RemotePiece {
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint32_t rank;
  std::uint32_t offset;    // in the chunk
  std::uint32_t bytes;     // at most pool_buffer_bytes
  std::uint64_t position;  // in the caller's whole transfer
};

class RemoteWindow {
 public:
  explicit RemoteWindow(Host& host) : host_(host) {}
  ~RemoteWindow() { finish(); }
  RemoteWindow(const RemoteWindow&) = delete;
  RemoteWindow& operator=(const RemoteWindow&) = delete;

  // `out` and `data` are used until finish(). Failures are kept, see failure().
  void read(const RemotePiece& piece, std::byte* out) { start(piece, out, nullptr); }
  void write(const RemotePiece& piece, const std::byte* data) { start(piece, nullptr, data); }
  void finish();

  // The lowest position that was not read or written, and why.
  struct Failure {
    std::uint64_t position = UINT64_MAX;
    int error = 0;
  };
  const Failure& failure() const { return failure_; }
  void failed(std::uint64_t position, int error) {
    if (position < failure_.position) failure_ = {.position = position, .error = error};
  }

 private:
  static constexpr std::uint32_t flights_max = 8;
  struct Flight {
    Request request;
    RemotePiece piece{};
    std::uint32_t buffer = 0;
    std::byte* out = nullptr;  // null: a write
  };

  void start(const RemotePiece& piece, std::byte* out, const std::byte* data);
  void land_oldest();
  void land(Flight& flight);

  Host& host_;
  std::array<Flight, flights_max> flights_;
  std::uint32_t oldest_ = 0;
  std::uint32_t flying_ = 0;
  Failure failure_;
};

}  // namespace benchfs
