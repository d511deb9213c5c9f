#include "daemon/journal/inode_record.h"

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace benchfs {
namespace {

constexpr std::size_t number_bytes = sizeof(std::uint64_t);

class Writer {
 public:
  explicit Writer(std::byte* out) : out_(out) {}
  template <wire::Struct S>
  void put(const S& value) {
    std::memcpy(out_, &value, sizeof value);
    out_ += sizeof value;
  }
  void put(std::string_view text) { put(wire::bytes_of(text)); }
  void put(std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(out_, bytes.data(), bytes.size());
    out_ += bytes.size();
  }
  void begin_part(InodePartKind kind, std::size_t bytes) {
    put(InodePart{.kind = static_cast<std::uint16_t>(kind),
                  .reserved = 0,
                  .length = static_cast<std::uint32_t>(bytes)});
  }

 private:
  std::byte* out_;
};

std::size_t directory_bytes(const Directory& directory) {
  return number_bytes + directory.name.size();
}
std::size_t open_bytes(const OpenState& open) {
  return number_bytes + open.hosts.size() * sizeof(OpenHostRecord);
}
std::size_t xattrs_bytes(const Xattrs& xattrs) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : xattrs.values())
    bytes += sizeof(XattrRecord) + name.size() + value.size();
  return bytes;
}
std::size_t partition_bytes(const Partition& partition) {
  return sizeof(PartitionRecord) + partition.later.size() * sizeof(Partition::Later);
}
bool has_partition(const Inode& inode) {
  return inode.directory != nullptr && inode.directory->partition != nullptr;
}
bool has_hosts(const Inode& inode) { return inode.open != nullptr && !inode.open->hosts.empty(); }

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool decode_directory(std::span<const std::byte> bytes, Inode& inode) {
  const auto parent = wire::parse<std::uint64_t>(bytes);
  if (!parent.ok()) return false;
  if (inode.directory == nullptr) inode.directory = std::make_unique<Directory>();
  inode.directory->partition.reset();  // its record follows, if there is one
  inode.directory->parent = *parent;
  inode.directory->name = text_of(bytes.subspan(number_bytes));
  return true;
}

bool decode_partition(std::span<const std::byte> bytes, Inode& inode) {
  const auto record = wire::parse<PartitionRecord>(bytes);
  if (!record.ok() || inode.directory == nullptr ||
      (bytes.size() - sizeof *record) % sizeof(Partition::Later) != 0)
    return false;
  auto partition = std::make_unique<Partition>();
  partition->of = record->of;
  partition->low = record->low;
  partition->high = record->high;
  partition->limit = record->limit;
  partition->times_set = record->times_set;
  partition->index = record->index;
  partition->depth = record->depth;
  for (auto rest = bytes.subspan(sizeof *record); !rest.empty();
       rest = rest.subspan(sizeof(Partition::Later)))
    partition->later.push_back(*wire::parse<Partition::Later>(rest));
  inode.directory->partition = std::move(partition);
  return true;
}

bool decode_hosts(std::span<const std::byte> bytes, Inode& inode) {
  const auto reserved_end = wire::parse<std::uint64_t>(bytes);
  if (!reserved_end.ok() || (bytes.size() - number_bytes) % sizeof(OpenHostRecord) != 0)
    return false;
  inode.open = std::make_unique<OpenState>();
  inode.open->reserved_end = *reserved_end;
  for (auto rest = bytes.subspan(number_bytes); !rest.empty();
       rest = rest.subspan(sizeof(OpenHostRecord))) {
    const auto host = *wire::parse<OpenHostRecord>(rest);
    inode.open->hosts.push_back(
        {.host = host.host, .opens = 0, .session = host.session, .writes = host.writes != 0});
  }
  return true;
}

bool decode_xattrs(std::span<const std::byte> bytes, Inode& inode) {
  inode.xattrs = std::make_unique<Xattrs>();
  while (!bytes.empty()) {
    const auto head = wire::parse<XattrRecord>(bytes);
    if (!head.ok()) return false;
    const auto name = wire::text(bytes, sizeof *head, head->name_bytes);
    const std::size_t at = sizeof *head + std::size_t{head->name_bytes};
    const auto value = wire::text(bytes, at, head->value_bytes);
    if (!name.ok() || !value.ok() || !inode.xattrs->set(*name, *value, 0).ok()) return false;
    bytes = bytes.subspan(at + head->value_bytes);
  }
  return true;
}

bool decode_cell(std::span<const std::byte> bytes, Inode& inode) {
  const auto cell = wire::parse<std::uint64_t>(bytes);
  if (!cell.ok() || bytes.size() != number_bytes || *cell >= content_cells) return false;
  inode.stored = static_cast<Stored>(*cell);
  return true;
}

