// Compares what two namespaces of one rank know, but for what no journal keeps.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/journal/inode_record.h"
#include "daemon/metadata/namespace.h"

namespace benchfs {

inline std::string recorded(const Inode& inode) {
  std::string bytes(inode_record_bytes(inode), '\0');
  encode_inode(inode, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

inline void expect_same(const Namespace& live, const Namespace& restored) {
  EXPECT_EQ(restored.size(), live.size());
  EXPECT_GE(restored.counter_end(), live.counter_end());
  EXPECT_EQ(restored.uncut(), live.uncut());
  for (std::size_t shard = 0; shard < InodeTable::shards; ++shard) {
    for (const std::uint64_t number : live.numbers(shard)) {
      const Inode& inode = *live.find(number);
      const Inode* const twin = restored.find(number);
      ASSERT_NE(twin, nullptr) << "inode " << number << " was not restored";
      EXPECT_EQ(recorded(*twin), recorded(inode)) << "inode " << number;
      if (!inode.is_directory()) continue;
      EXPECT_EQ(twin->directory->subdirectories, inode.directory->subdirectories);
      EXPECT_EQ(twin->directory->entries.size(), inode.directory->entries.size());
      for (const auto& [key, entry] : inode.directory->entries) {
        const Entry* const same = restored.entry(*twin, key.name);
        ASSERT_NE(same, nullptr) << key.name.view() << " in " << number << " was not restored";
        EXPECT_EQ(same->inode, entry.inode) << key.name.view();
        EXPECT_EQ(same->type, entry.type) << key.name.view();
      }
    }
  }
}

}  // namespace benchfs
