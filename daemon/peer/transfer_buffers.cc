#include "daemon/peer/transfer_buffers.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>

#include "daemon/peer/messages.h"

namespace benchfs::peer {
namespace {

constexpr std::size_t slot_bytes = 1 << 20;
constexpr std::size_t slots_kept = 16;
constexpr std::size_t alignment = 4096;  // direct I/O wants pages

}  // namespace

void TransferBuffer::give_back() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->give_back(memory_);
}

TransferBuffers::TransferBuffers(EventLoop& loop, std::size_t bytes_max)
    : loop_(loop), bytes_max_(std::max(bytes_max, data_bytes_max + slot_bytes)) {}

TransferBuffers::~TransferBuffers() {
  assert(lent_bytes_ == 0 && waiters_.empty());
  for (std::byte* memory : kept_) std::free(memory);
}

// Small ones are what they are: a slot for each would use the bound up.
std::size_t TransferBuffers::rounded(std::size_t bytes) {
  if (bytes > eager_bytes_max && bytes <= slot_bytes) return slot_bytes;
  return std::max(bytes + alignment - 1, alignment) / alignment * alignment;
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
  if (size == slot_bytes && !kept_.empty()) {
    memory = kept_.back();
    kept_.pop_back();
  } else {
    memory = static_cast<std::byte*>(std::aligned_alloc(alignment, size));
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
  if (memory.size() == slot_bytes && kept_.size() < slots_kept) {
    kept_.push_back(memory.data());
  } else {
    std::free(memory.data());
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

void TransferBuffers::close() {
  closed_ = true;
  for (const Waiter& waiter : std::exchange(waiters_, {})) waiter.turn->finish(-ECANCELED);
}

}  // namespace benchfs::peer
