#include "daemon/metadata/namespace.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>

#include "common/log.h"
#include "common/placement.h"
#include "common/sys.h"
#include "daemon/journal/inode_record.h"

namespace benchfs {
namespace {

constexpr std::ptrdiff_t few = 8;  // changes of an inode stand together

constexpr std::uint32_t erased_max = 1 << 16;  // 12 MiB; giving them back takes a millisecond

ViewInode view_inode(const Inode& inode) {
  if (inode.is_split()) {
    const Partition& partition = *inode.directory->partition;
    ViewInode shown = ViewInode::in_range(inode.number, partition.low, partition.high);
    shown.mode = static_cast<std::uint16_t>(inode.mode);
    shown.uid = inode.uid;
    shown.gid = inode.gid;
    return shown;
  }
  const wire::Attributes attributes = attributes_of(inode);
  return {
      .inode = inode.number,
      .extent = ViewInode::extent_of(attributes.size, inode.is_small() ? inode.stored : in_chunks),
      .accessed = attributes.accessed,
      .modified = attributes.modified,
      .changed = attributes.changed,
      .mode = static_cast<std::uint16_t>(attributes.mode),
      .elsewhere = Elsewhere::nothing_elsewhere,
      .links = attributes.links,
      .uid = attributes.uid,
      .gid = attributes.gid};
}

}  // namespace

EntryKeyView Directory::key(std::uint64_t inode, std::string_view name) {
  return {entry_cookie(inode, name), name};
}

wire::Attributes attributes_of(const Inode& inode) {
  wire::Attributes attributes{};
  attributes.inode = inode.number;
  attributes.size = inode.size;
  attributes.mode = inode.mode;
  attributes.links = inode.links;
  attributes.uid = inode.uid;
  attributes.gid = inode.gid;
  attributes.accessed = inode.accessed;
  attributes.modified = inode.modified;
  attributes.changed = inode.changed;
  attributes.born = inode.born;
  if (inode.is_directory()) {
    attributes.size = directory_entry_bytes * (inode.directory->entries.size() + 2);
    attributes.links = inode.is_removed() ? 0 : 2 + inode.directory->subdirectories;
  } else if (inode.is_symlink()) {
    attributes.size = inode.target->size();
  }
  attributes.blocks = wire::blocks_of(attributes.mode, attributes.size);
  constexpr std::uint64_t blocks_per_page = 8;
  if (inode.pages < Inode::pages_unknown) attributes.blocks = inode.pages * blocks_per_page;
  return attributes;
}

std::uint32_t privileges(const Inode& inode) {
  if (inode.is_directory()) return 0;
  const std::uint32_t lost = S_ISUID | ((inode.mode & S_IXGRP) != 0 ? S_ISGID : 0);
  return inode.mode & lost;
}

bool permits(const Inode& inode, std::uint32_t uid, int want) {
  if (uid == 0) return (want & X_OK) == 0 || inode.is_directory() || (inode.mode & 0111) != 0;
  return ((inode.mode >> 6) & static_cast<std::uint32_t>(want)) == static_cast<std::uint32_t>(want);
}

Namespace::Namespace(std::uint32_t rank, std::uint32_t ranks, std::uint64_t inodes_max)
    : rank_(rank), ranks_(ranks), inodes_max_(inodes_max) {
  if (rank == 0) {
    const auto root = make_directory(S_IFDIR | 0755, ::geteuid(), ::getegid(), root_inode, "");
    assert(root.ok() && (*root)->number == root_inode);
    static_cast<void>(root);
  }
}

const Inode* Namespace::find(std::uint64_t number) const {
  leases_.reading(wire::lease_key(number));
  return known(number);
}

Inode* Namespace::touch(std::uint64_t number) {
  ++changes_;
  Inode* const inode = known(number);
  if (inode == nullptr || view_ == nullptr) return inode;
  view_->forget(number);
  if (hidden_.empty() || hidden_.back() != number) hidden_.push_back(number);
  return inode;
}

Inode* Namespace::change(std::uint64_t number) {
  leases_.changing(wire::lease_key(number));
  return change_opens(number);
}

Inode* Namespace::change_access(std::uint64_t number) {
  leases_.changing(wire::lease_key(number), false);
  return change_opens(number);
}

Inode* Namespace::change_access_of(std::uint64_t number, std::uint32_t host) {
  const bool only_there = leases_.held_by_none_but(wire::lease_key(number), host);
  return only_there ? change_opens(number) : change_access(number);
}

Inode* Namespace::change_opens(std::uint64_t number) {
  Inode* const inode = touch(number);
  if (inode != nullptr && journal_ != nullptr) changed_.push_back(number);
  return inode;
}

void Namespace::closed(std::uint64_t number, std::uint32_t host) {
  touch(number);
  if (journal_ == nullptr) return;
  const ClosedRecord record{.inode = number, .host = host};
  if (journal_->has_room(room_at_last + sizeof record))
    journal_->append(RecordType::closed, record);
  else
    changed_.push_back(number);
}

void Namespace::note_access(const Inode& inode) {
  if (kept_access(inode.accessed, inode.modified, inode.changed) == 0)
    change_access(inode.number)->accessed = sys::now_ns(CLOCK_REALTIME);
}

void Namespace::show_in(HostView& view, std::uint32_t host) {
  view_ = &view;
  host_ = host;
}

void Namespace::keep_contents_in(HostTable& table, ProcessId self) {
  table_ = &table;
  self_ = self;
}

// A cell outlives the server that a file of it was at home at, so the journal says only where the
// bytes are. Who has the file open may have given it a cell since.
void Namespace::claim_contents() {
  if (table_ == nullptr) return;
  std::size_t lost = 0;
  for (std::size_t shard = 0; shard < InodeTable::shards; ++shard) {
    for (const std::uint64_t number : inodes_.numbers(shard)) {
      Inode& inode = *inodes_.find(number);
      if (inode.type() != S_IFREG) continue;
      const Stored used =
          table_->may_be_open(number) ? table_->cell_of(self_, number) : stored_nowhere;
      if (!inode.is_small()) {  // moved, and its clients, who are frozen, were not told yet
        table_->contents.give(used);
        continue;
      }
      if (used != stored_nowhere) inode.stored = used;
      if (!in_cell(inode.stored) || table_->contents.owners[inode.stored] == number) continue;
      inode.stored = stored_nowhere;
      ++lost;
    }
  }
  if (lost != 0) log::error("{} small files have lost their content", lost);
  table_->reclaim_cells(self_, [this](std::uint64_t number, Stored cell) {
    if (home_rank(number) != rank_) return false;
    const Inode* const inode = known(number);
    return inode == nullptr || inode->stored != cell;
  });
}

// Who takes it writes there at once, so a server that follows must know already whose it was not.
void Namespace::give_cell(Stored cell) {
  if (table_ == nullptr || !in_cell(cell)) return;
  if (journal_ == nullptr) return table_->contents.give(cell);
  left_cells_.push_back(cell);
}

void Namespace::committed() {
  if (!changed_.empty()) return;  // there was no room: what the cells were left for may be among it
  for (const Stored cell : left_cells_) table_->contents.give(cell);
  left_cells_.clear();
}

void Namespace::show_changes() {
  for (const std::uint64_t number : hidden_)
    if (const Inode* const inode = known(number)) show(*inode);
  hidden_.clear();
}

void Namespace::log_to(Journal& journal) {
  claim_contents();
  journal_ = &journal;
  if (next_counter_ == logged_counter_) return;  // it is the journal's own
  for (std::size_t shard = 0; shard < InodeTable::shards; ++shard)
    for (const std::uint64_t number : inodes_.numbers(shard)) changed_.push_back(number);
}

void Namespace::log_inode(const Inode& inode) {
  encode_inode(inode, journal_->append(RecordType::inode, inode_record_bytes(inode)));
}

void Namespace::log_changes() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < changed_.size(); ++i) {
    const auto later = changed_.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    const auto end = changed_.end() - later > few ? later + few : changed_.end();
    if (std::find(later, end, changed_[i]) != end) continue;  // once is enough
    const Inode* const inode = known(changed_[i]);
    if (inode == nullptr || inode->is_removed()) continue;
    if (journal_->has_room(room_at_last + inode_record_bytes(*inode)))
      log_inode(*inode);
    else
      changed_[kept++] = changed_[i];
  }
  changed_.resize(kept);
  logged_counter_ = next_counter_;
}

