#include "client-preload/fs/transfer_pool.h"

#include "common/sys.h"

namespace benchfs {
namespace {

constexpr int yields = 256;
constexpr std::int64_t slice_ns = 1'000'000;

std::optional<std::uint32_t> take_from_the_dead(PoolHeader& pool, ProcessId self) {
  for (std::uint32_t i = 0; i < pool_buffers; ++i) {
    std::uint64_t owner = pool.owner[i].load();
    if (owner == self || is_alive(owner)) continue;
    if (pool.owner[i].compare_exchange_strong(owner, self)) return i;
  }
  return {};
}

}  // namespace

std::optional<std::uint32_t> TransferPool::try_take(PoolHeader& pool, ProcessId self) {
  // Processes begin at different places, so that they seldom meet.
  const auto start = static_cast<std::uint32_t>(pid_of(self)) * 8;
  for (std::uint32_t i = 0; i < pool_buffers; ++i) {
    const std::uint32_t buffer = (start + i) % pool_buffers;
    std::uint64_t nobody = 0;
    if (pool.owner[buffer].load(std::memory_order_relaxed) == 0 &&
        pool.owner[buffer].compare_exchange_strong(nobody, self, std::memory_order_acquire))
      return buffer;
  }
  return {};
}

std::uint32_t TransferPool::take(PoolHeader& pool, ProcessId self) {
  for (int tries = 0;; ++tries) {
    if (const auto buffer = try_take(pool, self)) return *buffer;
    if (tries < yields) {
      sys::yield();
      continue;
    }
    if (tries % yields == 0)
      if (const auto buffer = take_from_the_dead(pool, self)) return *buffer;
    // Its owner's word changes when the buffer is given back; nobody wakes us, the slice ends.
    const std::uint64_t owner = pool.owner[0].load();
    if (owner != 0)
      sys::futex_wait(&pool.owner[0], static_cast<std::uint32_t>(owner), slice_ns / 20);
  }
}

void TransferPool::give_back(PoolHeader& pool, std::uint32_t buffer) {
  pool.owner[buffer].store(0, std::memory_order_release);
}

}  // namespace benchfs
