#include "daemon/peer/transfer_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>

#include "daemon/peer/messages.h"

namespace benchfs::peer {
namespace {

constexpr std::size_t slot_bytes = 1 << 20;
constexpr std::size_t kept_bytes_max = 16 * slot_bytes;
constexpr std::size_t alignment = 4096;  // direct I/O wants pages

}  // namespace

void TransferBuffer::give_back() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->give_back(memory_);
}

TransferBuffers::TransferBuffers(EventLoop& loop, std::size_t bytes_max)
    : loop_(loop), bytes_max_(std::max(bytes_max, data_bytes_max + slot_bytes)) {}

TransferBuffers::~TransferBuffers() {
  assert(lent_bytes_ == 0 && waiters_.empty());
  for (const auto memory : kept_) release(memory);
}

// Whole slots, so that what is kept fits the next; but small ones would use the bound up by that.
std::size_t TransferBuffers::rounded(std::size_t bytes) {
  const std::size_t unit = bytes > eager_bytes_max ? slot_bytes : alignment;
  return std::max((bytes + unit - 1) / unit, std::size_t{1}) * unit;
}

// Straight from the kernel, so that what is freed is gone.
std::byte* TransferBuffers::allocate(std::size_t bytes) {
  if (bytes < slot_bytes) return static_cast<std::byte*>(std::aligned_alloc(alignment, bytes));
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

void TransferBuffers::release(std::span<std::byte> memory) {
  if (memory.size() < slot_bytes) {
    std::free(memory.data());
  } else {
    ::munmap(memory.data(), memory.size());
  }
}

bool TransferBuffers::fits(std::size_t bytes) const { return lent_bytes_ + bytes <= bytes_max_; }

Task<Result<TransferBuffer>> TransferBuffers::take(std::size_t bytes) {
  if (closed_) co_return Error(ECANCELED);
  if (!waiters_.empty() || !fits(rounded(bytes))) {
    Completion turn(loop_);
    const Waiter waiter{.bytes = rounded(bytes), .turn = &turn};
    waiters_.push_back(waiter);
    const int result = co_await turn;
    if (result < 0) co_return Error(-result);
    lent_bytes_ -= rounded(bytes);  // was set aside for us until we came to run
  }
  co_return take_now(bytes);
}

Result<TransferBuffer> TransferBuffers::take_now(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  std::byte* memory = nullptr;
  const auto kept =
      std::ranges::find(kept_.rbegin(), kept_.rend(), size, &std::span<std::byte>::size);
  if (kept != kept_.rend()) {
    memory = kept->data();
    kept_bytes_ -= size;
    kept_.erase(std::next(kept).base());
  } else {
    memory = allocate(size);
  }
  if (memory == nullptr) {
    serve_waiters();
    return Error(ENOMEM);
  }
  lent_bytes_ += size;
  return TransferBuffer(this, {memory, size}, bytes);
}

void TransferBuffers::give_back(std::span<std::byte> memory) {
  lent_bytes_ -= memory.size();
  if (memory.size() >= slot_bytes && kept_bytes_ + memory.size() <= kept_bytes_max) {
    needed_ = true;
    kept_bytes_ += memory.size();
    kept_.push_back(memory);
  } else {
    release(memory);
  }
  serve_waiters();
}

void TransferBuffers::serve_waiters() {
  while (!waiters_.empty() && fits(waiters_.front().bytes)) {
    const Waiter waiter = waiters_.front();
    waiters_.pop_front();
    lent_bytes_ += waiter.bytes;
    waiter.turn->finish(0);
  }
}

bool TransferBuffers::trim() {
  if (!std::exchange(needed_, false)) {
    for (const auto memory : std::exchange(kept_, {})) release(memory);
    kept_bytes_ = 0;
  }
  return !kept_.empty();
}

void TransferBuffers::close() {
  closed_ = true;
  for (const Waiter& waiter : std::exchange(waiters_, {})) waiter.turn->finish(-ECANCELED);
}

}  // namespace benchfs::peer
