// InodeTable: inodes by number. Kept in shards, so that growth moves few at a time, and so that all
// can be visited shard by shard while others come and go.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/metadata/inode.h"

namespace benchfs {

class InodeTable {
 public:
  static constexpr std::size_t shards = 256;

  Inode* find(std::uint64_t number) const {
    Recent& recent = recent_of(number);
    if (recent.number == number) return recent.inode;
    const Shard& shard = shard_of(number);
    const auto found = shard.find(number);
    if (found == shard.end()) return nullptr;
    recent = {number, found->second.get()};
    return recent.inode;
  }
  // The inode of that number, made if need be.
  Inode& at(std::uint64_t number) {
    auto& inode = shard_of(number)[number];
    if (inode == nullptr) {
      inode = std::make_unique<Inode>();
      inode->number = number;
      ++size_;
    }
    recent_of(number) = {number, inode.get()};
    return *inode;
  }
  // Null: there is none.
  std::unique_ptr<Inode> take(std::uint64_t number) {
    if (recent_of(number).number == number) recent_of(number) = {};
    Shard& shard = shard_of(number);
    const auto found = shard.find(number);
    if (found == shard.end()) return nullptr;
    std::unique_ptr<Inode> inode = std::move(found->second);
    shard.erase(found);
    --size_;
    return inode;
  }
  std::size_t size() const { return size_; }

  // Calls look(const Inode&) for each.
  template <class Look>
  void for_each(Look look) const {
    for (const Shard& shard : shards_)
      for (const auto& [number, inode] : shard) look(*inode);
  }
  // Those in a shard now, in no order.
  std::vector<std::uint64_t> numbers(std::size_t shard) const {
    std::vector<std::uint64_t> found;
    found.reserve(shards_[shard].size());
    for (const auto& [number, inode] : shards_[shard]) found.push_back(number);
    return found;
  }

 private:
  using Shard = absl::flat_hash_map<std::uint64_t, std::unique_ptr<Inode>>;
  struct Recent {  // a request looks up the same few again and again
    std::uint64_t number = 0;
    Inode* inode = nullptr;
  };
  Recent& recent_of(std::uint64_t number) const { return recent_[number % recent_.size()]; }
  Shard& shard_of(std::uint64_t number) { return shards_[number % shards]; }
  const Shard& shard_of(std::uint64_t number) const { return shards_[number % shards]; }

  std::array<Shard, shards> shards_;
  mutable std::array<Recent, 64> recent_;
  std::size_t size_ = 0;
};

}  // namespace benchfs