// The directory comes first, or replay would not know it.
void Namespace::log_entry(const Inode& directory, std::string_view name, Entry entry) {
  if (journal_ == nullptr) return;
  if (inode_counter(directory.number) >= logged_counter_) log_inode(directory);
  const EntryRecord record{.directory = directory.number,
                           .inode = entry.inode,
                           .modified = directory.modified,
                           .changed = directory.changed,
                           .type = entry.type,
                           .name_bytes = static_cast<std::uint32_t>(name.size())};
  journal_->append(RecordType::entry, record, wire::bytes_of(name));
}

// Not what other hosts may be writing, nor what is being truncated or recalled; nor what has holes,
// for the blocks it takes have no place there.
void Namespace::show(const Inode& inode) {
  if (view_ == nullptr) return;
  const OpenState* const open = inode.open.get();
  const bool written = open != nullptr && open->written();
  const bool only_here = open != nullptr && open->exact_host == host_;
  if ((written && !only_here) || (open != nullptr && open->mutex.locked()) ||
      leases_.recalling(wire::lease_key(inode.number)))
    return view_->forget(inode.number);
  if (locks_.locked(inode.number, {})) return view_->forget(inode.number);
  if (inode.pages != Inode::pages_dense) return view_->forget(inode.number);
  if (inode.is_removed()) return view_->forget(inode.number);
  ViewInode shown = view_inode(inode);
  if (written) {
    shown.elsewhere = Elsewhere::written_here;
  } else if (open != nullptr && open->has(host_)) {
    shown.elsewhere = Elsewhere::read_here;
  }
  view_->publish(shown);
}

