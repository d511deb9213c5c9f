// Names and inodes: looking up, making, renaming, removing, listing, attributes.
#pragma once

#include <cstdint>

#include "common/wire/base.h"

namespace benchfs::wire {

struct Attributes {
  std::uint64_t inode;
  std::uint64_t size;
  std::uint64_t blocks;  // of 512 bytes
  std::uint32_t mode;
  std::uint32_t links;
  std::uint32_t uid;
  std::uint32_t gid;
  std::int64_t accessed;
  std::int64_t modified;
  std::int64_t changed;
  std::int64_t born;
};
static_assert(Struct<Attributes> && sizeof(Attributes) == 72);
// Of 512 bytes, as if a file had no holes.
constexpr std::uint64_t blocks_of(std::uint32_t mode, std::uint64_t size) {
  return (mode & 0170000) == 0100000 ? (size + 4095) / 4096 * 8 : 0;
}

// Where an operation starts: an inode, and a path below it (bytes after the struct, possibly
// none: the inode itself). The server walks as far as it holds the directories.
struct Where {
  std::uint64_t inode;
  std::uint32_t path_bytes;
  std::uint32_t flags;  // WhereFlag
};
enum WhereFlag : std::uint32_t {
  follow = 1,     // a symlink as the last component
  directory = 2,  // the last component must be (or become) a directory
  opened = 4,     // the inode itself, by a descriptor: what that may do was checked at its opening
};
static_assert(Struct<Where> && sizeof(Where) == 16);

// The reply when the walk goes on elsewhere: `consumed` bytes of the path are done.
struct Redirect {
  std::uint64_t inode;  // moved: go on here. symlink: the directory that holds it
  std::uint32_t consumed;
  std::uint32_t kind;  // RedirectKind
};
enum RedirectKind : std::uint32_t {
  moved = 1,    // another rank's directory or inode
  symlink = 2,  // the target follows; it takes the place of what was consumed
  above = 3,    // ".." of the root
  part = 4,     // a part of a directory that was split; a PartHint follows
};
// Where to ask at once the next time: all names of `directory` whose cookies begin (bit 62 first)
// with the same `depth` bits as this one's are there, or it knows where. 0: no such thing is known.
struct PartHint {
  std::uint64_t directory;
  std::uint32_t depth;
  std::uint32_t reserved;
};
static_assert(Struct<Redirect> && sizeof(Redirect) == 16 && Struct<PartHint>);

struct Stat {
  static constexpr Op op = Op::stat;
  using Reply = Attributes;
  Where where;
};
static_assert(Message<Stat>);

struct MakeDirectory {
  static constexpr Op op = Op::make_directory;
  using Reply = Attributes;
  Where where;
  std::uint32_t mode;
  std::uint32_t gid;
};
static_assert(Message<MakeDirectory>);

struct RemoveDirectory {
  static constexpr Op op = Op::remove_directory;
  using Reply = Nothing;
  Where where;
};
static_assert(Message<RemoveDirectory>);

struct Unlink {
  static constexpr Op op = Op::unlink;
  using Reply = Nothing;
  Where where;
};
static_assert(Message<Unlink>);

// Source directory's home coordinates. Both names follow: from, then to.
enum NameFlag : std::uint32_t {
  from_slash = 1,  // the source was given with a trailing slash
  to_slash = 2,
};
struct Rename {
  static constexpr Op op = Op::rename;
  using Reply = Nothing;
  std::uint64_t from_directory;
  std::uint64_t to_directory;
  std::uint32_t from_bytes;
  std::uint32_t to_bytes;
  std::uint32_t flags;    // RENAME_*
  std::uint32_t slashes;  // NameFlag
};
static_assert(Message<Rename>);

// The path follows, then the target.
struct Symlink {
  static constexpr Op op = Op::symlink;
  using Reply = Attributes;
  Where where;
  std::uint32_t target_bytes;
  std::uint32_t gid;
};
static_assert(Message<Symlink>);

struct ReadLink {
  static constexpr Op op = Op::read_link;
  using Reply = Nothing;  // the target follows
  Where where;
};
static_assert(Message<ReadLink>);

// One more name (where) for an inode that is no directory.
struct Link {
  static constexpr Op op = Op::link;
  using Reply = Nothing;
  Where where;
  std::uint64_t inode;
  std::uint32_t type;  // S_IFMT bits
  std::uint32_t reserved;
};
static_assert(Message<Link>);

enum Valid : std::uint32_t {
  valid_mode = 1,
  valid_uid = 2,
  valid_gid = 4,
  valid_accessed = 8,
  valid_modified = 16,
  valid_accessed_now = 32,
  valid_modified_now = 64,
  valid_owner = 256,    // chown, whatever it changes
  valid_written = 128,  // by a user who is not root: set-user-ID and set-group-ID bits go
};
struct SetAttributes {
  static constexpr Op op = Op::set_attributes;
  using Reply = Attributes;
  Where where;
  std::int64_t accessed;
  std::int64_t modified;
  std::uint32_t valid;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
};
static_assert(Message<SetAttributes>);

// A page of a directory, in the order of name hashes, from `cookie` (0: the start) on.
struct ListReply {
  std::uint64_t parent;  // for ".."
  std::uint32_t entries;
  std::uint32_t end;          // 1: nothing comes after these
  std::uint64_t next;         // not 0: what comes after these is in this part
  std::uint64_t next_cookie;  // from there on
};
struct ListEntry {       // `name_bytes` of name follow; the next entry begins right after
  std::uint64_t cookie;  // to go on after this entry
  std::uint64_t inode;
  std::uint16_t type;  // DT_*
  std::uint16_t name_bytes;
  std::uint32_t reserved;
};
struct List {
  static constexpr Op op = Op::list;
  using Reply = ListReply;
  std::uint64_t inode;
  std::uint64_t cookie;
};
static_assert(Message<List> && Struct<ListReply> && Struct<ListEntry> && sizeof(ListEntry) == 24);

struct NameOfReply {  // the name follows
  std::uint64_t parent;
  std::uint64_t whole;  // the directory itself, or that of which it is a part
};
struct NameOf {
  static constexpr Op op = Op::name_of;
  using Reply = NameOfReply;
  std::uint64_t inode;
};
static_assert(Message<NameOf>);

struct ResolveReply {
  std::uint64_t inode;  // the directory, or its part; the name is what is left of the path
  std::uint64_t whole;  // the directory
  std::uint32_t consumed;
  std::uint32_t reserved;
};
// Walks all but the last component, which may be missing.
struct Resolve {
  static constexpr Op op = Op::resolve;
  using Reply = ResolveReply;
  Where where;
};
static_assert(Message<Resolve>);

// Values and lists of extended attributes lie in slot `buffer` of the host's transfer pool, as
// chunk data does. A name follows the path.
struct XattrReply {
  std::uint64_t bytes;  // of the value or list
};
struct GetXattr {
  static constexpr Op op = Op::get_xattr;
  using Reply = XattrReply;
  Where where;
  std::uint32_t name_bytes;
  std::uint32_t bytes;  // room for the value (ERANGE: it is longer); 0: only its length is asked
  std::uint32_t buffer;
  std::uint32_t reserved;
};
static_assert(Message<GetXattr>);

struct SetXattr {
  static constexpr Op op = Op::set_xattr;
  using Reply = Nothing;
  Where where;
  std::uint32_t name_bytes;
  std::uint32_t bytes;  // of the value
  std::uint32_t buffer;
  std::uint32_t flags;  // XATTR_*
};
static_assert(Message<SetXattr>);

struct ListXattrs {
  static constexpr Op op = Op::list_xattrs;
  using Reply = XattrReply;
  Where where;
  std::uint32_t bytes;  // as in GetXattr
  std::uint32_t buffer;
};
static_assert(Message<ListXattrs>);

struct RemoveXattr {
  static constexpr Op op = Op::remove_xattr;
  using Reply = Nothing;
  Where where;
  std::uint64_t name_bytes;
};
static_assert(Message<RemoveXattr>);

}  // namespace benchfs::wire
