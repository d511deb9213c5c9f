#include "cli/consistency.h"

#include <sys/stat.h>

#include <algorithm>

#include "common/placement.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr const char* dangling_entry = "dangling-entry";
constexpr const char* double_entry = "double-entry";
constexpr const char* misplaced_entry = "misplaced-entry";
constexpr const char* wrong_type = "wrong-type";
constexpr const char* missing_entry = "missing-entry";
constexpr const char* link_count = "link-count";
constexpr const char* orphan_inode = "orphan-inode";
constexpr const char* wrong_parent = "wrong-parent";
constexpr const char* broken_split = "broken-split";
constexpr const char* detached = "detached-directory";
constexpr const char* orphan_chunk = "orphan-chunk";
constexpr const char* misplaced_chunk = "misplaced-chunk";
constexpr const char* chunk_size = "chunk-size";
constexpr const char* content_size = "content-size";
constexpr const char* stranger = "strange-file";
constexpr const char* left_over = "left-over";

constexpr int depth_max = 1 << 20;  // of directories; more is a circle

bool is_directory(std::uint32_t mode) { return (mode & S_IFMT) == S_IFDIR; }

const char* type_name(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    default:
      return "inode of unknown type";
  }
}

std::string text_of(std::uint64_t number) { return std::to_string(number); }

std::string counted(std::uint64_t number, const char* one, const char* many) {
  return text_of(number) + " " + (number == 1 ? one : many);
}

}  // namespace

std::uint64_t Consistency::keep(std::string_view name) {
  if (name.empty()) return 0;
  if (names_.empty()) names_.push_back('\0');
  const std::uint64_t at = names_.size();
  const std::string_view part = name.substr(0, wire::name_bytes_max);
  names_.push_back(static_cast<char>(part.size()));
  names_.append(part);
  return at;
}

std::string_view Consistency::kept(std::uint64_t at) const {
  if (at == 0) return {};
  return std::string_view(names_).substr(at + 1, static_cast<unsigned char>(names_[at]));
}

void Consistency::note(const char* kind, std::uint64_t inode, std::string text) {
  damage_.push_back({.kind = kind, .inode = inode, .text = std::move(text)});
}

std::string Consistency::path(std::uint64_t directory, std::string_view name) const {
  std::string text = "/" + one_line(name);
  for (int depth = 0; directory != root_inode && depth < depth_max; ++depth) {
    const auto found = inodes_.find(directory);
    if (found == inodes_.end() || found->second.directory == 0 ||
        text.size() > wire::path_bytes_max)
      return "#" + text_of(directory) + text;
    text = "/" + one_line(kept(found->second.entry_at)) + text;
    directory = found->second.directory;
  }
  return text;
}

std::string Consistency::name_of(std::uint64_t number) const {
  const std::string text = "inode " + text_of(number);
  if (number == root_inode) return text + " (/)";
  const auto found = inodes_.find(number);
  if (found == inodes_.end() || found->second.directory == 0) return text;
  return text + " (" + path(found->second.directory, kept(found->second.entry_at)) + ")";
}

void Consistency::add(std::uint32_t rank, const wire::CheckedInode& inode, std::string_view name) {
  if (inode.open == wire::checked_part) {
    parts_[inode.inode].push_back(
        {.low = inode.size, .high = inode.parent, .rank = rank, .subdirectories = inode.links});
    return;
  }
  Known known;
  known.size = inode.size;
  known.mode = inode.mode;
  known.links = inode.links;
  known.open = inode.open != 0;
  known.small = inode.small != 0;
  if (known.small && inode.size > cell_bytes)
    note(content_size, inode.inode,
         "inode " + text_of(inode.inode) + ": " + counted(inode.size, "byte", "bytes") +
             ", more than can lie with an inode, and not in chunks");
  if (is_directory(inode.mode)) {
    known.parent = inode.parent;
    known.name_at = keep(name);
  }
  if (!inodes_.emplace(inode.inode, known).second) return;  // told again: changed meanwhile
  ++(is_directory(inode.mode) ? checked_.directories : checked_.files);
}

