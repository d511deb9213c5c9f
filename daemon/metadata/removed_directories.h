// RemovedDirectories: the last few directories that were removed, as somebody may have them open or
// work in them. No server counts opens of directories.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "daemon/metadata/inode.h"

namespace benchfs {

class RemovedDirectories {
 public:
  static constexpr std::size_t kept_max = 4096;

  void add(std::unique_ptr<Inode> directory) {
    order_.push_back(directory->number);
    kept_.emplace(directory->number, std::move(directory));
    if (order_.size() <= kept_max) return;
    kept_.erase(order_.front());
    order_.pop_front();
  }
  // Null: it is not known, or not any more.
  Inode* find(std::uint64_t number) const {
    const auto found = kept_.find(number);
    return found != kept_.end() ? found->second.get() : nullptr;
  }

 private:
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Inode>> kept_;
  std::deque<std::uint64_t> order_;  // oldest first
};

}  // namespace benchfs
