// HostView: what a server lets the clients of its host read without asking: attributes of inodes at
// home at this rank, and what names in its directories lead to. LeasedView: the same of ranks on
// other hosts, as far as those have leased it to this host.
//
// A cache in a memfd of fixed size that the rank alone writes and clients map read-only. Each slot
// is one cache line under a sequence lock; whatever is missing, being written or too long is asked
// for. doc/storage.md says what is published when.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/content_cells.h"
#include "common/placement.h"
#include "common/sys.h"

namespace benchfs {

// Words under a sequence number, odd while they are written. One writer at a time.
template <class Word, std::size_t words_count>
class SequencedWords {
 public:
  using Words = std::array<std::uint64_t, words_count>;

  // None: the writer is at work, or died at it.
  std::optional<Words> read() const {
    for (int tries = 0; tries < 16; ++tries) {
      const std::uint64_t before = sequence_.load(std::memory_order_acquire);
      Words words;
      for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = words_[i].load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      if ((before & 1) == 0 && sequence_.load(std::memory_order_relaxed) == before) return words;
    }
    return {};
  }
  std::uint64_t word(std::size_t i) const { return words_[i].load(std::memory_order_relaxed); }

  void write(const Words& words) { write_from(sequence_.load(std::memory_order_relaxed), words); }
  // Empties it for another writer: the one before may have died at any point of write(). The number
  // goes on, so that no reader takes words of both for one state.
  void reset() {
    const std::uint64_t left = sequence_.load(std::memory_order_relaxed);
    if (left != 0) write_from(left + (left & 1), {});
  }

 private:
  void write_from(std::uint64_t even, const Words& words) {
    sequence_.store(even + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < words.size(); ++i)
      words_[i].store(words[i], std::memory_order_relaxed);
    sequence_.store(even + 2, std::memory_order_release);
  }

  Word sequence_;
  std::array<Word, words_count> words_;
};

class alignas(64) ViewSlot : public SequencedWords<std::atomic<std::uint64_t>, 7> {};
static_assert(sizeof(ViewSlot) == 64);

// What of an inode is elsewhere.
enum Elsewhere : std::uint16_t {
  nothing_elsewhere = 0,
  written_here = 1,  // in the tables of the host, which alone may write the file: size and times
  read_here = 2,     // in the tables of the host, as nobody may write the file: the access time
  in_parts = 3,      // of a directory that was split, all but its mode and owner, and some entries
};

struct ViewInode {
  // A directory that was split, or a part of one, and which cookies its entries have. They never
  // become more: who has read that a name's is among them, and then its entry, has read what was
  // true at one moment.
  static ViewInode in_range(std::uint64_t inode, std::uint64_t low, std::uint64_t high) {
    ViewInode shown{};
    shown.inode = inode;
    shown.extent = low;
    shown.modified = static_cast<std::int64_t>(high);
    shown.elsewhere = Elsewhere::in_parts;
    return shown;
  }
  bool is_split() const { return elsewhere == Elsewhere::in_parts; }
  bool has(std::uint64_t cookie) const {
    return cookie >= extent && cookie < static_cast<std::uint64_t>(modified);
  }

  // A size, and for a small file where its bytes are.
  static std::uint64_t extent_of(std::uint64_t size, Stored stored) {
    return stored == in_chunks ? size : small | std::uint64_t{stored} << 32 | size;
  }
  std::uint64_t size() const { return is_small() ? extent & UINT32_MAX : extent; }
  Stored stored() const {
    return is_small() ? static_cast<Stored>((extent & ~small) >> 32) : in_chunks;
  }

  std::uint64_t inode;  // 0: empty
  std::uint64_t extent;
  std::int64_t accessed;
  std::int64_t modified;
  std::int64_t changed;
  std::uint16_t mode;
  std::uint16_t elsewhere;  // Elsewhere
  std::uint32_t links;
  std::uint32_t uid;
  std::uint32_t gid;

 private:
  static constexpr std::uint64_t small = std::uint64_t{1} << 63;
  bool is_small() const { return (extent & small) != 0; }
};
static_assert(sizeof(ViewInode) == sizeof(ViewSlot::Words));

// A name of up to 37 bytes, or the first 21 of a longer one and 128 bits of its hash.
using ViewName = std::array<char, 37>;
ViewName view_name(std::string_view name);

struct ViewEntry {
  std::uint64_t directory;  // 0: empty
  std::uint64_t inode;      // 0: there is no such name
  std::uint16_t type;       // S_IFMT bits
  std::uint8_t name_bytes;
  ViewName name;
};
static_assert(sizeof(ViewEntry) == sizeof(ViewSlot::Words));

struct HostView {
  static constexpr std::uint64_t magic_value = 0x3177656956734642;  // "BFsView1"
  static constexpr std::size_t inode_slots = std::size_t{1} << 18;
  static constexpr std::size_t entry_slots = std::size_t{1} << 18;
  static constexpr std::size_t ways = 4;

  alignas(64) std::uint64_t magic;
  std::array<ViewSlot, inode_slots> inodes;   // by counter
  std::array<ViewSlot, entry_slots> entries;  // by hash of directory and name

  std::optional<ViewInode> inode(std::uint64_t number) const;
  std::optional<ViewEntry> entry(std::uint64_t directory, std::string_view name) const;

  // For the one writer. A new one first empties what the one before it showed; `memory` is the
  // memfd this lies in, of which only pages that were ever written are touched.
  void reset(int memory);
  // Gets the memory of the entries, 16 MiB: names lie scattered, so each of the first thousands
  // would wait for a page of its own.
  void warm();
  // publish() says in which slot it lies; null: there is no room.
  const ViewSlot* publish(const ViewInode& inode);
  void forget(std::uint64_t number);
  const ViewSlot* publish(std::uint64_t directory, std::string_view name, std::uint64_t inode,
                          std::uint32_t type);
  void forget(std::uint64_t directory, std::string_view name);
  // By the name's hash alone: others of the directory that share its set go too.
  void forget_entry(std::uint64_t directory, std::uint64_t hash);

 private:
  static std::size_t inode_index(std::uint64_t number);
  static std::size_t entry_index(std::uint64_t hash);
};

// Written by the leader of the host.
struct LeasedView {
  HostView view;
  // By home rank, in CLOCK_MONOTONIC ns: what the view holds of that home may be used before this
  // time. Until then the home lets no change be seen before this host has dropped its lease.
  alignas(64) std::array<std::atomic<std::int64_t>, ranks_max> good_until;

  // For a writer that starts: nothing of what the one before it showed is used any more. `memory`:
  // see HostView.
  void reset(int memory, std::uint32_t ranks);

  // What `look(view)` finds (an optional) if it is good, as of some moment during the call.
  template <class Look>
  auto read(std::uint32_t home, Look look) const -> decltype(look(view)) {
    const std::int64_t good = good_until[home].load(std::memory_order_acquire);
    if (good == 0) return {};
    auto found = look(view);
    if (!found.has_value() || sys::now_ns(CLOCK_MONOTONIC_COARSE) >= good) return {};
    return found;
  }
};

}  // namespace benchfs
