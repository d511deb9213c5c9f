// The one set of messages: fixed structs, each perhaps followed by variable bytes.
//
// Little-endian, no padding, no pointers. They travel in ring slots (client to server) and in
// UCX active messages (server to server) alike; doc/wire.md explains them. A changed layout is a
// new Op. All lengths are bytes, all times nanoseconds since the epoch.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "common/content_cells.h"
#include "common/result.h"

namespace benchfs::wire {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint32_t version = 4;
inline constexpr std::size_t name_bytes_max = 255;
inline constexpr std::size_t path_bytes_max = 4095;
inline constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 62;
inline constexpr std::size_t xattr_bytes_max = 65536;  // a value, and all names of an inode
// Longest body of a message: two paths and a struct fit, and so does a page of a listing.
inline constexpr std::size_t body_bytes_max = 16320;

enum class Op : std::uint16_t {
  // by clients, at the home of the directory or inode named
  stat = 1,
  open = 2,
  release = 3,  // by the host server, for its clients
  make_directory = 4,
  remove_directory = 5,
  unlink = 6,
  rename = 7,
  symlink = 8,
  read_link = 9,
  link = 10,
  set_attributes = 11,
  list = 12,
  name_of = 13,
  resolve = 14,  // to a directory: what the two-path operations start with
  // data
  size = 20,
  truncate = 21,
  reserve = 22,  // room at the end, for O_APPEND on several hosts
  read_chunk = 23,
  write_chunk = 24,
  sync_chunks = 25,
  // the whole instance
  file_system = 30,
  status = 31,
  stop = 32,
  // server to server only
  freeze = 47,
  thaw = 48,
  host_size = 49,
  revoke_exact = 50,
  cut_chunks = 51,
  // changes on several servers (doc/design.md)
  prepare = 60,        // agree to a change and lock what it concerns
  decide = 61,         // make it, or forget it
  outcome = 62,        // what was decided? Asked by who agreed and heard nothing
  rename_ticket = 63,  // rank 0 lets one directory at a time move to another parent
  // parts of split directories
  fill_part = 64,        // entries for a part that is to be made
  part_status = 65,      // what it adds to the directory's attributes
  part_attributes = 66,  // the directory's mode and owner changed
  parts_of = 67,         // all of a directory
  // after a restart
  held_opens = 80,  // which inodes at home at the asking rank a host has open
  // locks of files
  lock = 90,           // set, test, release, withdraw
  end_lock_wait = 91,  // by clients, at the server of their host that said "queued"
  await_lock = 92,     // by that server, at the home: answered when the lock is granted
  lock_owner = 93,     // by a home, at the owner's host: does it live, what does it wait for?
  lock_blockers = 94,  // at a home: who keeps a wait from its lock?
  held_locks = 95,     // by a restarted home, at each host's leader
  // extended attributes, by clients
  get_xattr = 96,
  set_xattr = 97,
  list_xattrs = 98,
  remove_xattr = 99,
  count_blocks = 100,   // server to server: what the chunks of a file with holes take
  recall_leases = 104,  // see lease_messages.h
  // contents of small files; by clients, at the inode's home
  move_to_chunks = 112,
  sync_content = 113,
  // benchfs fsck, at each rank
  check_state = 120,
  check_inodes = 121,
  check_entries = 122,
  check_chunks = 123,
};

// In front of every request and reply.
struct Envelope {
  std::uint64_t request_id;  // the client's; echoed. Grows; the low bits are its slot's number
  std::uint64_t process;     // the client's, set by the host's server; 0 for servers themselves
  std::uint32_t client;      // client id at its host's server, 0 for servers themselves
  std::uint32_t rank;        // request: whom it is for; reply: who answered
  std::uint16_t op;
  std::uint16_t flags;   // Flag
  std::int32_t error;    // reply: 0 or a Linux errno; request: zero
  std::uint32_t length;  // bytes of the body that follow
  std::uint32_t uid;     // the caller's effective uid, set by the host's server
};

enum Flag : std::uint16_t {
  redirected = 1,  // reply: the body is a Redirect and perhaps a symlink's target
  leases = 2,      // request: may be given; reply: a list of them ends the body (lease_messages.h)
};

template <class M>
concept Struct =
    std::is_trivially_copyable_v<M> && std::has_unique_object_representations_v<M>;  // no padding
template <class M>
concept Message = Struct<M> && requires {
  { M::op } -> std::convertible_to<Op>;
  typename M::Reply;
};
static_assert(Struct<Envelope> && sizeof(Envelope) == 40);

struct Nothing {
  std::uint64_t reserved;
};

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

struct OpenReply {  // the content follows if it is in a cell of another host than the caller's
  Attributes attributes;
  std::uint64_t session;  // see Session below
  std::uint64_t tenure;   // see Release
  std::uint32_t exact;    // 1: no other host writes it
  std::uint32_t created;
  Stored stored;
  std::uint32_t content_bytes;
};
struct Open {
  static constexpr Op op = Op::open;
  using Reply = OpenReply;
  Where where;
  std::uint32_t flags;  // O_*
  std::uint32_t mode;   // umask applied
  std::uint32_t gid;
  std::uint32_t slot;  // of the host's open-file table; the host's server fills it
};
static_assert(Message<Open> && sizeof(OpenReply) == 104 && sizeof(Open) == 32);

// The content follows a Release if it is in a cell of another host than the home's, and may have
// been written.
//
// A home and a host speak of an inode by session: a number that the home takes when the host opens
// the file first, and anew each time the size is set. Messages of the two may overtake each other;
// a size of another session than the home's is void, and a host that does not know the home's yet
// (the answer to its open is on its way) says so and is asked again.
//
// From a host's first open of an inode to the last close, the home counts the opens it granted, and
// the host those it got to know: its tenure, named by the session of the first. The host releases
// it by what it has counted. If the home has counted more, answers are on their way, and the host
// releases again after them; if it does not know the tenure, it has ended it before.
struct ReleaseReply {
  std::uint64_t session;  // of this host, as the home knew it then
  std::uint64_t opens;    // that the home still counts for this host: answers on their way
};
struct Release {
  static constexpr Op op = Op::release;
  using Reply = ReleaseReply;
  std::uint64_t inode;
  std::uint64_t session;
  std::uint64_t tenure;
  std::uint64_t end;      // size reached by this host's writers
  std::int64_t modified;  // 0: not written
  std::int64_t accessed;  // 0: not read, or not so that it counts
  std::uint32_t opens;    // granted to the host, as it has counted
  std::uint32_t undone;   // granted, but the host had no room for them
  std::uint32_t flags;    // HostFlag
  Stored stored;
};
static_assert(Message<Release>);
// What a host says of a file beside its size.
enum HostFlag : std::uint32_t {
  sparse = 1,  // its writers may have left holes
};

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

struct SizeReply {
  std::uint64_t size;
  std::int64_t modified;
};
struct Size {
  static constexpr Op op = Op::size;
  using Reply = SizeReply;
  std::uint64_t inode;
};
static_assert(Message<Size>);

struct Truncate {
  static constexpr Op op = Op::truncate;
  using Reply = Nothing;
  Where where;
  std::uint64_t size;
};
static_assert(Message<Truncate>);

struct ReserveReply {
  std::uint64_t offset;
};
struct Reserve {
  static constexpr Op op = Op::reserve;
  using Reply = ReserveReply;
  std::uint64_t inode;
  std::uint64_t bytes;
};
static_assert(Message<Reserve>);

// Bulk data of the next two lies in slot `buffer` of the host's transfer pool; between servers it
// travels beside the message.
struct ChunkReply {
  std::uint64_t bytes;  // read: fewer at the end of the chunk file; the rest reads as zeros
};
struct ReadChunk {
  static constexpr Op op = Op::read_chunk;
  using Reply = ChunkReply;
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t buffer;
  std::uint32_t reserved;
};
static_assert(Message<ReadChunk>);

struct WriteChunk {
  static constexpr Op op = Op::write_chunk;
  using Reply = ChunkReply;
  std::uint64_t inode;
  std::uint64_t chunk;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t buffer;
  std::uint32_t reserved;
};
static_assert(Message<WriteChunk>);

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

// Chunks of this inode at this rank: written to the device.
struct SyncChunks {
  static constexpr Op op = Op::sync_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t size;
};
static_assert(Message<SyncChunks>);

struct FileSystemReply {
  std::uint64_t bytes_total;
  std::uint64_t bytes_free;
  std::uint64_t inodes;
  std::uint64_t device;  // hash of host and device, so that ranks that share one count once
};
struct FileSystemInfo {
  static constexpr Op op = Op::file_system;
  using Reply = FileSystemReply;
  std::uint64_t all;  // 1: the sum over all ranks; 0: this rank alone
};
static_assert(Message<FileSystemInfo>);

struct StatusReply {
  std::uint64_t inodes;
  std::uint64_t bytes_total;  // of the device
  std::uint64_t bytes_free;
  std::uint64_t requests;
  std::uint64_t peer_requests;
  std::uint64_t relayed;
  std::uint64_t metadata_bytes;  // of memory, since the server began
  std::uint64_t journal_bytes;   // of its files
  std::uint32_t clients;
  std::uint32_t rank;
};
struct StatusRequest {
  static constexpr Op op = Op::status;
  using Reply = StatusReply;
  std::uint64_t reserved;
};
static_assert(Message<StatusRequest> && Struct<StatusReply>);

// Ends the instance. Clients send it to any rank, ranks pass it to rank 0, rank 0 to all.
struct Stop {
  static constexpr Op op = Op::stop;
  using Reply = Nothing;
  std::uint64_t from_rank_0;
};
static_assert(Message<Stop>);

// A change on several servers: what it does at one rank is a list of steps.
enum class TransactionKind : std::uint32_t {
  make_directory = 0,
  remove_directory = 1,
  unlink = 2,
  link = 3,
  rename_file = 4,
  rename_directory = 5,
  replace_file = 6,       // rename over a file or a symlink
  replace_directory = 7,  // rename over an empty directory
  exchange = 8,
  split = 9,  // of a directory
};
inline constexpr std::uint32_t transaction_kinds = 10;

enum class StepKind : std::uint32_t {
  set_entry = 1,         // (inode, name) is to lead to `value` of `type`, or nowhere; now: `holds`
  add_links = 2,         // `links` names more of `inode`; 0: it was renamed
  make_directory = 3,    // named `name` in directory `value`, with mode `type`
  remove_directory = 4,  // `inode` is to go, if it is empty and has `holds` parts
  move_directory = 5,    // `inode` is to be `name` in directory `value`
  make_part = 6,         // `inode`, which was filled, is to be a part of directory `value`
  split_off = 7,  // what `inode` has from cookie `holds` on is in part `value`, of depth `type`
  add_part = 8,   // `inode` is to know that part
};
struct Step {  // the name follows; the next step begins right after
  std::uint64_t inode;
  std::uint64_t holds;
  std::uint64_t value;
  StepKind kind;
  std::uint32_t type;  // S_IFMT bits; make_directory: mode
  std::uint32_t gid;
  std::int32_t links;
  std::uint32_t name_bytes;
  std::uint32_t reserved;
};
static_assert(Struct<Step> && sizeof(Step) == 48);

struct PrepareReply {
  Attributes attributes;  // of the inode that is made, or gets or loses a name; else zeros
  std::uint64_t found;    // refused: what the name holds
  std::uint32_t found_type;
  std::uint32_t refused;  // 1: a name does not hold what the steps expect, nothing is prepared
  std::uint32_t step;     // which one
  std::uint32_t reserved;
};
struct Prepare {  // the steps follow
  static constexpr Op op = Op::prepare;
  using Reply = PrepareReply;
  std::uint64_t counter;  // with the coordinator's rank: whose change
  std::uint32_t coordinator;
  TransactionKind kind;
  std::uint32_t steps;
  std::uint32_t uid;  // the caller's
};
static_assert(Message<Prepare> && Struct<PrepareReply>);

struct Decide {
  static constexpr Op op = Op::decide;
  using Reply = Nothing;
  std::uint64_t counter;
  std::uint32_t coordinator;
  std::uint32_t commit;  // 0: forget it
  std::int64_t time;     // of the change
};
static_assert(Message<Decide>);

enum class Decision : std::uint32_t { pending = 0, aborted = 1, committed = 2 };
struct OutcomeReply {
  std::int64_t time;
  Decision decision;
  std::uint32_t reserved;
};
struct Outcome {
  static constexpr Op op = Op::outcome;
  using Reply = OutcomeReply;
  std::uint64_t counter;
};
static_assert(Message<Outcome> && Struct<OutcomeReply>);

// What this host's writers reached.
// The content follows if it was asked for, is in a cell of another host than the home's, and may
// have been written.
struct HostSizeReply {
  std::uint64_t session;  // 0: not known here, or not this session yet
  std::uint64_t size;
  std::int64_t modified;
  std::int64_t accessed;
  std::uint32_t flags;  // HostFlag
  Stored stored;
  std::uint64_t content_bytes;
};
struct Freeze {
  static constexpr Op op = Op::freeze;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint64_t session;
};
static_assert(Message<Freeze>);

struct Thaw {
  static constexpr Op op = Op::thaw;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t session;  // the new one
  std::uint64_t size;
  std::uint32_t cut;        // 1: bytes were cut, cached descriptors are void
  std::uint32_t to_chunks;  // 1: the bytes are in chunks from now on
};
static_assert(Message<Thaw>);

struct HostSize {
  static constexpr Op op = Op::host_size;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint32_t news;  // News
  std::uint32_t with_content;
};
static_assert(Message<HostSize>);
// What a host is to know of a change at the home.
enum News : std::uint32_t {
  times_set = 1,         // utimens came after every write so far
  attributes_set = 2,    // ctime is now: the next read counts
  privileges_given = 4,  // a write by others than root takes the mode's privileges away
};

struct RevokeExact {
  static constexpr Op op = Op::revoke_exact;
  using Reply = HostSizeReply;
  std::uint64_t inode;
  std::uint64_t session;
};
static_assert(Message<RevokeExact>);

// Bytes at and after `size` go; `known` bounds the chunks that may exist. size 0 and known 0:
// everything this rank has of the inode.
struct CutChunks {
  static constexpr Op op = Op::cut_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
  std::uint64_t size;
  std::uint64_t known;
};
static_assert(Message<CutChunks>);

// The bytes of a small file are to lie in chunks from now on: it grows.
struct MoveToChunks {
  static constexpr Op op = Op::move_to_chunks;
  using Reply = Nothing;
  std::uint64_t inode;
};
static_assert(Message<MoveToChunks>);

// The content of a small file as of now is to be safe with its home.
struct SyncContent {
  static constexpr Op op = Op::sync_content;
  using Reply = Nothing;
  std::uint64_t inode;
};
static_assert(Message<SyncContent>);

// 512-byte blocks that this rank's chunks of a file of `size` bytes take.
struct CountBlocksReply {
  std::uint64_t blocks;
};
struct CountBlocks {
  static constexpr Op op = Op::count_blocks;
  using Reply = CountBlocksReply;
  std::uint64_t inode;
  std::uint64_t size;
};
static_assert(Message<CountBlocks>);

enum class TicketAction : std::uint32_t {
  take = 1,  // at rank 0: wait for it
  give = 2,  // at rank 0: done with it
  held = 3,  // by rank 0: do you still have it? id 0: or any
};
struct RenameTicketReply {
  std::uint64_t id;  // held: the one asked about, or any; 0: no
};
struct RenameTicket {
  static constexpr Op op = Op::rename_ticket;
  using Reply = RenameTicketReply;
  std::uint64_t id;  // the holder's, never 0
  std::uint32_t holder;
  TicketAction action;
};
static_assert(Message<RenameTicket>);

// What the table of the answerer's host says of inodes at home at rank `home`, from entry `from`
// on.
struct HeldOpensReply {  // `count` HeldOpen follow
  std::uint32_t count;
  std::uint32_t next;  // where to go on; 0: that was all
};
struct HeldOpen {
  std::uint64_t inode;
  std::uint64_t session;
  std::uint64_t tenure;
  std::uint64_t size;     // its writers reached
  std::int64_t modified;  // 0: not written
  std::uint32_t granted;  // opens, as the host has counted them
  std::uint32_t flags;    // HeldFlag
  Stored stored;
  std::uint32_t reserved;
};
enum HeldFlag : std::uint32_t {
  held_exact = 1,   // the host trusts its own size
  held_frozen = 2,  // its writers are stopped
  held_sparse = 4,  // they may have left holes
};
struct HeldOpens {
  static constexpr Op op = Op::held_opens;
  using Reply = HeldOpensReply;
  std::uint32_t home;
  std::uint32_t from;
};
static_assert(Message<HeldOpens> && Struct<HeldOpen> && sizeof(HeldOpen) == 56);

// Locks. What flock(2) sets and what fcntl(2) sets do not see each other.
enum class LockSpace : std::uint8_t { whole = 1, ranges = 2 };
enum class LockKind : std::uint8_t { unlocked = 0, shared = 1, exclusive = 2 };
enum class LockOwnerKind : std::uint32_t {
  process = 1,      // `id` is a ProcessId
  description = 2,  // an open file description; `id` is the position of its slot
};
inline constexpr std::uint64_t lock_last_max = INT64_MAX;

struct LockOwner {
  std::uint64_t id;
  std::uint32_t host;  // the leader's rank
  LockOwnerKind kind;
  friend bool operator==(const LockOwner&, const LockOwner&) = default;
};
static_assert(Struct<LockOwner> && sizeof(LockOwner) == 16);

enum LockFlag : std::uint16_t {
  lock_wait = 1,      // queue it if it cannot be had now
  lock_test = 2,      // only say what is in the way
  lock_withdraw = 4,  // end the wait of this rank and ticket
};
enum class LockState : std::uint16_t { granted = 0, queued = 1 };

struct LockReply {
  std::uint64_t ticket;  // queued: names the wait
  std::uint64_t start;   // test: of the lock in the way
  std::uint64_t last;
  std::int32_t pid;  // its process, -1: an open file description's
  LockKind kind;     // unlocked: nothing is in the way
  std::uint8_t reserved;
  LockState state;
};
struct Lock {
  static constexpr Op op = Op::lock;
  using Reply = LockReply;
  std::uint64_t inode;
  std::uint64_t start;   // first byte
  std::uint64_t last;    // last byte, at most lock_last_max
  std::uint64_t slot;    // position of the open file description it is asked through
  LockOwner owner;       // clients say the kind, their host's server the rest
  std::uint64_t ticket;  // of a wait, given by the host's server `rank`
  std::uint32_t rank;
  LockSpace space;
  LockKind kind;
  std::uint16_t flags;  // LockFlag
};
static_assert(Message<Lock> && Struct<LockReply> && sizeof(Lock) == 64 && sizeof(LockReply) == 32);

// The client was woken, or a signal came: says what became of the wait (0, EINTR: withdrawn,
// EDEADLK, EIO, …) and ends it. ESTALE: there is no such wait, ask anew.
struct EndLockWait {
  static constexpr Op op = Op::end_lock_wait;
  using Reply = Nothing;
  std::uint64_t ticket;
};
static_assert(Message<EndLockWait>);

struct AwaitLock {  // a slow answer; ESTALE: there is no such wait
  static constexpr Op op = Op::await_lock;
  using Reply = Nothing;
  std::uint64_t ticket;
  std::uint64_t rank;
};
static_assert(Message<AwaitLock>);

struct LockWaitOf {  // a wait, and whose
  std::uint64_t inode;
  std::uint64_t ticket;
  std::uint64_t rank;
};
struct LockOwnerReply {  // `waits` LockWaitOf follow: what a process waits for
  std::uint32_t lives;
  std::uint32_t waits;
};
struct AskLockOwner {
  static constexpr Op op = Op::lock_owner;
  using Reply = LockOwnerReply;
  LockOwner owner;
};
static_assert(Message<AskLockOwner> && Struct<LockOwnerReply> && Struct<LockWaitOf>);

struct LockBlockersReply {  // `owners` LockOwner follow
  std::int64_t since;       // when the wait began; 0: there is no such wait (any more)
  std::uint32_t owners;
  std::uint32_t reserved;
};
struct LockBlockers {
  static constexpr Op op = Op::lock_blockers;
  using Reply = LockBlockersReply;
  LockWaitOf wait;
  std::uint64_t recheck;  // 1: it is the youngest of a circle of waits; see for yourself
};
static_assert(Message<LockBlockers> && Struct<LockBlockersReply>);

struct HeldLocksReply {  // `locks` HeldLockOf follow
  std::uint64_t next;    // cursor to go on with; 0: that was all
  std::uint64_t locks;
};
struct HeldLockOf {
  std::uint64_t inode;
  std::uint64_t start;
  std::uint64_t last;
  std::uint64_t owner;
  LockOwnerKind owner_kind;
  LockSpace space;
  LockKind kind;
  std::uint16_t reserved;
};
struct AskHeldLocks {
  static constexpr Op op = Op::held_locks;
  using Reply = HeldLocksReply;
  std::uint64_t cursor;
  std::uint64_t rank;  // of inodes at home there
};
static_assert(Message<AskHeldLocks> && Struct<HeldLocksReply> && sizeof(HeldLockOf) == 40 &&
              Struct<HeldLockOf>);

// What `benchfs fsck` asks of each rank. Whoever finds `changes` equal before and after, and
// nothing under way, has read one state.
struct CheckStateReply {       // the first locked name follows, if any
  std::uint64_t changes;       // counts all changes of inodes and names
  std::uint64_t removals;      // of chunks, under way
  std::uint64_t transactions;  // under way
  std::uint64_t locked_names;
  std::uint64_t locked_directory;  // of the first of them
  std::uint64_t chunk_bytes;
};
struct CheckState {
  static constexpr Op op = Op::check_state;
  using Reply = CheckStateReply;
  std::uint64_t reserved;
};
static_assert(Message<CheckState> && Struct<CheckStateReply>);

// Inodes at home here, by counter, from `counter` on.
struct CheckedInode {  // a directory's name in its parent follows
  std::uint64_t inode;
  std::uint64_t size;    // as the home knows it
  std::uint64_t parent;  // directories
  std::uint32_t mode;
  std::uint32_t links;  // of a directory: 2 and its subdirectories
  std::uint32_t open;   // 1: some host has it open; or checked_part
  std::uint32_t name_bytes;
  std::uint64_t small;  // 1: a file whose bytes are with the inode, so it has no chunk files
};
// Of CheckedInode::open: this rank holds those entries of directory `inode`, which was split, whose
// cookies are from `size` on and below `parent`; `links` of its subdirectories are not counted in
// the directory's own row.
inline constexpr std::uint32_t checked_part = 2;
struct CheckInodesReply {
  std::uint64_t next;  // to go on with; 0: that was all
  std::uint64_t inodes;
};
struct CheckInodes {
  static constexpr Op op = Op::check_inodes;
  using Reply = CheckInodesReply;
  std::uint64_t counter;
};
static_assert(Message<CheckInodes> && Struct<CheckInodesReply> && sizeof(CheckedInode) == 48 &&
              Struct<CheckedInode>);

// Entries held here, by directory and cookie: those after (cookie, name) of the directory with
// `counter`, then those of the next ones.
struct CheckedEntry {  // the name follows
  std::uint64_t directory;
  std::uint64_t cookie;
  std::uint64_t inode;
  std::uint32_t type;  // S_IFMT bits
  std::uint32_t name_bytes;
};
struct CheckEntriesReply {
  std::uint64_t next;  // counter to go on with; 0: that was all
  std::uint64_t entries;
};
struct CheckEntries {  // the name follows
  static constexpr Op op = Op::check_entries;
  using Reply = CheckEntriesReply;
  std::uint64_t counter;
  std::uint64_t cookie;
  std::uint64_t name_bytes;
};
static_assert(Message<CheckEntries> && Struct<CheckEntriesReply> && sizeof(CheckedEntry) == 32 &&
              Struct<CheckedEntry>);

// Chunk files of this rank, in no order.
struct CheckedChunk {
  std::uint64_t inode;
  std::uint64_t index;
  std::uint64_t bytes;
};
struct CheckChunksReply {
  std::uint64_t next;  // to go on with
  std::uint32_t chunks;
  std::uint32_t strangers;  // files that are no chunks
  std::uint64_t end;        // 1: that was all
};
struct CheckChunks {
  static constexpr Op op = Op::check_chunks;
  using Reply = CheckChunksReply;
  std::uint64_t cursor;  // 0: the start
};
static_assert(Message<CheckChunks> && Struct<CheckChunksReply> && sizeof(CheckedChunk) == 24 &&
              Struct<CheckedChunk>);
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

// Copies a struct out of bytes that a stranger wrote.
template <Struct M>
Result<M> parse(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(M)) return Error(EBADMSG);
  M message;
  std::memcpy(&message, bytes.data(), sizeof message);  // bytes may be unaligned
  return message;
}

// The `length` bytes of text that follow a parsed struct, from `offset` on.
inline Result<std::string_view> text(std::span<const std::byte> bytes, std::size_t offset,
                                     std::size_t length) {
  if (offset > bytes.size() || length > bytes.size() - offset) return Error(EBADMSG);
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + offset, length);
}

template <Struct M>
std::span<const std::byte> bytes_of(const M& message) {
  return std::as_bytes(std::span(&message, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace benchfs::wire