void Namespace::show(std::uint64_t directory, std::string_view name, Entry entry) {
  if (view_ == nullptr) return;
  if (locks_.locked(directory, name)) return hide(directory, name);
  if (!leases_.idle() && leases_.recalling(wire::lease_key(directory, name)))
    return hide(directory, name);
  view_->publish(directory, name, entry.inode, entry.type);
}

void Namespace::show_missing(const Inode& directory, std::string_view name) {
  show(directory.number, name, {.inode = 0, .type = 0});
}

void Namespace::hide(std::uint64_t directory, std::string_view name) {
  if (view_ != nullptr) view_->forget(directory, name);
}

bool Namespace::changing(std::uint64_t directory, std::string_view name) {
  return !leases_.idle() && leases_.changing(wire::lease_key(directory, name));
}

Task<int> Namespace::lock(EventLoop& loop, LockKey wanted) {
  const bool is_name = !wanted.name.empty();
  if (is_name)
    hide(wanted.inode, wanted.name);
  else if (view_ != nullptr)
    view_->forget(wanted.inode);
  const wire::LeaseKey key =
      is_name ? wire::lease_key(wanted.inode, wanted.name) : wire::lease_key(wanted.inode);
  leases_.changing(key);
  const int result = co_await locks_.lock(loop, std::move(wanted));
  if (result == 0) co_await leases_.settled(loop, key);
  co_return result;
}

