#include "client-preload/fs/chunk_cache.h"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

namespace benchfs {
namespace {

// inode_<inode>_chunk_<chunk>
std::array<char, 64> file_name(std::uint64_t inode, std::uint64_t chunk) {
  std::array<char, 64> name{};
  constexpr std::ptrdiff_t digits = 20;
  char* at = name.data();
  std::memcpy(at, "inode_", 6);
  at = std::to_chars(at + 6, at + 6 + digits, inode).ptr;
  std::memcpy(at, "_chunk_", 7);
  std::to_chars(at + 7, at + 7 + digits, chunk);
  return name;
}

}  // namespace

ChunkCache::ChunkCache(PrivateDescriptors& privates)
    : privates_(privates),
      sets_(std::bit_floor(privates.spare() / ways | 1)),
      entries_(sets_ * ways) {}

ChunkCache::Entry* ChunkCache::set_of(std::uint64_t inode, std::uint64_t chunk) {
  const std::uint64_t mixed =
      (inode * 0x9e3779b97f4a7c15u + chunk * 0xc2b2ae3d27d4eb4fu) ^ (chunk << 32);
  return &entries_[(mixed >> 40 & (sets_ - 1)) * ways];
}

// A number that others could have replaced is recognised by its file position, which nobody moves:
// all our transfers name their offset.
bool ChunkCache::still_ours(Entry& entry) const {
  const std::int64_t position = entry.position.load(std::memory_order_relaxed);
  if (position == 0 || entry.seen.lately_checked()) return true;
  const int fd = static_cast<int>(entry.fd.load(std::memory_order_relaxed)) - 1;
  if (sys::lseek(fd, 0, SEEK_CUR) != position) return false;
  entry.seen.note();
  return true;
}

ChunkCache::Pin ChunkCache::find(const ChunkKey& key) {
  Pin pin;
  if (entries_.size() == 0) return pin;
  Entry* const set = set_of(key.inode, key.chunk);
  for (std::size_t i = 0; i < ways; ++i) {
    Entry& entry = set[i];
    if (entry.chunk.load(std::memory_order_relaxed) != key.chunk ||
        entry.inode.load(std::memory_order_relaxed) != key.inode ||
        entry.stamp.load(std::memory_order_relaxed) != key.stamp)
      continue;
    const std::uint32_t before = entry.pins.fetch_add(1, std::memory_order_acquire);
    const bool same = (before & exclusive) == 0 &&
                      entry.stamp.load(std::memory_order_relaxed) == key.stamp &&
                      entry.chunk.load(std::memory_order_relaxed) == key.chunk &&
                      entry.inode.load(std::memory_order_relaxed) == key.inode;
    if (same && still_ours(entry)) {
      if (entry.used.load(std::memory_order_relaxed) == 0)
        entry.used.store(1, std::memory_order_relaxed);
      pin.cache_ = this;
      pin.entry_ = &entry;
      pin.fd_ = static_cast<int>(entry.fd.load(std::memory_order_relaxed)) - 1;
      return pin;
    }
    if (same) entry.stamp.store(0, std::memory_order_relaxed);  // replaced behind our back
    unpin(entry);
  }
  return pin;
}

// An entry of the set, held exclusively; null: all are pinned.
ChunkCache::Entry* ChunkCache::victim(Entry* set) {
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < ways; ++i) {
      Entry& entry = set[i];
      const bool empty = entry.stamp.load(std::memory_order_relaxed) == 0;
      if (round == 0 && !empty && entry.used.exchange(0, std::memory_order_relaxed) != 0) continue;
      std::uint32_t none = 0;
      if (entry.pins.compare_exchange_strong(none, exclusive, std::memory_order_acquire))
        return &entry;
    }
  }
  return nullptr;
}

void ChunkCache::close_entry(Entry& entry) {
  const int fd = static_cast<int>(entry.fd.load(std::memory_order_relaxed)) - 1;
  if (fd >= 0) {
    entry.seen.forget();
    if (still_ours(entry)) {
      privates_.close(fd);
    } else {
      privates_.forget(fd);
    }
  }
  entry.fd.store(0, std::memory_order_relaxed);
  entry.position.store(0, std::memory_order_relaxed);
  entry.stamp.store(0, std::memory_order_relaxed);
}

