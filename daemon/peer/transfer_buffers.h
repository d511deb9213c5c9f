// TransferBuffers: memory for the bulk that comes with requests, bounded.
//
// What is given back is kept, up to 16 MiB, because fresh pages cost more than the transfer; when
// it was not needed for a while trim() frees it. Whoever finds the bound reached waits in line.
// Loop thread only.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/result.h"
#include "daemon/loop/completion.h"
#include "daemon/loop/task.h"

namespace benchfs::peer {

class TransferBuffers;

// A lent piece of memory; gives itself back. Must not outlive its TransferBuffers.
class TransferBuffer {
 public:
  TransferBuffer() = default;
  TransferBuffer(TransferBuffer&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)),
        memory_(std::exchange(other.memory_, {})),
        bytes_(other.bytes_) {}
  TransferBuffer& operator=(TransferBuffer&& other) noexcept {
    if (this != &other) {
      give_back();
      owner_ = std::exchange(other.owner_, nullptr);
      memory_ = std::exchange(other.memory_, {});
      bytes_ = other.bytes_;
    }
    return *this;
  }
  ~TransferBuffer() { give_back(); }

  std::span<std::byte> bytes() { return memory_.first(bytes_); }

 private:
  friend class TransferBuffers;
  TransferBuffer(TransferBuffers* owner, std::span<std::byte> memory, std::size_t bytes)
      : owner_(owner), memory_(memory), bytes_(bytes) {}
  void give_back();

  TransferBuffers* owner_ = nullptr;
  std::span<std::byte> memory_;
  std::size_t bytes_ = 0;
};

class TransferBuffers {
 public:
  TransferBuffers(EventLoop& loop, std::size_t bytes_max);
  TransferBuffers(const TransferBuffers&) = delete;
  TransferBuffers& operator=(const TransferBuffers&) = delete;
  ~TransferBuffers();

  // Waits while too much is lent. ECANCELED after close(); ENOMEM when there is no memory.
  Task<Result<TransferBuffer>> take(std::size_t bytes);
  // For what has arrived already; ignores the bound.
  Result<TransferBuffer> take_now(std::size_t bytes);
  // Ends all waiting.
  void close();
  // Frees what is kept, if nothing was needed since the last call. True while something is kept.
  bool trim();

  std::size_t lent_bytes() const { return lent_bytes_; }

 private:
  friend class TransferBuffer;
  struct Waiter {
    std::size_t bytes;
    Completion* turn;
  };
  static std::size_t rounded(std::size_t bytes);
  static std::byte* allocate(std::size_t bytes);
  static void release(std::span<std::byte> memory);
  bool fits(std::size_t bytes) const;
  void give_back(std::span<std::byte> memory);
  void serve_waiters();

  EventLoop& loop_;
  const std::size_t bytes_max_;
  std::size_t lent_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
  std::vector<std::span<std::byte>> kept_;
  bool needed_ = false;  // since the last trim()
  std::deque<Waiter> waiters_;
  bool closed_ = false;
};

}  // namespace benchfs::peer