void Namespace::lease(std::uint32_t host, const std::vector<Passed>& passed, std::size_t bytes_max,
                      std::vector<std::byte>& out) {
  const std::size_t end = out.size() + bytes_max;
  const auto add = [&](const wire::Lease& lease, std::span<const std::byte> rest) {
    const auto head = wire::bytes_of(lease);
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), rest.begin(), rest.end());
  };
  for (const Passed& one : passed) {
    if (out.size() + sizeof(wire::Lease) + std::max(one.name.size(), sizeof(ViewInode)) > end)
      return;
    const Inode* const inode = known(one.inode);
    if (inode == nullptr || inode->is_removed()) continue;
    if (!one.name.empty()) {
      if (!inode->is_directory() || locks_.locked(one.inode, one.name) ||
          !leases_.give(wire::lease_key(one.inode, one.name), host))
        continue;
      const auto& entries = inode->directory->entries;
      const Entry* const found = entries.find(inode->directory->key_of(one.inode, one.name));
      const Entry entry = found != nullptr ? *found : Entry{.inode = 0, .type = 0};
      add({.directory = one.inode,
           .inode = entry.inode,
           .type = entry.type,
           .name_bytes = static_cast<std::uint32_t>(one.name.size())},
          wire::bytes_of(one.name));
      continue;
    }
    const OpenState* const open = inode->open.get();
    if (open != nullptr && (open->written() || open->mutex.locked())) continue;
    if (inode->pages != Inode::pages_dense) continue;  // as in show()
    if (locks_.locked(one.inode, {})) continue;
    if (!leases_.give(wire::lease_key(one.inode), host)) continue;
    const ViewInode shown = view_inode(*inode);
    add({.directory = 0, .inode = one.inode, .type = inode->type(), .name_bytes = 0},
        wire::bytes_of(shown));
  }
}

std::unique_ptr<Inode> Namespace::take(std::uint64_t number) {
  ++changes_;
  leases_.changing(wire::lease_key(number));
  if (view_ != nullptr) view_->forget(number);
  std::unique_ptr<Inode> inode = inodes_.take(number);
  if (inode == nullptr) return nullptr;
  if (journal_ != nullptr) {
    const std::uint64_t size = inode->chunked_bytes();
    if (size != 0) uncut_[number] = size;
    const ErasedRecord record{.inode = number, .size = size};
    journal_->append(RecordType::inode_erased, record);
  }
  give_cell(inode->stored);
  return inode;
}

void Namespace::erase(std::uint64_t number) {
  take(number);
  if (++erased_ < erased_max) return;
  erased_ = 0;
  ::malloc_trim(0);
}

void Namespace::remove_directory(std::uint64_t number, std::int64_t time) {
  std::unique_ptr<Inode> inode = take(number);
  if (inode == nullptr || inode->directory->is_part()) return;
  inode->links = 0;
  inode->changed = std::max(inode->changed, time);
  inode->directory->partition.reset();
  removed_.add(std::move(inode));
}

void Namespace::cut_done(std::uint64_t number) {
  if (uncut_.erase(number) == 0) return;
  const CutRecord record{.inode = number};
  journal_->append(RecordType::chunks_cut, record);
}

bool Namespace::restore_inode(std::span<const std::byte> record) {
  const auto number = wire::parse<std::uint64_t>(record);  // its first field
  if (!number.ok() || !valid_inode(*number, ranks_) || home_rank(*number) != rank_) return false;
  Inode& inode = inodes_.at(*number);
  if (!decode_inode(record, inode)) return false;
  // What was split off went without a record of its own.
  if (inode.is_directory() && inode.directory->partition != nullptr)
    keep_below(*inode.directory, inode.directory->partition->high);
  restore_counter(inode_counter(*number) + 1);
  return true;
}

bool Namespace::restore_closing(const ClosedRecord& record) {
  Inode* const inode = known(record.inode);
  if (inode == nullptr || inode->open == nullptr) return true;  // a later record says more
  auto& hosts = inode->open->hosts;
  const auto host = std::ranges::find(hosts, record.host, &OpenHost::host);
  if (host != hosts.end()) hosts.erase(host);
  if (hosts.empty()) inode->open.reset();
  return true;
}

