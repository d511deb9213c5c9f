// Files that clients open for reading by what the view of their host shows, without telling the
// home, which must find them before it changes what they read.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "daemon/handlers/open_state.h"
#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

class UnaskedOpens : public testing::Test {
 protected:
  UnaskedOpens() { record_ = table().record_of(self(), true); }
  ~UnaskedOpens() override { table().drop_record(self(), *record_); }

  Server& server(std::uint32_t rank = 0) { return *cluster_.node(rank).server; }
  HostTable& table() { return server().table; }
  ProcessId self() { return server().self; }
  const HostView& view() { return cluster_.node(0).view.at<HostView>(); }

  std::uint64_t make(const std::string& name, std::uint64_t size = 100) {
    const auto opened = cluster_.open(name, O_CREAT | O_RDWR);
    cluster_.close(*opened, 0, size);
    return opened->attributes.inode;
  }
  // As a client of host 0; 0: it has to ask.
  std::uint32_t open(std::uint64_t inode) {
    const auto shown = view().inode(inode);
    if (!shown.has_value()) return 0;
    const std::uint32_t slot = table().take_slot(self(), *record_);
    table().open_unasked(self(),
                         {.inode = inode,
                          .size = shown->size(),
                          .accessed = kept_access(shown->accessed, shown->modified, shown->changed),
                          .stored = shown->stored(),
                          .foreign = false},
                         table().slots[slot]);
    if (table().slots[slot].entry.load() != 0) return slot;
    table().drop_slot(self(), *record_, slot);
    return 0;
  }
  SizeEntry& entry(std::uint32_t slot) { return table().entries[table().slots[slot].entry]; }
  void close(std::uint32_t slot) {
    table().drop_slot(self(), *record_, slot);
    cluster_.settle();
  }
  const Inode* inode(std::uint64_t number) { return server().names.find(number); }
  int truncate(const std::string& path, std::uint64_t size) {
    wire::Truncate message{};
    message.size = size;
    return cluster_.at_path(message, path).error;
  }

  Cluster cluster_{{0, 1}};
  ProcessRecord* record_;
};

TEST_F(UnaskedOpens, LeaveNothingBehindWhenNothingWasRead) {
  const std::uint64_t number = make("f");
  const std::uint32_t slot = open(number);
  ASSERT_NE(slot, 0u);
  EXPECT_EQ(entry(slot).end.load(), 100u);
  EXPECT_EQ(inode(number)->open, nullptr);
  EXPECT_TRUE(table().may_be_open(number));
  EXPECT_EQ(table().drop_slot(self(), *record_, slot), 0u) << "the leader has nothing to do";
  EXPECT_FALSE(table().may_be_open(number));
}

TEST_F(UnaskedOpens, KeepARemovedFile) {
  const std::uint64_t number = make("f");
  const std::uint32_t first = open(number);
  const std::uint32_t second = open(number);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  ASSERT_NE(inode(number), nullptr);
  close(first);
  EXPECT_NE(inode(number), nullptr);
  close(second);
  EXPECT_EQ(inode(number), nullptr);
}

TEST_F(UnaskedOpens, SurviveTheirHome) {
  const std::uint64_t number = make("f");
  const std::uint32_t slot = open(number);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  cluster_.settle();
  cluster_.restart(0);
  recover_open_state(server());
  ASSERT_TRUE(cluster_.until([&] { return !server().surveys.any(); }));
  ASSERT_NE(inode(number), nullptr);
  close(slot);
  EXPECT_TRUE(cluster_.until([&] { return inode(number) == nullptr; }));
}

TEST_F(UnaskedOpens, LearnOfATruncation) {
  const std::uint32_t slot = open(make("f"));
  const std::uint32_t generation = entry(slot).generation.load();
  ASSERT_EQ(truncate("f", 7), 0);
  EXPECT_EQ(entry(slot).end.load(), 7u);
  EXPECT_EQ(entry(slot).floor.load(), 7u);
  EXPECT_GT(entry(slot).generation.load(), generation);
  close(slot);
  EXPECT_EQ(cluster_.stat("f")->size, 7u);
}

