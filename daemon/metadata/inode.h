// What a rank knows of the inodes that are at home here.
#pragma once

#include <absl/container/inlined_vector.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/content_cells.h"
#include "common/wire.h"
#include "daemon/loop/async_mutex.h"
#include "daemon/metadata/entries.h"
#include "daemon/metadata/partition.h"
#include "daemon/metadata/xattrs.h"

namespace benchfs {

struct Directory {
  std::uint64_t parent;  // root: itself
  std::string name;      // in its parent
  std::uint32_t subdirectories = 0;
  Entries entries;
  std::unique_ptr<Partition> partition;  // null: it was never split, all entries are here

  static EntryKeyView key(std::uint64_t inode, std::string_view name);
  // Of this directory, whose inode has that number; a part's cookies are those of the whole.
  EntryKeyView key_of(std::uint64_t number, std::string_view entry) const {
    return key(whole(number), entry);
  }
  // What the application takes it for.
  std::uint64_t whole(std::uint64_t number) const {
    return partition != nullptr && partition->of != 0 ? partition->of : number;
  }
  // The directory inode to ask about the name instead.
  Partition::Place place_of(std::uint64_t number, std::string_view entry) const {
    if (partition == nullptr) return {0, 0};
    return partition->elsewhere(key_of(number, entry).cookie);
  }
  bool has_place_for(std::uint64_t number, std::string_view entry) const {
    return place_of(number, entry).inode == 0;
  }
  bool is_part() const { return partition != nullptr && partition->of != 0; }
  // How many parts it was split into beside itself.
  std::size_t parts() const {
    return partition == nullptr || is_part() ? 0 : partition->later.size();
  }
};

// A host with opens of an inode. Hosts are named by their leader's rank.
struct OpenHost {
  std::uint32_t host;
  std::uint32_t opens;  // granted in this tenure
  std::uint64_t session;
  std::uint64_t tenure = 0;  // see wire::Release
  bool writes = false;       // an open since the first may write
};

// Kept while an inode is open somewhere or being truncated.
struct OpenState {
  absl::InlinedVector<OpenHost, 1> hosts;
  std::uint64_t reserved_end = 0;  // of O_APPEND reservations
  static constexpr std::uint32_t nobody = UINT32_MAX;
  std::uint32_t exact_host = nobody;  // knows the size by itself
  AsyncMutex mutex;                   // truncate, revoke: one at a time
  std::uint32_t users = 0;            // coroutines that hold a pointer to this

  bool written() const {
    return std::ranges::any_of(hosts, [](const OpenHost& host) { return host.writes; });
  }
  bool has(std::uint32_t leader) const {
    return std::ranges::find(hosts, leader, &OpenHost::host) != hosts.end();
  }
  // Whether hosts other than this one have it open, and for writing.
  bool open_elsewhere(std::uint32_t host) const {
    return std::ranges::any_of(hosts, [&](const OpenHost& other) { return other.host != host; });
  }
  bool written_elsewhere(std::uint32_t host) const {
    return std::ranges::any_of(
        hosts, [&](const OpenHost& other) { return other.host != host && other.writes; });
  }
};

enum InodeFlag : std::uint32_t {
  unnamed = 1,        // made without a name (O_TMPFILE), and may be given its first one
  chunk_started = 2,  // a small file's first chunk may exist: it was to be moved there
};

struct Inode {
  std::uint64_t number;
  std::uint64_t size = 0;
  std::int64_t accessed;
  std::int64_t modified;
  std::int64_t changed;
  std::int64_t born;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t links;
  std::unique_ptr<Directory> directory;  // S_IFDIR
  std::unique_ptr<std::string> target;   // S_IFLNK
  std::unique_ptr<OpenState> open;
  std::unique_ptr<Xattrs> xattrs;  // null: none
  // 4 KiB pages that its chunks take, if that is not what the size says.
  static constexpr std::uint32_t pages_dense = UINT32_MAX;
  static constexpr std::uint32_t pages_unknown = UINT32_MAX - 1;
  std::uint32_t pages = pages_dense;
  std::uint32_t flags = 0;    // InodeFlag
  Stored stored = in_chunks;  // where a file's bytes are; a cell is one of this host's

  std::uint32_t type() const { return mode & S_IFMT; }
  bool is_directory() const { return directory != nullptr; }
  // It has gone from the namespace, and lives on for who has it open; see removed_directories.h.
  bool is_removed() const { return directory != nullptr && links == 0; }
  bool is_symlink() const { return target != nullptr; }
  // Its entries are not, or not all, here.
  bool is_split() const { return directory != nullptr && directory->partition != nullptr; }
  // A file whose bytes are with the inode, or that has none yet.
  bool is_small() const { return type() == S_IFREG && stored != in_chunks; }
  // Chunks up to here may exist.
  std::uint64_t chunked_bytes() const {
    if (type() != S_IFREG) return 0;
    if (is_small()) return (flags & InodeFlag::chunk_started) != 0 ? cell_bytes : 0;
    return size;
  }
  // Not one that has lost its last name: it is being removed.
  bool may_be_named() const { return links != 0 || (flags & InodeFlag::unnamed) != 0; }
};

// What an entry adds to a directory's size: what tmpfs says, so that listings look the same on
// both.
inline constexpr std::uint64_t directory_entry_bytes = 20;

wire::Attributes attributes_of(const Inode& inode);

}  // namespace benchfs
