#include "client-preload/fs/held.h"

#include <algorithm>

#include "common/sys.h"

namespace benchfs {
namespace {

thread_local Held* top = nullptr;  // of this thread, innermost first

constexpr std::int64_t doubt_ns = 50'000'000;
constexpr int tries_at_once = 64;

}  // namespace

// The one found in the state `trying` was interrupted beside the instruction that takes the lock:
// whether it has it shows only by nobody else giving it back.
Held* Held::find_outer(RobustLock& lock, ProcessId self) {
  for (Held* held = below_; held != nullptr; held = held->below_) {
    if (&held->lock_ != &lock || held->outer_ != nullptr) continue;
    if (held->state_.load(std::memory_order_relaxed) == taken) return held;
    if (held->state_.load(std::memory_order_relaxed) != trying) return nullptr;
    const std::int64_t end = sys::now_ns() + doubt_ns;
    while (sys::now_ns() < end) {
      if (lock.try_lock(self)) {
        state_.store(taken, std::memory_order_relaxed);
        return nullptr;
      }
      sys::yield();
    }
    return held;
  }
  return nullptr;
}

Held::Held(RobustLock& lock, ProcessId self, std::atomic<std::uint64_t>* shared)
    : lock_(lock), shared_(shared), below_(top) {
  if (below_ < this) below_ = nullptr;  // a deeper frame, left by siglongjmp
  outer_ = find_outer(lock, self);
  top = this;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (outer_ != nullptr || state_.load(std::memory_order_relaxed) == taken) return;
  for (int tries = 0; tries < tries_at_once; ++tries) {
    state_.store(trying, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const bool got = lock_.try_lock(self);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    state_.store(got ? taken : waiting, std::memory_order_relaxed);
    if (got) return;
    sys::yield();
  }
  state_.store(trying, std::memory_order_relaxed);
  lock_.lock(self);  // waits; takes it from the dead
  state_.store(taken, std::memory_order_relaxed);
}

std::atomic<std::uint64_t>& Held::position() {
  std::atomic<std::uint64_t>& next = outer_ != nullptr ? outer_->next_ : next_;
  std::uint64_t seen = unset;
  next.compare_exchange_strong(seen, shared_->load(std::memory_order_relaxed));
  return seen == given_back ? *shared_ : next;
}

void Held::give_back() {
  std::uint64_t seen = next_.load(std::memory_order_relaxed);
  do {
    if (seen != unset) shared_->store(seen, std::memory_order_relaxed);
  } while (!next_.compare_exchange_strong(seen, given_back));
}

std::uint64_t Held::place_at_end(std::uint64_t end, std::uint64_t bytes) {
  std::atomic<std::uint64_t>& next = outer_ != nullptr ? outer_->next_ : next_;
  std::uint64_t seen = unset;
  std::uint64_t place = end;
  while (!next.compare_exchange_strong(seen, place + bytes))
    place = seen == unset ? end : std::max(end, seen);
  return place;
}

Held::~Held() {
  if (outer_ == nullptr) {
    if (shared_ != nullptr) give_back();
    state_.store(trying, std::memory_order_relaxed);  // a handler finds out whether it was given up
    std::atomic_signal_fence(std::memory_order_seq_cst);
    lock_.unlock();
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  top = below_;
}

}  // namespace benchfs