TEST_F(UnaskedOpens, CountWhenAnotherHostOpensForWriting) {
  const std::uint32_t slot = open(make("f"));
  const auto other = cluster_.open("f", O_RDWR, 1);
  EXPECT_EQ(entry(slot).exact.load(), 0u);
  EXPECT_EQ(inode(other->attributes.inode)->open->hosts.size(), 2u);
  close(slot);
  EXPECT_EQ(inode(other->attributes.inode)->open->hosts.size(), 1u);
  cluster_.close(*other, 1, 0);
}

TEST_F(UnaskedOpens, GoOnBesideAWriterOfTheirHost) {
  const std::uint64_t number = make("f");
  const std::uint32_t slot = open(number);
  raise_to(entry(slot).accessed, sys::now_ns(CLOCK_REALTIME));
  const std::int64_t accessed = entry(slot).accessed.load();
  const auto writer = cluster_.open("f", O_RDWR, 0);
  EXPECT_EQ(writer->exact, 1u);
  EXPECT_EQ(&cluster_.entry(*writer, 0), &entry(slot));
  EXPECT_EQ(entry(slot).exact.load(), 1u);
  EXPECT_EQ(entry(slot).accessed.load(), accessed);
  EXPECT_EQ(cluster_.stat("f")->accessed, accessed);
  cluster_.close(*writer, 0, 300);
  EXPECT_EQ(cluster_.stat("f")->size, 300u);
  close(slot);
  EXPECT_EQ(inode(number)->open, nullptr);
}

TEST_F(UnaskedOpens, ReportTheLastAccess) {
  const std::uint64_t number = make("f");
  const std::uint32_t slot = open(number);
  const std::int64_t accessed = sys::now_ns(CLOCK_REALTIME);
  raise_to(entry(slot).accessed, accessed);
  EXPECT_EQ(cluster_.stat("f", true, 1)->accessed, accessed) << "still open";
  close(slot);
  EXPECT_EQ(inode(number)->accessed, accessed);

  const std::uint32_t again = open(number);
  EXPECT_EQ(entry(again).accessed.load(), accessed) << "a read leaves it";
  EXPECT_EQ(table().drop_slot(self(), *record_, again), 0u);
}

TEST_F(UnaskedOpens, DoNotOverwriteAnAccessTimeThatWasSet) {
  const std::uint32_t slot = open(make("f"));
  raise_to(entry(slot).accessed, sys::now_ns(CLOCK_REALTIME));
  table().drop_slot(self(), *record_, slot);  // and the leader has not looked yet
  wire::SetAttributes message{};
  message.valid = wire::valid_accessed;
  message.accessed = 12345;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  cluster_.settle();
  EXPECT_EQ(cluster_.stat("f")->accessed, 12345);
}

// The home ends what it granted while somebody opens it again unasked.
TEST_F(UnaskedOpens, BeginWhileTheLastReleaseIsUnderWay) {
  const std::uint64_t number = make("f");
  const auto granted = cluster_.open("f", O_RDONLY, 0);
  const std::uint32_t index = table().index_of(cluster_.entry(*granted, 0));
  table().undo_open(self(), index);
  ASSERT_EQ(table().take_releases(HostTable::release_list(home_rank(number))), index);
  const Released told = table().begin_release(self(), index);
  ASSERT_EQ(told.opens, 1u);
  const std::uint32_t slot = open(number);
  ASSERT_NE(slot, 0u);
  const wire::Release release{.inode = number,
                              .session = told.reached.session,
                              .tenure = told.tenure,
                              .end = told.reached.size,
                              .modified = 0,
                              .accessed = 0,
                              .opens = told.opens,
                              .undone = 0,
                              .flags = 0,
                              .stored = told.reached.stored};
  auto& node = cluster_.node(0);
  const auto reply = cluster_.run(node.server->ask(0, release), node.loop);
  EXPECT_EQ(reply->opens, 0u);
  table().end_release(self(), index, told);
  EXPECT_EQ(inode(number)->open, nullptr);
  EXPECT_EQ(entry(slot).granted, 0u);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_NE(inode(number), nullptr);
  close(slot);
  EXPECT_EQ(inode(number), nullptr);
}

