// RemovedDirectories: what is still to be said of the last few directories that were removed, as
// somebody may have them open or work in them. No server counts opens of directories.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>

#include "common/wire.h"

namespace benchfs {

class RemovedDirectories {
 public:
  static constexpr std::size_t kept_max = 4096;

  struct Removed {
    wire::Attributes attributes;  // without a link
    std::uint64_t parent;
  };

  void add(const Removed& directory) {
    if (!kept_.emplace(directory.attributes.inode, directory).second) return;
    order_.push_back(directory.attributes.inode);
    if (order_.size() <= kept_max) return;
    kept_.erase(order_.front());
    order_.pop_front();
  }
  // Null: it is not known, or not any more.
  const Removed* find(std::uint64_t number) const {
    const auto found = kept_.find(number);
    return found != kept_.end() ? &found->second : nullptr;
  }

 private:
  absl::flat_hash_map<std::uint64_t, Removed> kept_;
  std::deque<std::uint64_t> order_;  // oldest first
};

}  // namespace benchfs
