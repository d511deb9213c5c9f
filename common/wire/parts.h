// Directories that are split over several ranks.
#pragma once

#include <cstdint>

#include "common/wire/base.h"

namespace benchfs::wire {

// To a rank that is to hold a part: first one without entries, answered by a number for it; then
// its entries, each a PartEntry and a name.
struct FillPartReply {
  std::uint64_t part;
};
struct FillPart {
  static constexpr Op op = Op::fill_part;
  using Reply = FillPartReply;
  std::uint64_t part;  // 0: take one
  std::uint64_t directory;
  std::uint64_t low;
  std::uint64_t high;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t index;
  std::uint32_t depth;
  std::uint32_t entries;
};
struct PartEntry {
  std::uint64_t inode;
  std::uint32_t type;
  std::uint32_t name_bytes;
};
static_assert(Message<FillPart> && Struct<PartEntry>);

struct PartStatusReply {
  std::uint64_t entries;
  std::uint64_t subdirectories;
  std::int64_t modified;
  std::int64_t changed;
};
struct PartStatus {
  static constexpr Op op = Op::part_status;
  using Reply = PartStatusReply;
  std::uint64_t part;
};
static_assert(Message<PartStatus> && Struct<PartStatusReply>);

struct PartAttributes {
  static constexpr Op op = Op::part_attributes;
  using Reply = Nothing;
  std::uint64_t part;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t reserved;
};
static_assert(Message<PartAttributes>);

struct PartsOfReply {  // the numbers of the parts follow
  std::uint64_t parts;
};
struct PartsOf {
  static constexpr Op op = Op::parts_of;
  using Reply = PartsOfReply;
  std::uint64_t inode;
};
static_assert(Message<PartsOf>);

}  // namespace benchfs::wire
