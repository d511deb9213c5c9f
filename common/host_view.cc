#include "common/host_view.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "common/placement.h"
#include "common/sys.h"

namespace benchfs {
namespace {

struct Key {
  Key(std::uint64_t directory_, std::string_view text)
      : directory(directory_),
        name_bytes(static_cast<std::uint8_t>(text.size())),
        name(view_name(text)) {}
  bool is_of(const ViewEntry& entry) const {
    return entry.directory == directory && entry.name_bytes == name_bytes && entry.name == name;
  }
  std::uint64_t directory;
  std::uint8_t name_bytes;
  ViewName name;
};

}  // namespace

ViewName view_name(std::string_view name) {
  ViewName out{};
  if (name.size() <= out.size()) {
    std::memcpy(out.data(), name.data(), name.size());
    return out;
  }
  const auto hash = hash_bytes_128(name);
  std::memcpy(out.data(), name.data(), out.size() - sizeof hash);
  std::memcpy(out.data() + out.size() - sizeof hash, &hash, sizeof hash);
  return out;
}

// Ranks count alike; so that their inodes do not push out each other, each begins elsewhere.
std::size_t HostView::inode_index(std::uint64_t number) {
  return (number + home_rank(number) * std::uint64_t{0x9e3779b1}) & (inode_slots - 1);
}

std::size_t HostView::entry_index(std::uint64_t hash) {
  return (hash >> 20 & (entry_slots / ways - 1)) * ways;
}

void HostView::reset(int memory) {
  constexpr auto slot_bytes = static_cast<off_t>(sizeof(ViewSlot));
  constexpr auto end = static_cast<off_t>(sizeof(HostView));
  const std::byte* const base = reinterpret_cast<std::byte*>(this);
  for (off_t at = sys::lseek(memory, 0, SEEK_DATA); at >= 0 && at < end;) {
    const off_t hole = std::min(sys::lseek(memory, at, SEEK_HOLE), end);
    if (hole <= at) return;
    for (const auto slots : {std::span<ViewSlot>(inodes), std::span<ViewSlot>(entries)}) {
      const off_t first = reinterpret_cast<std::byte*>(slots.data()) - base;
      const off_t from = std::max<off_t>(at - first, 0) / slot_bytes;
      const off_t to =
          std::min((hole - first + slot_bytes - 1) / slot_bytes, static_cast<off_t>(slots.size()));
      for (off_t i = from; i < to; ++i) slots[static_cast<std::size_t>(i)].reset();
    }
    at = sys::lseek(memory, hole, SEEK_DATA);
  }
}

void HostView::warm() {
  constexpr long page = 4096;
  const long begin = (sys::pointer(entries.data()) + page - 1) & -page;
  const long end = sys::pointer(entries.data() + entries.size()) & -page;
  sys::call(SYS_madvise, begin, end - begin, MADV_POPULATE_WRITE);  // without it, pages come later
}

void LeasedView::reset(int memory, std::uint32_t ranks) {
  for (std::uint32_t home = 0; home < ranks; ++home)
    if (good_until[home].load() != 0) good_until[home].store(0);
  view.reset(memory);
}

std::optional<ViewInode> HostView::inode(std::uint64_t number) const {
  const auto words = inodes[inode_index(number)].read();
  if (!words.has_value() || words->front() != number) return {};
  return std::bit_cast<ViewInode>(*words);
}

std::optional<ViewEntry> HostView::entry(std::uint64_t directory, std::string_view name) const {
  const Key key(directory, name);
  const ViewSlot* const set = &entries[entry_index(name_hash(directory, name))];
  for (std::size_t i = 0; i < ways; ++i) {
    if (set[i].word(0) != directory) continue;
    const auto words = set[i].read();
    if (!words.has_value()) continue;
    const auto entry = std::bit_cast<ViewEntry>(*words);
    if (key.is_of(entry)) return entry;
  }
  return {};
}

const ViewSlot* HostView::publish(const ViewInode& inode) {
  ViewSlot& slot = inodes[inode_index(inode.inode)];
  const auto words = std::bit_cast<ViewSlot::Words>(inode);
  if (slot.read() != words) slot.write(words);
  return &slot;
}

void HostView::forget(std::uint64_t number) {
  ViewSlot& slot = inodes[inode_index(number)];
  if (slot.word(0) == number) slot.write({});
}

const ViewSlot* HostView::publish(std::uint64_t directory, std::string_view name,
                                  std::uint64_t inode, std::uint32_t type) {
  const Key key(directory, name);
  const ViewEntry entry{.directory = directory,
                        .inode = inode,
                        .type = static_cast<std::uint16_t>(type),
                        .name_bytes = key.name_bytes,
                        .name = key.name};
  ViewSlot* const set = &entries[entry_index(name_hash(directory, name))];
  // Its own place, else an empty one, else that of a name that is missing. What exists goes only
  // for what exists: which of them depends on the inode, so that new files do not push out each
  // other.
  ViewSlot* place = inode != 0 ? &set[inode % ways] : nullptr;
  bool empty = false;
  for (std::size_t i = 0; i < ways; ++i) {
    if (set[i].word(0) == 0) {
      if (!empty) place = &set[i];
      empty = true;
      continue;
    }
    const auto seen = std::bit_cast<ViewEntry>(*set[i].read());
    if (key.is_of(seen)) {
      place = &set[i];
      break;
    }
    if (!empty && seen.inode == 0) place = &set[i];
  }
  const auto words = std::bit_cast<ViewSlot::Words>(entry);
  if (place != nullptr && place->read() != words) place->write(words);
  return place;
}

void HostView::forget(std::uint64_t directory, std::string_view name) {
  const Key key(directory, name);
  ViewSlot* const set = &entries[entry_index(name_hash(directory, name))];
  for (std::size_t i = 0; i < ways; ++i)
    if (key.is_of(std::bit_cast<ViewEntry>(*set[i].read()))) set[i].write({});
}

void HostView::forget_entry(std::uint64_t directory, std::uint64_t hash) {
  ViewSlot* const set = &entries[entry_index(hash)];
  for (std::size_t i = 0; i < ways; ++i)
    if (set[i].word(0) == directory) set[i].write({});
}

}  // namespace benchfs
