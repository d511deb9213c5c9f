#include "common/host_table.h"

#include <algorithm>
#include <bit>

#include "common/placement.h"
#include "common/wire.h"

namespace benchfs {
namespace {

constexpr std::uint64_t position_tag = HostTable::common_position;
constexpr std::uint32_t check_mask = (1u << 22) - 1;

std::uint32_t bucket_of(std::uint64_t inode) {
  return static_cast<std::uint32_t>((inode * 0x9e3779b97f4a7c15ull) >> 48) % size_buckets;
}

// Of an entry whose size is known anew; what is cached of the time before is void.
void begin_session(SizeEntry& entry, Stored stored, std::uint64_t size, std::int64_t accessed,
                   bool exact) {
  entry.stored.store(stored);
  entry.generation.fetch_add(1);
  entry.floor.store(size);
  entry.end.store(size);
  entry.modified.store(0);
  entry.accessed.store(accessed);
  entry.sparse.store(0);
  entry.privileged.store(0);
  entry.exact.store(exact ? 1 : 0);
}

bool has_news_of_access(const SizeEntry& entry) {
  return entry.accessed.load() > entry.access_told;
}

}  // namespace

class HostTable::Locked {
 public:
  Locked(HostTable& table, ProcessId self) : table_(table) {
    if (table_.table_lock.lock(self)) table_.recount();
  }
  ~Locked() { table_.table_lock.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  HostTable& table_;
};

std::uint64_t HostTable::position(std::uint32_t index) const {
  return position_tag | (std::uint64_t{slots[index].check & check_mask} << 20) | index;
}

std::uint32_t HostTable::slot_at(std::uint64_t where) const {
  if ((where & position_tag) == 0 || where >= position_tag * 2) return 0;
  const auto index = static_cast<std::uint32_t>(where & 0xfffff);
  if (index == 0 || index >= open_slots) return 0;
  if (slots[index].refs.load(std::memory_order_acquire) == 0) return 0;
  return position(index) == where ? index : 0;
}

std::uint32_t HostTable::take_slot(ProcessId self, ProcessRecord& record) {
  std::uint32_t index = 0;
  {
    const Locked locked(*this, self);
    if (slot_free != 0) {
      index = slot_free;
      slot_free = slots[index].next_free;
    } else if (slot_high + 1 < open_slots) {
      index = ++slot_high;
    } else {
      return 0;
    }
  }
  OpenSlot& slot = slots[index];
  slot.check = slot.check + 1;
  slot.offset.store(0, std::memory_order_relaxed);
  slot.inode.store(0, std::memory_order_relaxed);
  slot.entry.store(0, std::memory_order_relaxed);
  slot.offset_lock.unlock();
  slot.refs.store(1, std::memory_order_release);
  record.slots[index / 64].fetch_or(std::uint64_t{1} << (index % 64));
  record.held.fetch_add(1);
  return index;
}

bool HostTable::holds(const ProcessRecord& record, std::uint32_t index) const {
  return (record.slots[index / 64].load() >> (index % 64) & 1) != 0;
}

// The reference first, then the bit that says whose it is: a process killed in between leaves one
// reference too many, never one too few.
bool HostTable::hold(ProcessRecord& record, std::uint32_t index) {
  std::atomic<std::uint32_t>& refs = slots[index].refs;
  std::uint32_t seen = refs.load();
  do {
    if (seen == 0) return false;
  } while (!refs.compare_exchange_weak(seen, seen + 1));
  const std::uint64_t bit = std::uint64_t{1} << (index % 64);
  if ((record.slots[index / 64].fetch_or(bit) & bit) != 0) {
    refs.fetch_sub(1);  // held already, so not the last
  } else {
    record.held.fetch_add(1);
  }
  return true;
}

std::uint32_t HostTable::drop_slot(ProcessId self, ProcessRecord& record, std::uint32_t index) {
  const std::uint64_t bit = std::uint64_t{1} << (index % 64);
  if ((record.slots[index / 64].fetch_and(~bit) & bit) == 0) return 0;
  record.held.fetch_sub(1);
  OpenSlot& slot = slots[index];
  if (slot.refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return 0;
  const Locked locked(*this, self);
  const std::uint32_t entry = slot.entry.exchange(0);
  slot.next_free = slot_free;
  slot_free = index;
  return entry != 0 ? closed(entry) : 0;
}

std::uint32_t HostTable::closed(std::uint32_t entry) {
  std::uint32_t& opens = entries[entry].opens;
  return opens != 0 && --opens == 0 ? idle(entry) : 0;
}

std::uint32_t HostTable::idle(std::uint32_t index) {
  const SizeEntry& entry = entries[index];
  const bool is_kept = (entry.place & EntryPlace::kept) != 0;
  if ((entry.granted != 0 && !is_kept) || has_news_of_access(entry)) {
    push_release(index);
    // A last access alone is told when the server wakes for something else.
    return entry.granted != 0 ? index : 0;
  }
  if (entry.granted == 0 && entry.releasing.load() == 0) free_entry(index);
  return 0;
}

std::uint32_t HostTable::list_of(const SizeEntry& entry) const {
  constexpr std::uint32_t leaders = EntryPlace::foreign | EntryPlace::has_locks;
  return (entry.place & leaders) != 0 ? leaders_list : release_list(home_rank(entry.inode));
}

void HostTable::push_release(std::uint32_t index) {
  SizeEntry& entry = entries[index];
  if (entry.releasing.exchange(1) != 0) return;
  entry.place &= ~std::uint32_t{EntryPlace::has_locks};
  if (locks.any(entry.inode)) entry.place |= EntryPlace::has_locks;
  auto& list = release_heads[list_of(entry)];
  std::uint32_t head = list.load();
  do {
    entry.next_release = head;
  } while (!list.compare_exchange_weak(head, index));
}

ProcessRecord* HostTable::known_record(ProcessId process) {
  const std::uint32_t high = process_high.load(std::memory_order_acquire);
  ProcessRecord* unstarted = nullptr;
  for (std::uint32_t i = 0; i < high; ++i) {
    const ProcessId found = processes[i].process.load(std::memory_order_acquire);
    if (found == process) return &processes[i];
    if (found != 0 && found == static_cast<std::uint32_t>(process)) unstarted = &processes[i];
  }
  if (unstarted == nullptr || (process & embryo) != 0) return nullptr;
  unstarted->process.store(process);  // its parent knew the pid alone
  return unstarted;
}

ProcessRecord* HostTable::record_of(ProcessId process, bool make) {
  if (ProcessRecord* const known = known_record(process)) return known;
  if (!make) return nullptr;
  const RobustGuard guard(process_lock, process & ~embryo);
  if (ProcessRecord* const known = known_record(process)) return known;  // by another thread
  for (std::uint32_t i = 0; i < process_records; ++i) {
    if (processes[i].process.load() != 0) continue;
    processes[i].working_slot.store(0);
    processes[i].process.store(process);
    if (i >= process_high.load()) process_high.store(i + 1, std::memory_order_release);
    return &processes[i];
  }
  return nullptr;
}

ProcessRecord* HostTable::fork_record(ProcessId self, ProcessRecord& parent) {
  ProcessRecord* const child = record_of(self | embryo, true);
  if (child == nullptr) return nullptr;
  for (std::uint32_t word = 0; word < parent.slots.size(); ++word) {
    std::uint64_t bits = parent.slots[word].load();
    while (bits != 0) {
      const auto index = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
      hold(*child, index);
    }
  }
  child->working_slot.store(parent.working_slot.load());
  return child;
}

bool HostTable::drop_record(ProcessId self, ProcessRecord& record) {
  bool idle = false;
  for (std::uint32_t word = 0; record.held.load() != 0 && word < record.slots.size(); ++word) {
    std::uint64_t bits = record.slots[word].load();
    while (bits != 0) {
      const auto index = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
      idle |= drop_slot(self, record, index) != 0;
    }
  }
  for (auto& word : record.writing) word.store(0);
  record.working_slot.store(0);
  record.process.store(0, std::memory_order_release);
  return idle;
}

std::uint32_t HostTable::find_locked(std::uint64_t inode) const {
  for (std::uint32_t i = buckets[bucket_of(inode)]; i != 0; i = entries[i].next)
    if (entries[i].inode == inode) return i;
  return 0;
}

std::uint32_t HostTable::find(ProcessId self, std::uint64_t inode, std::uint64_t session) {
  const Locked locked(*this, self);
  const std::uint32_t index = find_locked(inode);
  return index != 0 && entries[index].session >= session ? index : 0;
}

HostSize HostTable::host_size(ProcessId self, std::uint64_t inode, std::uint64_t news) {
  const Locked locked(*this, self);
  const std::uint32_t index = find_locked(inode);
  if (index == 0) return {};
  SizeEntry& entry = entries[index];
  const HostSize here{.session = entry.session,
                      .size = entry.end.load(),
                      .modified = (news & wire::News::times_set) != 0 ? entry.modified.exchange(0)
                                                                      : entry.modified.load(),
                      .exact = entry.exact.load() != 0,
                      .accessed = entry.accessed.load(),
                      .sparse = entry.sparse.load() != 0,
                      .stored = entry.stored.load()};
  if ((news & wire::News::attributes_set) != 0) entry.accessed.store(0);
  if ((news & wire::News::privileges_given) != 0) entry.privileged.store(1);
  return here;
}

void HostTable::thaw(ProcessId self, std::uint64_t inode, std::uint64_t session, std::uint64_t size,
                     bool was_cut, bool to_chunks) {
  const Locked locked(*this, self);
  const std::uint32_t index = find_locked(inode);
  if (index == 0) return;
  SizeEntry& entry = entries[index];
  entry.session = session;
  entry.floor.store(size);
  entry.end.store(size);
  entry.modified.store(0);
  entry.accessed.store(0);
  entry.sparse.store(0);
  const Stored before = entry.stored.load();
  if (to_chunks) entry.stored.store(in_chunks);
  // What readers copy out of a cell that goes, or is cut, is void.
  if (was_cut || before != entry.stored.load()) entry.generation.fetch_add(1);
  if ((entry.place & EntryPlace::foreign) != 0) {
    if (to_chunks)
      contents.give(before);
    else
      contents.trim(before, size);
  }
  entry.frozen.store(0, std::memory_order_seq_cst);
  sys::futex_wake(&entry.frozen, INT32_MAX);
}

std::uint32_t HostTable::opened(ProcessId self, const Granted& granted, OpenSlot* slot) {
  const Locked locked(*this, self);
  std::uint32_t index = find_locked(granted.inode);
  const bool is_new = index == 0 || granted.session > entries[index].session;
  Stored stored = granted.stored;
  if (is_new && granted.foreign && in_cell(stored)) {
    stored = contents.take(granted.inode, 0);
    if (!in_cell(stored)) return 0;
    contents.fill(stored, granted.content);
  }
  if (index == 0) {
    index = new_entry(granted.inode);
    if (index == 0) {
      if (granted.foreign) contents.give(stored);
      return 0;
    }
  }
  SizeEntry& entry = entries[index];
  if (is_new) {  // the first answer of a session; later ones find it set up
    entry.session = granted.session;
    if ((entry.place & EntryPlace::foreign) != 0) contents.give(entry.stored.load());
    entry.place = granted.foreign ? std::uint32_t{EntryPlace::foreign} : 0;
    entry.frozen.store(0);  // no home opens in a new session before it has thawed the old
    begin_session(entry, stored, granted.size, granted.accessed, granted.exact);
  } else if (!granted.exact) {
    entry.exact.store(0);
  }
  if (granted.tenure > entry.tenure) {  // the one before is over, though its release was not
    entry.tenure = granted.tenure;      // answered yet
    entry.granted = 0;
  }
  entry.place &= ~std::uint32_t{EntryPlace::given_back};
  if (granted.privileged) entry.privileged.store(1);
  if (granted.writes) {
    entry.place |= EntryPlace::written;
    entry.place &= ~std::uint32_t{EntryPlace::kept};
  }
  ++entry.opens;
  ++entry.granted;
  if (slot != nullptr) {
    const std::uint32_t before = slot->entry.exchange(index);
    if (before != 0) closed(before);
  }
  return index;
}

std::uint32_t HostTable::new_entry(std::uint64_t inode) {
  std::uint32_t index = entry_free;
  if (index != 0)
    entry_free = entries[index].next;
  else if (entry_high + 1 < size_entries)
    index = ++entry_high;
  else
    return 0;
  SizeEntry& entry = entries[index];
  entry.inode = inode;
  entry.session = 0;
  entry.tenure = 0;
  entry.opens = 0;
  entry.granted = 0;
  entry.frozen.store(0);
  entry.releasing.store(0);
  entry.append_lock.unlock();
  entry.place = 0;
  entry.access_told = 0;
  entry.stored.store(in_chunks);
  auto& bucket = buckets[bucket_of(inode)];
  entry.next = bucket.load(std::memory_order_relaxed);
  bucket.store(index, std::memory_order_release);
  return index;
}

void HostTable::open_unasked(ProcessId self, const ShownFile& shown, OpenSlot& slot) {
  const Locked locked(*this, self);
  std::uint32_t index = find_locked(shown.inode);
  if (index != 0) {
    const SizeEntry& there = entries[index];
    const bool is_granted = there.granted != 0 && (there.place & EntryPlace::given_back) == 0;
    if (!is_granted && (there.stored.load() != shown.stored || there.end.load() != shown.size ||
                        (there.place & EntryPlace::foreign) != 0))
      return;
  } else {
    if (!shown.foreign) index = new_entry(shown.inode);
    if (index == 0) return;
    begin_session(entries[index], shown.stored, shown.size, shown.accessed, false);
    entries[index].access_told = shown.accessed;
  }
  slot.entry.store(index);
  ++entries[index].opens;
}

bool HostTable::may_be_open(std::uint64_t inode) const {
  return buckets[bucket_of(inode)].load(std::memory_order_acquire) != 0;
}

Unasked HostTable::count_unasked(ProcessId self, std::uint64_t inode, std::uint64_t session,
                                 const HostSize& known) {
  const Locked locked(*this, self);
  const std::uint32_t index = find_locked(inode);
  if (index == 0) return {};
  SizeEntry& entry = entries[index];
  if (entry.opens == 0) return {.opens = 0, .accessed = entry.accessed.exchange(0)};
  const bool was_granted = entry.granted != 0;  // and the home has ended that
  entry.session = session;
  entry.tenure = session;
  entry.granted = entry.opens;
  entry.place = 0;
  entry.exact.store(known.exact ? 1 : 0);
  if (!was_granted && (entry.stored.load() != known.stored || entry.end.load() != known.size)) {
    entry.stored.store(known.stored);
    entry.floor.store(known.size);
    entry.end.store(known.size);
    entry.generation.fetch_add(1);
  }
  return {.opens = entry.opens, .accessed = entry.accessed.load()};
}

void HostTable::undo_open(ProcessId self, std::uint32_t entry) {
  const Locked locked(*this, self);
  closed(entry);
}

Released HostTable::begin_release(ProcessId self, std::uint32_t index, bool keep) {
  const Locked locked(*this, self);
  SizeEntry& entry = entries[index];
  entry.releasing.store(0);
  if (entry.opens != 0) return {};
  const bool has_news = has_news_of_access(entry);
  if (entry.granted == 0 && !has_news) {
    free_entry(index);
    return {};
  }
  Released told{.opens = entry.granted,
                .inode = entry.inode,
                .tenure = entry.tenure,
                .reached = {.session = entry.session,
                            .size = entry.end.load(),
                            .modified = entry.modified.load(),
                            .exact = false,
                            .accessed = entry.accessed.load(),
                            .sparse = entry.sparse.load() != 0,
                            .stored = entry.stored.load()},
                .kept = false};
  constexpr std::uint32_t all = EntryPlace::foreign | EntryPlace::written | EntryPlace::given_back;
  if (keep && entry.granted != 0 && (entry.place & all) == EntryPlace::foreign) {
    told.kept = (entry.place & EntryPlace::kept) == 0;
    entry.place |= EntryPlace::kept;
    entry.access_told = std::max(entry.access_told, told.reached.accessed);
    if (!has_news) told.inode = 0;
    told.opens = 0;
    told.tenure = 0;
    return told;
  }
  entry.place &= ~std::uint32_t{EntryPlace::kept};
  if (entry.granted != 0) entry.place |= EntryPlace::given_back;
  return told;
}

void HostTable::give_up(SizeEntry& entry) {
  if ((entry.place & EntryPlace::kept) == 0) return;
  entry.place &= ~std::uint32_t{EntryPlace::kept};
  if (entry.opens == 0) push_release(index_of(entry));
}

void HostTable::give_up(ProcessId self, std::uint64_t inode) {
  const Locked locked(*this, self);
  if (const std::uint32_t index = find_locked(inode); index != 0) give_up(entries[index]);
}

void HostTable::give_up_all(ProcessId self, std::uint32_t home) {
  const Locked locked(*this, self);
  for (std::uint32_t i = 1; i <= entry_high; ++i)
    if (entries[i].inode != 0 && home_rank(entries[i].inode) == home) give_up(entries[i]);
}

void HostTable::end_release(ProcessId self, std::uint32_t index, const Released& told) {
  const Locked locked(*this, self);
  SizeEntry& entry = entries[index];
  if (entry.inode != told.inode || entry.tenure != told.tenure) return;  // opened again
  if (entry.opens == 0 && entry.releasing.load() == 0) return free_entry(index);
  if ((entry.place & EntryPlace::foreign) != 0) return;
  entry.granted = 0;
  entry.tenure = 0;
  entry.place = 0;
  entry.access_told = std::max(entry.access_told, told.reached.accessed);
}

void HostTable::free_entry(std::uint32_t index) {
  SizeEntry& entry = entries[index];
  auto& bucket = buckets[bucket_of(entry.inode)];
  std::uint32_t before = bucket.load(std::memory_order_relaxed);
  if (before == index) {
    bucket.store(entry.next, std::memory_order_release);
  } else {
    while (entries[before].next != index) before = entries[before].next;
    entries[before].next = entry.next;
  }
  entry.inode = 0;
  if ((entry.place & EntryPlace::foreign) != 0) contents.give(entry.stored.exchange(in_chunks));
  entry.next = entry_free;
  entry_free = index;
}

std::vector<HeldInode> HostTable::held(ProcessId self, std::uint32_t home, std::uint32_t& from,
                                       std::size_t most) {
  std::vector<HeldInode> found;
  const Locked locked(*this, self);
  std::uint32_t at = std::max(from, 1U);
  for (; at <= entry_high && at < size_entries && found.size() < most; ++at) {
    const SizeEntry& entry = entries[at];
    if (entry.inode == 0 || home_rank(entry.inode) != home || entry.granted == 0) continue;
    found.push_back({.inode = entry.inode,
                     .tenure = entry.tenure,
                     .granted = entry.granted,
                     .frozen = entry.frozen.load() != 0,
                     .reached = {.session = entry.session,
                                 .size = entry.end.load(),
                                 .modified = entry.modified.load(),
                                 .exact = entry.exact.load() != 0,
                                 .accessed = entry.accessed.load(),
                                 .sparse = entry.sparse.load() != 0,
                                 .stored = entry.stored.load()}});
  }
  from = at <= entry_high && at < size_entries ? at : 0;
  return found;
}

void HostTable::recover(ProcessId self) {
  const Locked locked(*this, self);
  for (auto& head : release_heads) head.store(0);
  for (std::uint32_t i = 1; i <= entry_high; ++i) {
    entries[i].releasing.store(0);
    entries[i].place &= ~std::uint32_t{EntryPlace::kept};  // the leader that kept it died
  }
  recount();
  release_help.store(1);
}

void HostTable::recover(ProcessId self, std::uint32_t list) {
  const Locked locked(*this, self);
  release_heads[list].store(0);
  for (std::uint32_t i = 1; i <= entry_high; ++i) {
    SizeEntry& entry = entries[i];
    if (entry.inode == 0 || list_of(entry) != list || entry.releasing.exchange(0) == 0) continue;
    if (entry.opens == 0) idle(i);
  }
}

void HostTable::recount() {
  for (std::uint32_t i = 1; i <= entry_high; ++i) entries[i].opens = 0;
  for (std::uint32_t i = 1; i <= slot_high; ++i)
    if (const std::uint32_t entry = slots[i].entry.load(); entry != 0) ++entries[entry].opens;
  for (std::uint32_t i = 1; i <= entry_high; ++i)
    if (entries[i].inode != 0 && entries[i].opens == 0) idle(i);
}

std::span<const std::byte> HostTable::written_content(std::uint32_t index) {
  constexpr std::uint32_t both = EntryPlace::foreign | EntryPlace::written;
  const SizeEntry& entry = entries[index];
  if ((entry.place & both) != both) return {};
  return contents.content(entry.stored.load(), entry.end.load());
}

Stored HostTable::cell_of(ProcessId self, std::uint64_t inode) {
  const Locked locked(*this, self);
  const std::uint32_t index = find_locked(inode);
  if (index == 0) return stored_nowhere;
  const Stored stored = entries[index].stored.load();
  // An entry that nobody released yet may still name a cell that has another owner.
  return in_cell(stored) && contents.owners[stored] == inode ? stored : stored_nowhere;
}

void HostTable::reclaim_cells(ProcessId self,
                              const std::function<bool(std::uint64_t, Stored)>& is_lost) {
  const Locked locked(*this, self);
  const std::uint32_t high = contents.high.load();
  for (Stored cell = 1; cell <= high && in_cell(cell); ++cell) {
    const std::uint64_t owner = contents.owners[cell];
    if (owner != 0 && is_lost(owner, cell) && find_locked(owner) == 0) contents.give(cell);
  }
}

bool HostTable::being_written(std::uint32_t entry) {
  const std::uint32_t high = process_high.load(std::memory_order_acquire);
  bool found = false;
  for (std::uint32_t i = 0; i < high; ++i) {
    ProcessRecord& record = processes[i];
    const ProcessId process = record.process.load();
    if (process == 0) continue;
    for (auto& word : record.writing) {
      std::uint64_t seen = word.load();
      if (static_cast<std::uint32_t>(seen) != entry) continue;
      const bool started = (process >> 32) != 0 && (process & embryo) == 0;
      if (started && !is_alive(process)) {
        word.compare_exchange_strong(seen, 0);
        continue;
      }
      found = true;
    }
  }
  return found;
}

}  // namespace benchfs