bool Namespace::restore_erasure(const ErasedRecord& record) {
  if (!valid_inode(record.inode, ranks_) || home_rank(record.inode) != rank_) return false;
  inodes_.take(record.inode);
  if (record.size != 0) uncut_[record.inode] = record.size;
  restore_counter(inode_counter(record.inode) + 1);
  return true;
}

// A directory that is not known is passed over: a later record says that it has gone.
bool Namespace::restore_entry(std::span<const std::byte> body) {
  const auto record = wire::parse<EntryRecord>(body);
  if (!record.ok() || body.size() != sizeof(EntryRecord) + record->name_bytes) return false;
  Inode* const inode = known(record->directory);
  if (inode == nullptr || !inode->is_directory()) return true;
  const std::string_view name = *wire::text(body, sizeof(EntryRecord), record->name_bytes);
  put(*inode, name, {.inode = record->inode, .type = record->type});
  if (record->changed == 0) return true;
  inode->modified = record->modified;
  inode->changed = record->changed;
  return true;
}

bool Namespace::restore(RecordType type, std::span<const std::byte> body) {
  switch (type) {
    case RecordType::inode:
      return restore_inode(body);
    case RecordType::entry:
      return restore_entry(body);
    case RecordType::inode_erased: {
      const auto record = wire::parse<ErasedRecord>(body);
      return record.ok() && restore_erasure(*record);
    }
    case RecordType::closed: {
      const auto record = wire::parse<ClosedRecord>(body);
      return record.ok() && restore_closing(*record);
    }
    case RecordType::chunks_cut: {
      const auto record = wire::parse<CutRecord>(body);
      if (record.ok()) uncut_.erase(record->inode);
      return record.ok();
    }
    default:
      return false;
  }
}

Result<Inode*> Namespace::make(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid) {
  if (inodes_max_ != 0 && inodes_.size() >= inodes_max_) return Error(ENOSPC);
  if (next_counter_ > inode_counter_max) return Error(ENOSPC);
  ++changes_;
  Inode& inode = inodes_.at(make_inode(rank_, next_counter_++));
  inode.mode = mode;
  inode.uid = uid;
  inode.gid = gid;
  inode.links = 1;
  if (S_ISREG(mode) && table_ != nullptr && table_->inline_bytes != 0)
    inode.stored = stored_nowhere;
  inode.accessed = inode.modified = inode.changed = inode.born = sys::now_ns(CLOCK_REALTIME);
  if (view_ != nullptr) hidden_.push_back(inode.number);
  if (journal_ != nullptr) changed_.push_back(inode.number);
  return &inode;
}

Result<Inode*> Namespace::make_directory(std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                                         std::uint64_t parent, std::string_view name) {
  TRY(Inode* const inode, make(mode, uid, gid));
  inode->directory = std::make_unique<Directory>();
  inode->directory->parent = parent;
  inode->directory->name = name;
  return inode;
}

const Entry* Namespace::entry(const Inode& directory, std::string_view name) const {
  if (leases_.recalls() != 0) leases_.reading(wire::lease_key(directory.number, name));
  return directory.directory->entries.find(directory.directory->key_of(directory.number, name));
}

// An agreed time may be older than that of a change of another name made here meanwhile.
void Namespace::stamp(Inode& directory, std::int64_t time) {
  directory.modified = directory.changed > time ? std::max(directory.modified, time) : time;
  directory.changed = std::max(directory.changed, time);
}

void Namespace::set(const Inode& directory, std::string_view name, Entry entry, std::int64_t time) {
  Inode& changed = *known(directory.number);
  put(changed, name, entry);
  stamp(changed, time);
  log_entry(changed, name, entry);
  leases_.changing(wire::lease_key(changed.number));
  changing(changed.number, name);
  if (entry.inode != 0 && is_overfull(*changed.directory)) overfull_.push_back(changed.number);
  show(changed.number, name, entry);
  show(changed);
}

