// Consistency: whether inodes, entries and chunk files of all ranks fit together. Plain memory, for
// one thread: what servers told is added, and the damage is read; check_pass.h asks the servers.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/wire.h"

namespace benchfs::cli {

struct Damage {
  const char* kind;  // one of those in consistency.cc, as benchfs(1) lists them
  std::uint64_t inode;
  std::string text;  // one line, with numbers and names
  friend bool operator==(const Damage& a, const Damage& b) {
    return a.inode == b.inode && a.text == b.text;
  }
};

// Counts of what was looked at.
struct Checked {
  std::uint64_t directories = 0;
  std::uint64_t files = 0;  // and symlinks
  std::uint64_t entries = 0;
  std::uint64_t chunks = 0;
};

class Consistency {
 public:
  Consistency(std::uint32_t ranks, std::uint64_t chunk_bytes)
      : ranks_(ranks), chunk_bytes_(chunk_bytes) {}

  // In this order: all inodes, all entries, all chunk files. `rank`: who told.
  void add(std::uint32_t rank, const wire::CheckedInode& inode, std::string_view name);
  void add(std::uint32_t rank, const wire::CheckedEntry& entry, std::string_view name);
  void add(std::uint32_t rank, const wire::CheckedChunk& chunk);
  void add_strangers(std::uint32_t rank, std::uint64_t files);
  void add_left_over(std::uint32_t rank, const wire::CheckStateReply& state, std::string_view name);

  // Open files whose chunk files reach further than the home knew: their writers may have gone on.
  std::vector<std::uint64_t> sizes_to_ask() const;
  void learn_size(std::uint64_t inode, std::uint64_t size);

  // After all was added; sorted by inode.
  std::vector<Damage> damage() const;
  const Checked& checked() const { return checked_; }

 private:
  struct Known {
    std::uint64_t size = 0;
    std::uint64_t parent = 0;     // of a directory, as it says
    std::uint64_t name_at = 0;    // of a directory, in its own words
    std::uint64_t directory = 0;  // that holds the first entry found
    std::uint64_t entry_at = 0;   // its name
    std::uint32_t mode = 0;
    std::uint32_t links = 0;
    std::uint32_t entries = 0;         // found
    std::uint32_t subdirectories = 0;  // entries of that type found in it
    bool open = false;
    bool small = false;
  };
  struct Part {  // holds cookies [low, high)
    std::uint64_t low;
    std::uint64_t high;
    std::uint32_t rank;
    std::uint32_t subdirectories;  // that the directory itself does not count
  };
  struct LongChunk {
    std::uint32_t rank;
    wire::CheckedChunk chunk;
  };

  std::uint64_t keep(std::string_view name);  // in names_
  std::string_view kept(std::uint64_t at) const;
  // "/a/b", as entries tell; "#5/b" below a directory that none leads to.
  std::string path(std::uint64_t directory, std::string_view name) const;
  std::string name_of(std::uint64_t inode) const;  // "inode 5 (/a/b)"
  void note(const char* kind, std::uint64_t inode, std::string text);
  void check_links(std::uint64_t number, const Known& inode, std::vector<Damage>& found) const;
  void check_directory(std::uint64_t number, const Known& inode, std::vector<Damage>& found) const;
  bool in_its_part(std::uint32_t rank, const wire::CheckedEntry& entry) const;
  void check_parts(std::uint64_t directory, std::vector<Part> parts,
                   std::vector<Damage>& found) const;
  bool leads_to_root(std::uint64_t directory) const;
  bool is_long(const wire::CheckedChunk& chunk, const Known& inode) const;

  std::uint32_t ranks_;
  std::uint64_t chunk_bytes_;
  absl::flat_hash_map<std::uint64_t, Known> inodes_;
  absl::flat_hash_map<std::uint64_t, std::vector<Part>> parts_;  // of directories that were split
  absl::flat_hash_set<std::pair<std::uint64_t, std::uint64_t>> entries_;  // hashes
  std::string names_;           // a length byte before each; offset 0 is the empty name
  std::vector<Damage> damage_;  // seen while adding
  std::vector<LongChunk> long_;
  Checked checked_;
};

}  // namespace benchfs::cli