void Consistency::add(std::uint32_t rank, const wire::CheckedEntry& entry, std::string_view name) {
  ++checked_.entries;
  const auto directory = inodes_.find(entry.directory);
  if (directory == inodes_.end() || !is_directory(directory->second.mode))
    return note(misplaced_entry, entry.directory,
                "entry " + path(entry.directory, name) + " of inode " + text_of(entry.inode) +
                    " at rank " + text_of(rank) + ": there is no such directory");
  if (entry.type == S_IFDIR) ++directory->second.subdirectories;
  if (entry.cookie != entry_cookie(entry.directory, name))
    note(misplaced_entry, entry.inode,
         "entry " + path(entry.directory, name) + " of inode " + text_of(entry.inode) +
             ": not at the place of its name");
  if (!in_its_part(rank, entry))
    note(misplaced_entry, entry.inode,
         "entry " + path(entry.directory, name) + " of inode " + text_of(entry.inode) +
             " at rank " + text_of(rank) + ": not in the part of the directory that it belongs to");
  if (!entries_.emplace(entry.directory, hash_bytes_128(name)[0]).second)
    note(double_entry, entry.inode,
         "entry " + path(entry.directory, name) + ": the name is there twice");
  const auto found = inodes_.find(entry.inode);
  if (found == inodes_.end())
    return note(
        dangling_entry, entry.inode,
        "entry " + path(entry.directory, name) + ": there is no inode " + text_of(entry.inode));
  Known& inode = found->second;
  if ((inode.mode & S_IFMT) != entry.type)
    note(wrong_type, entry.inode,
         "entry " + path(entry.directory, name) + " says " + type_name(entry.type) + ", inode " +
             text_of(entry.inode) + " is a " + type_name(inode.mode));
  ++inode.entries;
  if (inode.entries == 1) {
    inode.directory = entry.directory;
    inode.entry_at = keep(name);
  } else if (is_directory(inode.mode) || inode.entries == inode.links + 1) {
    note(double_entry, entry.inode,
         "entry " + path(entry.directory, name) + " is one too many of " + name_of(entry.inode) +
             ", link count " + text_of(is_directory(inode.mode) ? 1 : inode.links));
  }
}

bool Consistency::in_its_part(std::uint32_t rank, const wire::CheckedEntry& entry) const {
  const auto parts = parts_.find(entry.directory);
  if (parts == parts_.end()) return true;
  return std::ranges::any_of(parts->second, [&](const Part& part) {
    return part.rank == rank && part.low <= entry.cookie && entry.cookie < part.high;
  });
}

bool Consistency::is_long(const wire::CheckedChunk& chunk, const Known& inode) const {
  if (chunk.bytes == 0) return false;
  const std::uint64_t begin = chunk.index * chunk_bytes_;
  if (chunk.index > wire::file_bytes_max / chunk_bytes_ || begin >= inode.size) return true;
  return chunk.bytes > std::min(chunk_bytes_, inode.size - begin);
}

void Consistency::add(std::uint32_t rank, const wire::CheckedChunk& chunk) {
  ++checked_.chunks;
  const std::string text = "chunk " + text_of(chunk.index) + " of inode " + text_of(chunk.inode) +
                           " at rank " + text_of(rank) + ", " +
                           counted(chunk.bytes, "byte", "bytes");
  const auto found = inodes_.find(chunk.inode);
  if (found == inodes_.end() || (found->second.mode & S_IFMT) != S_IFREG)
    return note(orphan_chunk, chunk.inode, text + ": there is no such file");
  const std::uint32_t place = stripe_rank(chunk.inode, chunk.index, ranks_);
  if (place != rank)
    note(misplaced_chunk, chunk.inode, text + ": it belongs to rank " + text_of(place));
  // Who has the file open may have begun its chunks, which its home learns later.
  if (found->second.small && !found->second.open)
    note(misplaced_chunk, chunk.inode, text + ": the bytes of the file are with its inode");
  if (is_long(chunk, found->second)) long_.push_back({.rank = rank, .chunk = chunk});
}

void Consistency::add_strangers(std::uint32_t rank, std::uint64_t files) {
  if (files == 0) return;
  note(stranger, 0,
       counted(files, "file", "files") + " in chunks/ of rank " + text_of(rank) +
           " that BenchFS did not make");
}

void Consistency::add_left_over(std::uint32_t rank, const wire::CheckStateReply& state,
                                std::string_view name) {
  if (state.locked_names > 0)
    note(left_over, 0,
         counted(state.locked_names, "locked name", "locked names") + " at rank " + text_of(rank) +
             ", one is " + path(state.locked_directory, name));
  if (state.transactions > 0)
    note(left_over, 0,
         counted(state.transactions, "transaction", "transactions") + " at rank " + text_of(rank) +
             " that nothing ends");
  if (state.removals > 0)
    note(left_over, 0,
         counted(state.removals, "removal", "removals") + " of chunks by rank " + text_of(rank) +
             " that nothing ends");
}

std::vector<std::uint64_t> Consistency::sizes_to_ask() const {
  std::vector<std::uint64_t> inodes;
  for (const LongChunk& item : long_)
    if (inodes_.at(item.chunk.inode).open) inodes.push_back(item.chunk.inode);
  std::ranges::sort(inodes);
  inodes.erase(std::unique(inodes.begin(), inodes.end()), inodes.end());
  return inodes;
}

void Consistency::learn_size(std::uint64_t inode, std::uint64_t size) {
  const auto found = inodes_.find(inode);
  if (found != inodes_.end()) found->second.size = std::max(found->second.size, size);
}

