#include "common/host_table.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "common/placement.h"

namespace benchfs {
namespace {

class HostTables : public testing::Test {
 protected:
  HostTables() {
    void* const memory = mmap(nullptr, sizeof(HostTable), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    table = static_cast<HostTable*>(memory);
    table->magic = HostTable::magic_value;
  }
  ~HostTables() override { munmap(table, sizeof(HostTable)); }

  std::uint32_t live_slots() const {
    std::uint32_t live = 0;
    for (const OpenSlot& slot : table->slots) live += slot.refs.load() != 0 ? 1 : 0;
    return live;
  }
  // What servers do with what was closed.
  std::uint32_t release_all() {
    std::uint32_t opens = 0;
    for (std::uint32_t list = 0; list < HostTable::release_lists; ++list) {
      std::uint32_t entry = table->take_releases(list);
      while (entry != 0) {
        const std::uint32_t next = table->entries[entry].next_release;
        const Released released = table->begin_release(self, entry);
        opens += released.opens;
        if (released.inode != 0) table->end_release(self, entry, released);
        entry = next;
      }
    }
    return opens;
  }
  std::vector<std::uint32_t> lists_with_releases() const {
    std::vector<std::uint32_t> lists;
    for (std::uint32_t list = 0; list < HostTable::release_lists; ++list)
      if (table->has_releases(list)) lists.push_back(list);
    return lists;
  }
  void open_and_close(const Granted& granted) {
    ProcessRecord* const record = table->record_of(self, true);
    const std::uint32_t slot = table->take_slot(self, *record);
    table->slots[slot].entry.store(table->opened(self, granted));
    EXPECT_NE(table->drop_slot(self, *record, slot), 0u);
  }

  HostTable* table;
  const ProcessId self = process_id(getpid());
};

TEST_F(HostTables, PositionMeansTheSlotOnlyWhileItLives) {
  ProcessRecord* const record = table->record_of(self, true);
  const std::uint32_t slot = table->take_slot(self, *record);
  const std::uint64_t position = table->position(slot);
  EXPECT_EQ(table->slot_at(position), slot);
  EXPECT_LT(position, std::uint64_t{1} << 43);
  EXPECT_EQ(table->slot_at(position + 1), 0u);
  EXPECT_EQ(table->slot_at(0), 0u);
  table->drop_slot(self, *record, slot);
  EXPECT_EQ(table->slot_at(position), 0u);
  EXPECT_EQ(table->take_slot(self, *record), slot);
  EXPECT_EQ(table->slot_at(position), 0u) << "the check bits must have changed";
}

TEST_F(HostTables, DeadSlotCannotBeHeld) {
  ProcessRecord* const record = table->record_of(self, true);
  ProcessRecord* const other = table->record_of(self + 1, true);
  const std::uint32_t slot = table->take_slot(self, *record);
  EXPECT_TRUE(table->hold(*other, slot));
  EXPECT_TRUE(table->hold(*other, slot)) << "once more is no second reference";
  EXPECT_EQ(table->slots[slot].refs.load(), 2u);
  table->drop_slot(self, *record, slot);
  table->drop_slot(self, *other, slot);
  EXPECT_FALSE(table->hold(*other, slot));
  EXPECT_FALSE(table->holds(*other, slot));
}

TEST_F(HostTables, ChildHoldsWhatItsParentDidAndIsFoundByPid) {
  ProcessRecord* const record = table->record_of(self, true);
  const std::uint32_t slot = table->take_slot(self, *record);
  ProcessRecord* const child = table->fork_record(self, *record);
  ASSERT_NE(child, nullptr);
  ASSERT_NE(child, record);
  EXPECT_EQ(table->slots[slot].refs.load(), 2u);
  child->process.store(4242);  // the parent knows the pid alone
  const ProcessId full = 4242 | ProcessId{77} << 32;
  EXPECT_EQ(table->record_of(full, false), child);
  EXPECT_EQ(child->process.load(), full);
  table->drop_slot(self, *record, slot);
  EXPECT_EQ(table->slots[slot].refs.load(), 1u);
  EXPECT_FALSE(table->drop_record(self, *child));
  EXPECT_EQ(live_slots(), 0u);
}

TEST_F(HostTables, LastCloseAsksForOneReleaseOfAllOpens) {
  ProcessRecord* const record = table->record_of(self, true);
  std::vector<std::uint32_t> slots;
  for (int i = 0; i < 3; ++i) {
    slots.push_back(table->take_slot(self, *record));
    table->slots[slots.back()].entry.store(
        table->opened(self, {.inode = 99, .session = 1, .size = 10, .exact = true}));
  }
  EXPECT_EQ(table->drop_slot(self, *record, slots[0]), 0u);
  EXPECT_EQ(table->drop_slot(self, *record, slots[1]), 0u);
  EXPECT_NE(table->drop_slot(self, *record, slots[2]), 0u);
  EXPECT_EQ(release_all(), 3u);
  EXPECT_EQ(table->find(self, 99, 1), 0u);
}

TEST_F(HostTables, WhoReleasesAFileIsItsHomeOrTheLeader) {
  using Lists = std::vector<std::uint32_t>;
  const std::uint64_t number = make_inode(3, 5);
  open_and_close({.inode = number, .session = 1, .size = 10});
  EXPECT_EQ(lists_with_releases(), Lists{HostTable::release_list(3)});
  EXPECT_EQ(release_all(), 1u);
  open_and_close({.inode = number, .session = 2, .size = 10, .foreign = true});
  EXPECT_EQ(lists_with_releases(), Lists{HostTable::leaders_list});
  EXPECT_EQ(release_all(), 1u);
  const HeldBy by{.inode = number,
                  .owner = 1,
                  .owner_kind = wire::LockOwnerKind::description,
                  .space = wire::LockSpace::whole};
  const LockRange all{.start = 0, .last = wire::lock_last_max, .kind = wire::LockKind::shared};
  ASSERT_TRUE(table->locks.set(self, by, all).ok());
  open_and_close({.inode = number, .session = 3, .size = 10});
  EXPECT_EQ(lists_with_releases(), Lists{HostTable::leaders_list});
  EXPECT_EQ(release_all(), 1u);
  EXPECT_NE(HostTable::release_list(0), HostTable::leaders_list);
}

TEST_F(HostTables, WhatADeadServerHadTakenIsOnItsListAgain) {
  for (const std::uint32_t rank : {1u, 2u})
    open_and_close({.inode = make_inode(rank, 7), .session = 1, .size = 10});
  const std::uint32_t list = HostTable::release_list(1);
  ASSERT_NE(table->take_releases(list), 0u);
  table->recover(self, list);
  EXPECT_EQ(lists_with_releases().size(), 2u);
  EXPECT_EQ(release_all(), 2u);
  EXPECT_EQ(table->find(self, make_inode(1, 7), 1), 0u);
}

TEST_F(HostTables, CellsGoRoundAndSomeAreKept) {
  ContentCells& cells = table->contents;
  const std::uint32_t first = cells.take(7, 0);
  const std::uint32_t second = cells.take(8, 0);
  EXPECT_TRUE(in_cell(first) && in_cell(second) && first != second);
  cells.fill(first, std::as_bytes(std::span("abc", 3)));
  EXPECT_EQ(std::memcmp(cells.content(first, 5).data(), "abc\0", 5), 0);
  cells.trim(first, 1);
  EXPECT_EQ(std::memcmp(cells.content(first, 4).data(), "a\0\0", 4), 0);
  EXPECT_EQ(cells.take(9, content_cells - 3), 0u);
  EXPECT_NE(cells.take(9, content_cells - 4), 0u);
  cells.give(first);
  cells.give(stored_nowhere);
  cells.give(in_chunks);
  EXPECT_EQ(cells.take(9, 0), first);
}

TEST_F(HostTables, ACellOfAForeignInodeIsTheEntrysAndGoesWithIt) {
  const std::string_view text = "content";
  const Granted granted{.inode = 99,
                        .session = 4,
                        .tenure = 4,
                        .size = 7,
                        .writes = true,
                        .foreign = true,
                        .stored = 12345,
                        .content = std::as_bytes(std::span(text))};
  const std::uint32_t index = table->opened(self, granted);
  SizeEntry& entry = table->entries[index];
  EXPECT_EQ(table->contents.in_use(), 1u);
  EXPECT_EQ(std::memcmp(table->written_content(index).data(), "content", 7), 0);
  table->thaw(self, 99, 5, 3, true);
  EXPECT_EQ(table->written_content(index).size(), 3u);
  EXPECT_EQ(std::memcmp(table->contents.bytes(entry.stored.load()), "con\0", 5), 0);
  const std::uint32_t generation = entry.generation.load();
  table->thaw(self, 99, 6, 3, false, true);
  EXPECT_EQ(entry.stored.load(), in_chunks);
  EXPECT_NE(entry.generation.load(), generation) << "what is being copied is void";
  EXPECT_EQ(table->contents.in_use(), 0u);
  table->undo_open(self, index);
  EXPECT_EQ(release_all(), 1u);

  const std::uint32_t again = table->opened(self, granted);
  table->undo_open(self, again);
  EXPECT_EQ(release_all(), 1u);
  EXPECT_EQ(table->contents.in_use(), 0u);
}

TEST_F(HostTables, CellsOfThoseThatDiedAreGivenBackButForOpenFiles) {
  const Stored open = table->contents.take(make_inode(1, 5), 0);
  const std::uint32_t index =
      table->opened(self, {.inode = make_inode(1, 5), .session = 1, .stored = open});
  const Stored lost = table->contents.take(make_inode(1, 6), 0);
  const Stored other = table->contents.take(make_inode(0, 7), 0);
  EXPECT_EQ(table->cell_of(self, make_inode(1, 5)), open);
  table->reclaim_cells(self, [](std::uint64_t inode, Stored) { return home_rank(inode) == 1; });
  EXPECT_EQ(table->contents.in_use(), 2u);
  EXPECT_EQ(table->contents.owners[lost].load(), 0u);
  EXPECT_NE(table->contents.owners[other].load(), 0u);
  table->contents.give(open);
  EXPECT_EQ(table->contents.take(make_inode(1, 8), 0), open);
  EXPECT_EQ(table->cell_of(self, make_inode(1, 5)), stored_nowhere) << "another's by now";
  table->undo_open(self, index);
}

TEST_F(HostTables, AFirstReadingAloneWakesNobody) {
  ProcessRecord* const record = table->record_of(self, true);
  const std::uint32_t slot = table->take_slot(self, *record);
  const ShownFile file{.inode = 7, .size = 3, .accessed = 1, .stored = in_chunks, .foreign = false};
  table->open_unasked(self, file, table->slots[slot]);
  table->entries[table->slots[slot].entry.load()].accessed.store(2);
  EXPECT_EQ(table->drop_slot(self, *record, slot), 0u);
  EXPECT_FALSE(lists_with_releases().empty()) << "it is told all the same";
  release_all();
}

TEST_F(HostTables, OpensAreCountedAnewAfterOneDiedWithTheLock) {
  ProcessRecord* const record = table->record_of(self, true);
  const std::uint32_t slot = table->take_slot(self, *record);
  const ShownFile file{.inode = 7, .size = 3, .accessed = 1, .stored = in_chunks, .foreign = false};
  table->open_unasked(self, file, table->slots[slot]);
  const std::uint32_t entry = table->slots[slot].entry.load();
  const pid_t child = fork();
  if (child == 0) {
    table->table_lock.lock(process_id(getpid()));
    table->entries[entry].opens += 1;  // and would have set its slot's entry next
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const std::uint32_t second = table->take_slot(self, *record);
  EXPECT_EQ(table->entries[entry].opens, 1u);
  table->drop_slot(self, *record, second);
  table->drop_slot(self, *record, slot);
  EXPECT_FALSE(table->may_be_open(7));
}

// Processes open, fork, close and are killed in the middle; nothing may be left, nothing shared.
TEST_F(HostTables, SurvivesManyProcesses) {
  constexpr int processes = 6;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    const ProcessId me = process_id(getpid());
    ProcessRecord* const record = table->record_of(me, true);
    for (int round = 0; round < 3000; ++round) {
      const std::uint32_t slot = table->take_slot(me, *record);
      if (slot == 0) _exit(1);
      if (table->slots[slot].refs.load() != 1) _exit(2);
      const auto inode = static_cast<std::uint64_t>(round % 7 + 1);
      table->slots[slot].inode.store(inode);
      table->slots[slot].entry.store(table->opened(me, {.inode = inode, .session = 1}));
      if (round % 64 == 0) {
        ProcessRecord* const forked = table->fork_record(me, *record);
        if (forked == nullptr || !table->holds(*forked, slot)) _exit(3);
        table->drop_record(me, *forked);
      }
      if (table->slots[slot].inode.load() != inode) _exit(4);
      if (p != 0 || round % 2 == 0) table->drop_slot(me, *record, slot);
    }
    if (p == 1) raise(SIGKILL);
    if (p != 0) table->drop_record(me, *record);
    _exit(0);  // the first one leaves half of its slots to be dropped for it
  }
  for (std::size_t p = 0; p < children.size(); ++p) {
    int status = 0;
    ASSERT_EQ(waitpid(children[p], &status, 0), children[p]);
    if (p != 1) {
      EXPECT_EQ(status, 0) << "process " << p;
    }
  }
  for (std::uint32_t i = 0; i < table->process_high.load(); ++i) {
    ProcessRecord& record = table->processes[i];
    if (record.process.load() == 0) continue;
    EXPECT_FALSE(is_alive(record.process.load()));
    table->drop_record(self, record);
  }
  EXPECT_EQ(live_slots(), 0u);
  EXPECT_EQ(release_all(), processes * 3000u);
  for (std::uint64_t inode = 1; inode <= 7; ++inode) EXPECT_EQ(table->find(self, inode, 1), 0u);
}

}  // namespace
}  // namespace benchfs