bool decode_part(InodePartKind kind, std::span<const std::byte> bytes, Inode& inode) {
  switch (kind) {
    case InodePartKind::directory:
      return decode_directory(bytes, inode);
    case InodePartKind::target:
      inode.target = std::make_unique<std::string>(text_of(bytes));
      return true;
    case InodePartKind::open_hosts:
      return decode_hosts(bytes, inode);
    case InodePartKind::xattrs:
      return decode_xattrs(bytes, inode);
    case InodePartKind::partition:
      return decode_partition(bytes, inode);
    case InodePartKind::cell:
      return decode_cell(bytes, inode);
  }
  return false;
}

}  // namespace

std::size_t inode_record_bytes(const Inode& inode) {
  std::size_t bytes = sizeof(InodeRecord);
  if (inode.directory != nullptr) bytes += sizeof(InodePart) + directory_bytes(*inode.directory);
  if (inode.target != nullptr) bytes += sizeof(InodePart) + inode.target->size();
  if (has_hosts(inode)) bytes += sizeof(InodePart) + open_bytes(*inode.open);
  if (inode.xattrs != nullptr) bytes += sizeof(InodePart) + xattrs_bytes(*inode.xattrs);
  if (has_partition(inode))
    bytes += sizeof(InodePart) + partition_bytes(*inode.directory->partition);
  if (inode.is_small()) bytes += sizeof(InodePart) + number_bytes;
  return bytes;
}

void encode_inode(const Inode& inode, std::byte* out) {
  Writer writer(out);
  writer.put(InodeRecord{.number = inode.number,
                         .size = inode.size,
                         .accessed = inode.accessed,
                         .modified = inode.modified,
                         .changed = inode.changed,
                         .born = inode.born,
                         .mode = inode.mode,
                         .uid = inode.uid,
                         .gid = inode.gid,
                         .links = inode.links,
                         .pages = inode.pages,
                         .flags = inode.flags});
  if (inode.directory != nullptr) {
    writer.begin_part(InodePartKind::directory, directory_bytes(*inode.directory));
    writer.put(inode.directory->parent);
    writer.put(inode.directory->name);
  }
  if (inode.target != nullptr) {
    writer.begin_part(InodePartKind::target, inode.target->size());
    writer.put(*inode.target);
  }
  if (has_hosts(inode)) {
    writer.begin_part(InodePartKind::open_hosts, open_bytes(*inode.open));
    writer.put(inode.open->reserved_end);
    for (const OpenHost& host : inode.open->hosts)
      writer.put(OpenHostRecord{
          .session = host.session, .host = host.host, .writes = host.writes ? 1u : 0u});
  }
  if (inode.xattrs != nullptr) {
    writer.begin_part(InodePartKind::xattrs, xattrs_bytes(*inode.xattrs));
    for (const auto& [name, value] : inode.xattrs->values()) {
      writer.put(XattrRecord{.name_bytes = static_cast<std::uint32_t>(name.size()),
                             .value_bytes = static_cast<std::uint32_t>(value.size())});
      writer.put(name);
      writer.put(value);
    }
  }
  if (has_partition(inode)) {
    const Partition& partition = *inode.directory->partition;
    writer.begin_part(InodePartKind::partition, partition_bytes(partition));
    writer.put(PartitionRecord{.of = partition.of,
                               .low = partition.low,
                               .high = partition.high,
                               .limit = partition.limit,
                               .times_set = partition.times_set,
                               .index = partition.index,
                               .depth = partition.depth});
    for (const Partition::Later& part : partition.later) writer.put(part);
  }
  if (inode.is_small()) {
    writer.begin_part(InodePartKind::cell, number_bytes);
    writer.put(std::uint64_t{inode.stored});
  }
}

bool decode_inode(std::span<const std::byte> record, Inode& inode) {
  const auto head = wire::parse<InodeRecord>(record);
  if (!head.ok()) return false;
  inode.number = head->number;
  inode.size = head->size;
  inode.accessed = head->accessed;
  inode.modified = head->modified;
  inode.changed = head->changed;
  inode.born = head->born;
  inode.mode = head->mode;
  inode.uid = head->uid;
  inode.gid = head->gid;
  inode.links = head->links;
  inode.pages = head->pages;
  inode.flags = head->flags;
  inode.target.reset();
  inode.open.reset();
  inode.xattrs.reset();
  inode.stored = in_chunks;
  auto rest = record.subspan(sizeof(InodeRecord));
  while (!rest.empty()) {
    const auto part = wire::parse<InodePart>(rest);
    if (!part.ok() || part->length > rest.size() - sizeof(InodePart)) return false;
    if (!decode_part(static_cast<InodePartKind>(part->kind),
                     rest.subspan(sizeof(InodePart), part->length), inode))
      return false;
    rest = rest.subspan(sizeof(InodePart) + part->length);
  }
  return (inode.type() == S_IFDIR) == inode.is_directory() &&
         (inode.type() == S_IFLNK) == inode.is_symlink();
}

}  // namespace benchfs