void Consistency::check_links(std::uint64_t number, const Known& inode,
                              std::vector<Damage>& found) const {
  const auto damage = [&](const char* kind, const std::string& text) {
    found.push_back({.kind = kind, .inode = number, .text = text});
  };
  const std::string counts =
      "link count " + text_of(inode.links) + ", " + counted(inode.entries, "entry", "entries");
  if (inode.entries == 0 && inode.links == 0) {
    if (!inode.open)
      damage(orphan_inode,
             name_of(number) + ", a " + type_name(inode.mode) + ": neither named nor open");
  } else if (inode.entries == 0) {
    damage(missing_entry, name_of(number) + ", a " + type_name(inode.mode) + ": " + counts);
  } else if (inode.entries != inode.links) {
    damage(link_count, name_of(number) + ", a " + type_name(inode.mode) + ": " + counts);
  }
}

bool Consistency::leads_to_root(std::uint64_t directory) const {
  for (int depth = 0; depth < depth_max; ++depth) {
    if (directory == root_inode) return true;
    const auto found = inodes_.find(directory);
    if (found == inodes_.end() || found->second.directory == 0) return true;  // named elsewhere
    directory = found->second.directory;
  }
  return false;
}

void Consistency::check_directory(std::uint64_t number, const Known& inode,
                                  std::vector<Damage>& found) const {
  const auto damage = [&](const char* kind, const std::string& text) {
    found.push_back({.kind = kind, .inode = number, .text = text});
  };
  std::uint32_t links = inode.links;
  if (const auto parts = parts_.find(number); parts != parts_.end())
    for (const Part& part : parts->second) links += part.subdirectories;
  if (links != 2 + inode.subdirectories)
    damage(link_count, name_of(number) + ", a directory: link count " + text_of(links) + ", " +
                           counted(inode.subdirectories, "subdirectory", "subdirectories"));
  if (number == root_inode) {
    if (inode.entries > 0) damage(double_entry, "the root has a name");
    return;
  }
  if (inode.entries == 0)
    return damage(missing_entry, name_of(number) + ", a directory that says it is " +
                                     path(inode.parent, kept(inode.name_at)) + ": no entry");
  if (inode.entries == 1 &&
      (inode.parent != inode.directory || kept(inode.name_at) != kept(inode.entry_at)))
    damage(wrong_parent, name_of(number) + ", a directory, says that it is '" +
                             one_line(kept(inode.name_at)) + "' in inode " + text_of(inode.parent));
  if (!leads_to_root(number))
    damage(detached, name_of(number) + ", a directory that lies in itself");
}

// Together they hold every cookie once.
void Consistency::check_parts(std::uint64_t directory, std::vector<Part> parts,
                              std::vector<Damage>& found) const {
  if (!inodes_.contains(directory)) {
    found.push_back({.kind = orphan_inode,
                     .inode = directory,
                     .text = "a part of inode " + text_of(directory) + " at rank " +
                             text_of(parts.front().rank) + ": there is no such directory"});
    return;
  }
  std::ranges::sort(parts, {}, &Part::low);
  std::uint64_t next = 0;
  for (const Part& part : parts) {
    if (part.low != next)
      found.push_back({.kind = broken_split,
                       .inode = directory,
                       .text = name_of(directory) + ", a directory that was split: " +
                               (part.low > next ? "no part holds" : "two parts hold") +
                               " what comes before the part at rank " + text_of(part.rank)});
    next = std::max(next, part.high);
  }
  if (next != cookies_end)
    found.push_back(
        {.kind = broken_split,
         .inode = directory,
         .text = name_of(directory) + ", a directory that was split: its end is missing"});
}

std::vector<Damage> Consistency::damage() const {
  std::vector<Damage> found = damage_;
  for (const auto& [number, inode] : inodes_) {
    if (is_directory(inode.mode))
      check_directory(number, inode, found);
    else
      check_links(number, inode, found);
  }
  for (const auto& [number, parts] : parts_) check_parts(number, parts, found);
  if (!inodes_.contains(root_inode))
    found.push_back({.kind = missing_entry, .inode = root_inode, .text = "there is no root"});
  for (const LongChunk& item : long_) {
    const Known& inode = inodes_.at(item.chunk.inode);
    if (!is_long(item.chunk, inode)) continue;
    found.push_back({.kind = chunk_size,
                     .inode = item.chunk.inode,
                     .text = "chunk " + text_of(item.chunk.index) + " of " +
                             name_of(item.chunk.inode) + " at rank " + text_of(item.rank) + ": " +
                             counted(item.chunk.bytes, "byte", "bytes") +
                             " reach beyond the size " + text_of(inode.size)});
  }
  std::ranges::sort(found, [](const Damage& a, const Damage& b) {
    return std::pair(a.inode, std::string_view(a.text)) <
           std::pair(b.inode, std::string_view(b.text));
  });
  return found;
}

}  // namespace benchfs::cli
