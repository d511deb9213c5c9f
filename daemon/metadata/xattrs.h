// Extended attributes of one inode: names of user.* and their values.
#pragma once

#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace benchfs {

class Xattrs {
 public:
  // Of all names and values of an inode together.
  static constexpr std::size_t bytes_max = 256 << 10;

  using Values = absl::btree_map<std::string, std::string, std::less<>>;

  // Null: there is no such name.
  const std::string* find(std::string_view name) const;
  // `flags`: XATTR_CREATE (EEXIST), XATTR_REPLACE (ENODATA). ENOSPC: more than fits one inode, or a
  // list of its names.
  Status set(std::string_view name, std::string_view value, std::uint32_t flags);
  Status remove(std::string_view name);  // ENODATA
  bool empty() const { return values_.empty(); }
  // Every name, a NUL after each, as listxattr(2) gives them.
  std::string list() const;
  const Values& values() const { return values_; }

 private:
  Values values_;
  std::size_t name_bytes_ = 0;  // with their NULs
  std::size_t value_bytes_ = 0;
};

}  // namespace benchfs