Result<ChunkCache::Pin> ChunkCache::open(const ChunkKey& key, int directory, bool create) {
  const auto name = file_name(key.inode, key.chunk);
  const int flags = O_RDWR | O_NOFOLLOW | O_NOATIME | (create ? O_CREAT : 0);
  auto opened = privates_.open(directory, name.data(), flags, 0600);
  if (!opened.ok() && opened.error() == Error(EMFILE)) {
    drop_all();
    opened = privates_.open(directory, name.data(), flags, 0600);
  }
  if (!opened.ok()) return opened.error();
  Pin pin;
  pin.cache_ = this;
  pin.fd_ = *opened;
  if (entries_.size() == 0) return pin;
  Entry* const entry = victim(set_of(key.inode, key.chunk));
  if (entry == nullptr) return pin;  // all pinned: used once
  touched_.store(true, std::memory_order_relaxed);
  close_entry(*entry);
  std::int64_t position = 0;
  if (privates_.reachable()) {
    position = position_tag + positions_given_.fetch_add(1, std::memory_order_relaxed);
    if (sys::lseek(pin.fd_, position, SEEK_SET) != position) position = 0;
  }
  entry->seen.forget();
  entry->position.store(position, std::memory_order_relaxed);
  entry->inode.store(key.inode, std::memory_order_relaxed);
  entry->chunk.store(key.chunk, std::memory_order_relaxed);
  entry->fd.store(static_cast<std::uint32_t>(pin.fd_ + 1), std::memory_order_relaxed);
  entry->stamp.store(key.stamp, std::memory_order_relaxed);
  entry->used.store(1, std::memory_order_relaxed);
  entry->pins.fetch_add(1 - exclusive, std::memory_order_release);  // ours, no longer exclusive
  pin.entry_ = entry;
  return pin;
}

void ChunkCache::discard(Pin& pin) {
  if (pin.entry_ != nullptr) pin.entry_->stamp.store(0, std::memory_order_relaxed);
}

void ChunkCache::drop(std::uint64_t inode, std::uint64_t chunks) {
  if (!touched_.load(std::memory_order_relaxed)) return;
  const auto close_matching = [&](Entry& entry) {
    if (entry.inode.load(std::memory_order_relaxed) != inode) return;
    std::uint32_t none = 0;
    if (!entry.pins.compare_exchange_strong(none, exclusive, std::memory_order_acquire)) return;
    if (entry.inode.load(std::memory_order_relaxed) == inode) close_entry(entry);
    entry.pins.fetch_sub(exclusive, std::memory_order_release);
  };
  if (chunks < sets_) {
    for (std::uint64_t chunk = 0; chunk < chunks; ++chunk) {
      Entry* const set = set_of(inode, chunk);
      for (std::size_t i = 0; i < ways; ++i) close_matching(set[i]);
    }
  } else {
    for (std::size_t i = 0; i < entries_.size(); ++i) close_matching(entries_[i]);
  }
}

void ChunkCache::drop_all() {
  if (!touched_.load(std::memory_order_relaxed)) return;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    std::uint32_t none = 0;
    if (entry.fd.load(std::memory_order_relaxed) == 0 ||
        !entry.pins.compare_exchange_strong(none, exclusive, std::memory_order_acquire))
      continue;
    close_entry(entry);
    entry.pins.fetch_sub(exclusive, std::memory_order_release);
  }
}

void ChunkCache::leave(int fd) {
  if (!touched_.load(std::memory_order_relaxed)) return;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    while (static_cast<int>(entry.fd.load(std::memory_order_relaxed)) - 1 == fd) {
      std::uint32_t none = 0;
      if (!entry.pins.compare_exchange_strong(none, exclusive, std::memory_order_acquire)) {
        sys::yield();  // a transfer of another thread
        continue;
      }
      close_entry(entry);
      entry.pins.fetch_sub(exclusive, std::memory_order_release);
    }
  }
}

// What was being replaced at that moment is lost to the child: one number, until it ends.
void ChunkCache::forked() {
  if (!touched_.load(std::memory_order_relaxed)) return;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    const std::uint32_t pins = entry.pins.load(std::memory_order_relaxed);
    if (pins == 0) continue;
    if ((pins & exclusive) != 0) {
      entry.stamp.store(0);
      entry.fd.store(0);
    }
    entry.pins.store(0);
  }
}

ChunkCache::Pin::Pin(Pin&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      entry_(std::exchange(other.entry_, nullptr)),
      fd_(std::exchange(other.fd_, -1)) {}

ChunkCache::Pin::~Pin() {
  if (fd_ < 0) return;
  if (entry_ != nullptr) {
    cache_->unpin(*entry_);
  } else {
    cache_->privates_.close(fd_);
  }
}

}  // namespace benchfs
