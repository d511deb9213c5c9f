// ChunkCache: descriptors of chunk files of this host, so that most direct reads and writes are one
// system call.
//
// A table of sets of eight, without locks: a look-up pins the entry, and a pinned entry is neither
// closed nor given to another chunk. An entry is good for one generation of an open inode; after a
// truncation or a new opening the file is opened again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "client-preload/fs/lazy_array.h"
#include "client-preload/fs/private_descriptors.h"
#include "client-preload/fs/recently.h"
#include "common/result.h"

namespace benchfs {

struct ChunkKey {
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint64_t
      stamp;  // size-table entry << 32 | its generation: unique as long as the table lives
};

class ChunkCache {
  struct Entry;

 public:
  explicit ChunkCache(PrivateDescriptors& privates);

  // A descriptor that stays open until the pin goes.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept;
    Pin& operator=(Pin&& other) = delete;
    ~Pin();
    int fd() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

   private:
    friend class ChunkCache;
    ChunkCache* cache_ = nullptr;
    Entry* entry_ = nullptr;  // null: not cached, closed with the pin
    int fd_ = -1;
  };

  // Empty: not cached (or no longer good).
  Pin find(const ChunkKey& key);
  // Opens the chunk's file and keeps it. `create`: make it if it is missing, else ENOENT.
  Result<Pin> open(const ChunkKey& key, int directory, bool create);

  // The pinned descriptor turned out to be closed or another file: never use it again.
  void discard(Pin& pin);
  // The last descriptor of the inode in this process goes; it had chunks below `chunks` open.
  void drop(std::uint64_t inode, std::uint64_t chunks);
  // Numbers are short: close what nobody uses.
  void drop_all();
  // The application wants the number `fd`.
  void leave(int fd);
  void forked();  // in the child: the parent's other threads pin nothing here

 private:
  static constexpr std::uint32_t exclusive = 1u << 31;
  static constexpr std::size_t ways = 8;
  static constexpr std::int64_t position_tag = std::int64_t{1} << 41;

  struct alignas(64) Entry {
    std::atomic<std::uint32_t> pins;
    std::atomic<std::uint32_t> used;  // since the last round of the second-chance hand
    std::atomic<std::uint64_t> inode;
    std::atomic<std::uint64_t> chunk;
    std::atomic<std::uint64_t> stamp;    // 0: the entry is empty or void
    std::atomic<std::int64_t> position;  // of the descriptor, if it is to be checked
    std::atomic<std::uint32_t> fd;       // number + 1, so that zeroed memory is an empty table
    Recently seen;                       // as this chunk's descriptor
  };

  Entry* set_of(std::uint64_t inode, std::uint64_t chunk);
  Entry* victim(Entry* set);
  bool still_ours(Entry& entry) const;
  void close_entry(Entry& entry);  // held exclusively
  void unpin(Entry& entry) { entry.pins.fetch_sub(1, std::memory_order_release); }

  PrivateDescriptors& privates_;
  std::size_t sets_;
  LazyArray<Entry> entries_;
  std::atomic<std::int64_t> positions_given_{0};
  std::atomic<bool> touched_{false};
};

}  // namespace benchfs