bool Namespace::is_overfull(const Directory& directory) const {
  if (directory.entries.size() <= split_entries_) return false;
  return directory.partition != nullptr ? directory.partition->can_split(ranks_) : ranks_ > 1;
}

Result<Inode*> Namespace::make_part(std::uint64_t number, const Inode& like, Partition partition) {
  if (inodes_max_ != 0 && inodes_.size() >= inodes_max_) return Error(ENOSPC);
  assert(home_rank(number) == rank_ && find(number) == nullptr);
  ++changes_;
  Inode& inode = inodes_.at(number);
  inode.mode = like.mode;
  inode.uid = like.uid;
  inode.gid = like.gid;
  inode.links = 1;
  inode.accessed = inode.modified = inode.changed = inode.born = 0;
  inode.directory = std::make_unique<Directory>();
  inode.directory->parent = partition.of;
  inode.directory->partition = std::make_unique<Partition>(std::move(partition));
  if (journal_ != nullptr) log_inode(inode);  // its number is older than what it gets
  return &inode;
}

void Namespace::take_in(const Inode& part, std::string_view name, Entry entry) {
  Inode& changed = *known(part.number);
  Directory& directory = *changed.directory;
  const EntryKeyView key = directory.key_of(part.number, name);
  const bool added = directory.entries.add(key, entry);
  if (added && entry.type == S_IFDIR) ++directory.subdirectories;
  log_entry(changed, name, entry);
  show(changed.number, name, entry);  // for whoever is shown that the part has it
}

void Namespace::keep_below(Directory& directory, std::uint64_t cookie) {
  for (auto gone = directory.entries.lower_bound(EntryKeyView{cookie, {}});
       gone != directory.entries.end(); ++gone)
    if (gone->second.type == S_IFDIR) --directory.subdirectories;
  directory.entries.erase_from(cookie);
}

// Logged at once, with the decision: else the entries could come back here, too.
Partition& Namespace::begin_partition(const Inode& inode) {
  leases_.changing(wire::lease_key(inode.number));
  std::unique_ptr<Partition>& partition = touch(inode.number)->directory->partition;
  if (partition == nullptr) partition = std::make_unique<Partition>();
  return *partition;
}

void Namespace::split_off(const Inode& inode, const Partition::Later& part) {
  Partition& partition = begin_partition(inode);
  keep_below(*known(inode.number)->directory, part.low);
  partition.high = part.low;
  ++partition.depth;
  partition.later.push_back(part);
  if (journal_ != nullptr) log_inode(inode);
}

void Namespace::add_part(const Inode& inode, const Partition::Later& part) {
  begin_partition(inode).later.push_back(part);
  if (journal_ != nullptr) log_inode(inode);
}

void Namespace::insert(const Inode& directory, std::string_view name, Entry entry) {
  set(directory, name, entry, sys::now_ns(CLOCK_REALTIME));
}

void Namespace::put(Inode& inode, std::string_view name, Entry entry) {
  Directory& directory = *inode.directory;
  const EntryKeyView key = directory.key_of(inode.number, name);
  const Entry* const there = directory.entries.find(key);
  if (there != nullptr && there->type == S_IFDIR) --directory.subdirectories;
  if (entry.inode == 0) return directory.entries.erase(key);
  if (entry.type == S_IFDIR) ++directory.subdirectories;
  directory.entries.set(key, entry);
}

void Namespace::remove(const Inode& directory, std::string_view name) {
  if (entry(directory, name) != nullptr) insert(directory, name, {.inode = 0, .type = 0});
}

void Namespace::replace(const Inode& directory, std::string_view name, Entry entry) {
  insert(directory, name, entry);
}

}  // namespace benchfs