// Files of rank 0 that clients of host 1 read, which keeps them while it has leases on them.
class KeptOpens : public testing::Test {
 protected:
  KeptOpens() {
    const auto opened = cluster_.open("f", O_CREAT | O_RDWR);
    cluster_.close(*opened, 0, 100);
    number_ = opened->attributes.inode;
    read();  // the first reading is told
    EXPECT_EQ(inode()->accessed, accessed_);
  }
  const Inode* inode() { return cluster_.node(0).server->names.find(number_); }
  std::size_t hosts() { return inode()->open == nullptr ? 0 : inode()->open->hosts.size(); }
  bool leased() {
    const auto& view = cluster_.node(1).leased.at<LeasedView>();
    return view.read(0, [&](const HostView& v) { return v.inode(number_); }).has_value();
  }
  // By a client of host 1, as often as a lease takes.
  void read() {
    for (int i = 0; i < 2; ++i) {
      const auto opened = cluster_.open("f", O_RDONLY, 1);
      SizeEntry& entry = cluster_.entry(*opened, 1);
      if (entry.accessed.load() == 0) {
        accessed_ = sys::now_ns(CLOCK_REALTIME);
        raise_to(entry.accessed, accessed_);
      }
      cluster_.close(*opened, 1);
    }
  }

  Cluster cluster_{{0, 1}};
  std::uint64_t number_;
  std::int64_t accessed_ = 0;
};

TEST_F(KeptOpens, AreJoinedWithoutARequest) {
  EXPECT_EQ(hosts(), 1u);
  EXPECT_TRUE(leased());
  HostTable& table = cluster_.node(1).server->table;
  const ProcessId self = cluster_.node(1).server->self;
  ProcessRecord* const record = table.record_of(self, true);
  const std::uint32_t slot = table.take_slot(self, *record);
  const ShownFile file{.inode = number_, .size = 0, .accessed = 0, .stored = 0, .foreign = true};
  table.open_unasked(self, file, table.slots[slot]);
  ASSERT_NE(table.slots[slot].entry.load(), 0u);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  cluster_.settle();
  EXPECT_NE(inode(), nullptr);
  table.drop_slot(self, *record, slot);
  EXPECT_TRUE(cluster_.until([&] { return inode() == nullptr; }));
  const std::uint32_t other = table.take_slot(self, *record);
  table.open_unasked(self, file, table.slots[other]);
  EXPECT_EQ(table.slots[other].entry.load(), 0u) << "nothing is granted any more";
  table.drop_record(self, *record);
}

TEST_F(KeptOpens, GoWithTheFile) {
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_TRUE(cluster_.until([&] { return inode() == nullptr; }));
}

TEST_F(KeptOpens, GoBeforeAnotherHostWrites) {
  const auto writer = cluster_.open("f", O_RDWR, 0);
  EXPECT_TRUE(cluster_.until([&] { return hosts() == 1; }));
  EXPECT_EQ(writer->exact, 1u);
  cluster_.close(*writer, 0, 0);
}

TEST_F(KeptOpens, GoWhenTheirHomeBeginsAnew) {
  cluster_.restart(0);
  recover_open_state(*cluster_.node(0).server);
  ASSERT_TRUE(cluster_.until([&] { return !cluster_.node(0).server->surveys.any(); }));
  EXPECT_EQ(hosts(), 1u);
  ASSERT_TRUE(cluster_.stat("", true, 1).ok());  // tells host 1 of the new epoch
  EXPECT_TRUE(cluster_.until([&] { return hosts() == 0; }));
}

TEST_F(KeptOpens, AreReleasedByALeaderThatFollows) {
  cluster_.restart(1);
  EXPECT_TRUE(cluster_.until([&] { return hosts() == 0; })) << "its view is empty";
}

TEST_F(UnaskedOpens, AreRefusedWhereTheViewIsOld) {
  const std::uint64_t number = make("f");
  const std::uint32_t slot = open(number);
  const ViewInode shown = *view().inode(number);
  const std::uint32_t other = table().take_slot(self(), *record_);
  table().open_unasked(self(),
                       {.inode = number,
                        .size = shown.size() + 1,
                        .accessed = 0,
                        .stored = shown.stored(),
                        .foreign = false},
                       table().slots[other]);
  EXPECT_EQ(table().slots[other].entry.load(), 0u);
  table().drop_slot(self(), *record_, other);
  close(slot);
}

}  // namespace
}  // namespace benchfs
