// Contents of small files, which lie in cells of the hosts' memory until they grow or several hosts
// write them.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "daemon/handlers/open_state.h"
#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// Two hosts with one rank each; files are at home at rank 0.
class Contents : public testing::Test {
 protected:
  ~Contents() override {
    cluster_.settle();
    for (const std::uint32_t host : {0u, 1u}) EXPECT_EQ(cells_used(host), cells_expected_[host]);
  }
  HostTable& table(std::uint32_t host) { return cluster_.node(host).table.at<HostTable>(); }
  ProcessId self() { return cluster_.node(0).server->self; }
  SizeEntry& entry(const wire::OpenReply& opened, std::uint32_t host) {
    return cluster_.entry(opened, host);
  }
  std::uint32_t cells_used(std::uint32_t host) { return table(host).contents.in_use(); }
  // What a client of the host does.
  void write(const wire::OpenReply& opened, std::uint32_t host, std::uint64_t offset,
             std::string_view text) {
    SizeEntry& here = entry(opened, host);
    ContentCells& cells = table(host).contents;
    if (here.stored.load() == stored_nowhere) {
      here.stored.store(cells.take(opened.attributes.inode, cells_kept_for_opens));
      cells.fill(here.stored.load(), {});
    }
    ASSERT_TRUE(in_cell(here.stored.load()));
    std::memcpy(cells.bytes(here.stored.load()) + offset, text.data(), text.size());
    raise_to(here.end, offset + text.size());
    raise_to(here.modified, std::int64_t{1});
  }
  std::string read(const wire::OpenReply& opened, std::uint32_t host) {
    SizeEntry& here = entry(opened, host);
    const auto bytes = table(host).contents.content(here.stored.load(), here.end.load());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string first_chunk(const wire::OpenReply& opened, std::size_t bytes) {
    const std::uint64_t inode = opened.attributes.inode;
    auto& node = cluster_.node(stripe_rank(inode, 0, 2));
    std::string out(bytes, '?');
    const auto read = cluster_.run(
        node.store->read({inode, 0}, 0, std::as_writable_bytes(std::span(out))), node.loop);
    return read.ok() ? out.substr(0, *read) : "no chunk";
  }
  int truncate(const std::string& path, std::uint64_t size) {
    wire::Truncate message{};
    message.where.flags = wire::WhereFlag::follow;
    message.size = size;
    return cluster_.at_path(message, path).error;
  }
  int ask_for(wire::Op op, const wire::OpenReply& opened) {
    const wire::MoveToChunks message{.inode = opened.attributes.inode};  // and SyncInode
    return cluster_.ask(op, 0, 0, Cluster::body_of(message)).error;
  }
  std::size_t files() { return cluster_.inodes() - 1; }

  Cluster cluster_{{0, 1}, 10'000, {}, 4096, 4096};
  std::array<std::uint32_t, 2> cells_expected_{0, 0};
};

TEST_F(Contents, StayWithTheInodeOnItsHost) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->stored, stored_nowhere);
  write(*a, 0, 0, "hello");
  cluster_.close(*a, 0);
  const auto again = cluster_.open("f", O_RDONLY, 0);
  EXPECT_EQ(again->content_bytes, 0u);
  EXPECT_EQ(read(*again, 0), "hello");
  cluster_.close(*again, 0);
  EXPECT_EQ(cluster_.chunk_files(), 0u);
  EXPECT_EQ(cells_used(0), 1u);
  ASSERT_EQ(cluster_.unlink("f"), 0);
}

TEST_F(Contents, TravelWithTheOpenAndTheLastClose) {
  const auto made = cluster_.open("f", O_CREAT | O_RDWR, 1);
  write(*made, 1, 0, "from host 1");
  cluster_.close(*made, 1);
  EXPECT_EQ(cells_used(1), 0u);
  EXPECT_EQ(cells_used(0), 1u);
  const auto here = cluster_.open("f", O_RDONLY, 0);
  EXPECT_EQ(read(*here, 0), "from host 1");
  const auto there = cluster_.open("f", O_RDONLY, 1);
  EXPECT_EQ(there->content_bytes, 11u);
  EXPECT_EQ(read(*there, 1), "from host 1");
  cluster_.close(*here, 0);
  cluster_.close(*there, 1);
  EXPECT_EQ(cluster_.chunk_files(), 0u);
  ASSERT_EQ(cluster_.unlink("f"), 0);
}

TEST_F(Contents, GoToChunksWhenASecondHostWrites) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 1);
  write(*a, 1, 0, "text of host 1");
  const auto b = cluster_.open("f", O_WRONLY, 0);
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->stored, in_chunks);
  EXPECT_EQ(b->attributes.size, 14u);
  EXPECT_EQ(entry(*a, 1).stored.load(), in_chunks);
  EXPECT_EQ(entry(*a, 1).exact.load() + entry(*b, 0).exact.load(), 0u);
  EXPECT_EQ(first_chunk(*a, 100), "text of host 1");
  cluster_.close(*a, 1);
  cluster_.close(*b, 0);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
}

TEST_F(Contents, GoToChunksWhenAHostReadsWhatAnotherWrites) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  write(*a, 0, 3, "abc");
  const auto b = cluster_.open("f", O_RDONLY, 1);
  EXPECT_EQ(b->stored, in_chunks);
  EXPECT_EQ(b->exact, 0u);
  EXPECT_EQ(entry(*a, 0).exact.load(), 1u) << "it writes alone";
  EXPECT_EQ(first_chunk(*a, 100), std::string("\0\0\0abc", 6));
  cluster_.close(*a, 0);
  cluster_.close(*b, 1);
}

TEST_F(Contents, GoToChunksWhenAReaderIsThereBeforeTheWriter) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const auto reader = cluster_.open("f", O_RDONLY, 1);
  const auto writer = cluster_.open("f", O_WRONLY, 0);
  EXPECT_EQ(writer->stored, in_chunks);
  EXPECT_EQ(entry(*reader, 1).stored.load(), in_chunks);
  EXPECT_EQ(entry(*reader, 1).exact.load(), 0u);
  EXPECT_EQ(writer->exact, 1u);
  cluster_.close(*reader, 1);
  cluster_.close(*writer, 0);
}

TEST_F(Contents, StayWhenTheReaderWasThereBeforeTheWriter) {
  const auto made = cluster_.open("f", O_CREAT | O_WRONLY, 0);
  write(*made, 0, 0, "some text");
  cluster_.close(*made, 0);
  cells_expected_[0] = 1;
  for (int i = 0; i < 2; ++i) {  // a lease takes two
    const auto reader = cluster_.open("f", O_RDONLY, 1);
    EXPECT_EQ(read(*reader, 1), "some text");
    cluster_.close(*reader, 1);
  }
  EXPECT_EQ(cells_used(1), 1u) << "host 1 keeps it";
  const auto writer = cluster_.open("f", O_WRONLY, 0);
  EXPECT_TRUE(in_cell(writer->stored));
  EXPECT_EQ(cluster_.chunk_files(), 0u);
  cluster_.close(*writer, 0);
}

TEST_F(Contents, AreCutAndGrowWhereTheyAre) {
  for (const std::uint32_t host : {0u, 1u}) {
    const auto a = cluster_.open("f", O_CREAT | O_RDWR, host);
    write(*a, host, 0, "0123456789");
    ASSERT_EQ(truncate("f", 4), 0);
    EXPECT_EQ(read(*a, host), "0123");
    ASSERT_EQ(truncate("f", 6), 0);
    EXPECT_EQ(read(*a, host), std::string("0123\0\0", 6));
    cluster_.close(*a, host);
    ASSERT_EQ(truncate("f", 3), 0);  // nobody has it open
    ASSERT_EQ(truncate("f", 4096), 0);
    const auto b = cluster_.open("f", O_RDONLY, 1 - host);
    EXPECT_EQ(read(*b, 1 - host), "012" + std::string(4093, '\0'));
    EXPECT_EQ(cluster_.chunk_files(), 0u);
    ASSERT_EQ(truncate("f", 4097), 0);
    EXPECT_EQ(entry(*b, 1 - host).stored.load(), in_chunks);
    EXPECT_EQ(entry(*b, 1 - host).end.load(), 4097u);
    EXPECT_EQ(first_chunk(*b, 3), "012");
    cluster_.close(*b, 1 - host);
    ASSERT_EQ(cluster_.unlink("f"), 0);
  }
}

TEST_F(Contents, StayInChunksOnceTheyAreThere) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 1);
  write(*a, 1, 0, "x");
  ASSERT_EQ(ask_for(wire::Op::move_to_chunks, *a), 0);
  EXPECT_EQ(entry(*a, 1).stored.load(), in_chunks);
  ASSERT_EQ(ask_for(wire::Op::move_to_chunks, *a), 0) << "once more does nothing";
  EXPECT_EQ(first_chunk(*a, 9), "x");
  ASSERT_EQ(truncate("f", 0), 0);
  EXPECT_EQ(entry(*a, 1).stored.load(), in_chunks);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
  cluster_.close(*a, 1);
  ASSERT_EQ(cluster_.unlink("f"), 0);
}

TEST_F(Contents, AreAtHomeAfterASync) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 1);
  write(*a, 1, 0, "safe");
  const Inode* const inode = cluster_.node(0).server->names.find(a->attributes.inode);
  EXPECT_EQ(inode->stored, stored_nowhere);
  ASSERT_EQ(ask_for(wire::Op::sync_inode, *a), 0);
  const auto bytes = table(0).contents.content(inode->stored, 4);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "safe");
  write(*a, 1, 4, "r");
  cluster_.close(*a, 1);
  const auto b = cluster_.open("f", O_RDONLY, 0);
  EXPECT_EQ(read(*b, 0), "safer");
  cluster_.close(*b, 0);
  ASSERT_EQ(cluster_.unlink("f"), 0);
}

TEST_F(Contents, InChunksHaveTheirSizeAtHomeAfterASync) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 1);
  ASSERT_EQ(ask_for(wire::Op::move_to_chunks, *a), 0);
  raise_to(entry(*a, 1).end, std::uint64_t{12345});
  const Inode* const inode = cluster_.node(0).server->names.find(a->attributes.inode);
  EXPECT_EQ(inode->size, 0u);
  ASSERT_EQ(ask_for(wire::Op::sync_inode, *a), 0);
  EXPECT_EQ(inode->size, 12345u);
  EXPECT_TRUE(cluster_.node(0).server->journal->is_on_device());
  cluster_.close(*a, 1);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_EQ(ask_for(wire::Op::sync_inode, *a), 0) << "what is gone has nothing to be synced";
}

TEST_F(Contents, OfAnOlderSessionAreVoid) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 1);
  write(*a, 1, 0, "old");
  const wire::Release late{.inode = a->attributes.inode,
                           .session = entry(*a, 1).session,
                           .tenure = entry(*a, 1).tenure,
                           .end = 3,
                           .modified = 1,
                           .accessed = 0,
                           .opens = 1,
                           .undone = 0,
                           .flags = 0,
                           .stored = 1};
  ASSERT_EQ(truncate("f", 0), 0);
  auto& node = cluster_.node(1);
  ASSERT_TRUE(cluster_.run(node.server->ask(0, late, "old"), node.loop).ok());
  const auto b = cluster_.open("f", O_RDONLY, 0);
  EXPECT_EQ(read(*b, 0), "");
  cluster_.close(*b, 0);
  cells_expected_ = {1, 1};  // the file is still there, and host 1 thinks it has it open
}

// A worker that follows one that was killed.
class ContentsAfterARestart : public Contents {
 protected:
  void restart_home() {
    cluster_.node(0).server->commit();
    kill_and_restart_home();
  }
  void kill_and_restart_home() {
    cluster_.restart(0);
    Server& server = *cluster_.node(0).server;
    cluster_.run(server.recall_everything(), cluster_.node(0).loop);
    recover_open_state(*cluster_.node(0).server);
    EXPECT_TRUE(cluster_.until([&] { return !cluster_.node(0).server->surveys.any(); }));
  }
  // A client's slot for what was opened: a leader that begins counts those.
  std::uint32_t hold(const wire::OpenReply& opened, std::uint32_t host) {
    HostTable& here = table(host);
    const std::uint32_t slot = here.take_slot(self(), *here.record_of(self(), true));
    here.slots[slot].entry.store(here.index_of(entry(opened, host)));
    return slot;
  }
  void close(std::uint32_t slot, std::uint32_t host) {
    table(host).drop_slot(self(), *table(host).record_of(self(), false), slot);
    cluster_.settle();
  }
  const Inode& inode_of(const wire::OpenReply& opened) {
    return *cluster_.node(0).server->names.find(opened.attributes.inode);
  }
};

TEST_F(ContentsAfterARestart, OfClosedFilesAreWhereTheyWere) {
  for (const std::uint32_t host : {0u, 1u}) {
    const std::string name = "by" + std::to_string(host);
    const auto made = cluster_.open(name, O_CREAT | O_RDWR, host);
    write(*made, host, 2, "content of " + name);
    cluster_.close(*made, host);
  }
  const auto chunked = cluster_.open("chunked", O_CREAT | O_RDWR, 0);
  write(*chunked, 0, 0, "moved");
  ASSERT_EQ(ask_for(wire::Op::move_to_chunks, *chunked), 0);
  cluster_.close(*chunked, 0);
  const Stored lost = table(0).contents.take(make_inode(0, 99), 0);  // by who died before use
  EXPECT_EQ(cells_used(0), 3u);
  restart_home();
  EXPECT_EQ(cells_used(0), 2u);
  EXPECT_EQ(table(0).contents.owners[lost], 0u);
  for (const std::string name : {"by0", "by1"}) {
    const auto again = cluster_.open(name, O_RDONLY, 0);
    EXPECT_EQ(read(*again, 0), std::string(2, '\0') + "content of " + name);
    cluster_.close(*again, 0);
  }
  EXPECT_EQ(inode_of(*chunked).stored, in_chunks);
  for (const std::string name : {"by0", "by1", "chunked"}) ASSERT_EQ(cluster_.unlink(name), 0);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
}

// A cell goes to others when the journal knows that it is the file's no more.
TEST_F(ContentsAfterARestart, OutliveARemovalThatWasNotCommitted) {
  const auto made = cluster_.open("f", O_CREAT | O_RDWR, 0);
  write(*made, 0, 0, "kept");
  cluster_.close(*made, 0);
  Server& server = *cluster_.node(0).server;
  server.commit();
  const Stored cell = inode_of(*made).stored;
  server.names.erase(made->attributes.inode);
  const Stored other = table(0).contents.take(make_inode(0, 99), 0);
  EXPECT_NE(other, cell);
  table(0).contents.fill(other, wire::bytes_of(std::string_view("other")));
  kill_and_restart_home();
  EXPECT_EQ(inode_of(*made).stored, cell);
  const auto again = cluster_.open("f", O_RDONLY, 0);
  EXPECT_EQ(read(*again, 0), "kept");
  cluster_.close(*again, 0);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_EQ(table(0).contents.owners[cell], 0u);
}

TEST_F(ContentsAfterARestart, AreNotLogged) {
  const auto made = cluster_.open("f", O_CREAT | O_RDWR, 0);
  write(*made, 0, 0, std::string(3000, 'a'));
  cluster_.close(*made, 0);
  const auto change_all = [&] {
    const std::uint64_t before = cluster_.node(0).journal->log_bytes();
    for (const std::uint32_t mode : {0600u, 0640u, 0644u}) {
      wire::SetAttributes message{};
      message.valid = wire::valid_mode;
      message.mode = mode;
      EXPECT_EQ(cluster_.at_path(message, "f").error, 0);
      EXPECT_EQ(cluster_.rename("f", "g"), 0);
      EXPECT_EQ(cluster_.rename("g", "f"), 0);
      cluster_.settle();
    }
    return cluster_.node(0).journal->log_bytes() - before;
  };
  const auto content = [&] {
    const auto opened = cluster_.open("f", O_RDONLY, 0);
    const std::string text = read(*opened, 0);
    cluster_.close(*opened, 0);
    return text;
  };
  EXPECT_LT(change_all(), 3000u);
  restart_home();
  EXPECT_EQ(content(), std::string(3000, 'a'));

  const auto writer = cluster_.open("f", O_RDWR, 0);
  write(*writer, 0, 0, "bb");
  cluster_.close(*writer, 0);
  EXPECT_LT(change_all(), 3000u);
  restart_home();
  EXPECT_EQ(content(), "bb" + std::string(2998, 'a'));
  ASSERT_EQ(truncate("f", 3), 0);
  change_all();
  restart_home();
  EXPECT_EQ(content(), "bba");
  ASSERT_EQ(cluster_.unlink("f"), 0);
}

// What clients wrote meanwhile is where they wrote it.
TEST_F(ContentsAfterARestart, AreThoseThatWritersHaveInTheirCells) {
  const auto here = cluster_.open("here", O_CREAT | O_RDWR, 0);
  const auto there = cluster_.open("there", O_CREAT | O_RDWR, 1);
  const auto rewritten = cluster_.open("rewritten", O_CREAT | O_RDWR, 0);
  write(*rewritten, 0, 0, "old");
  ASSERT_EQ(cluster_.stat("rewritten")->size, 3u);
  const std::uint32_t slots[] = {hold(*here, 0), hold(*there, 1), hold(*rewritten, 0)};
  write(*here, 0, 0, "never told the home");
  write(*there, 1, 0, "on another host");
  write(*rewritten, 0, 0, "new");
  restart_home();
  EXPECT_EQ(cluster_.stat("here")->size, 19u);
  EXPECT_EQ(cluster_.stat("there")->size, 15u);
  EXPECT_EQ(read(*rewritten, 0), "new");
  close(slots[0], 0);
  close(slots[1], 1);
  close(slots[2], 0);
  EXPECT_EQ(cells_used(0), 3u);
  EXPECT_EQ(cells_used(1), 0u);
  restart_home();
  const auto again = cluster_.open("there", O_RDONLY, 0);
  EXPECT_EQ(read(*again, 0), "on another host");
  cluster_.close(*again, 0);
  const auto newest = cluster_.open("rewritten", O_RDONLY, 1);
  EXPECT_EQ(read(*newest, 1), "new");
  cluster_.close(*newest, 1);
  for (const std::string name : {"here", "there", "rewritten"}) ASSERT_EQ(cluster_.unlink(name), 0);
}

// The home died after it had noted that the bytes are in chunks, and before it told the hosts.
TEST_F(ContentsAfterARestart, OfAMoveThatWasCutShortAreInChunksForAll) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  write(*a, 0, 0, "text");
  const std::uint32_t slot = hold(*a, 0);
  ASSERT_EQ(cluster_.stat("f")->size, 4u);
  Server& server = *cluster_.node(0).server;
  ASSERT_TRUE(
      cluster_.run(write_first_chunk(server, a->attributes.inode, "text"), cluster_.node(0).loop)
          .ok());
  Inode& inode = *server.names.change(a->attributes.inode);
  inode.stored = in_chunks;
  inode.open->hosts.front().session = ++server.next_session;
  entry(*a, 0).frozen.store(1);
  restart_home();
  EXPECT_TRUE(cluster_.until([&] { return entry(*a, 0).frozen.load() == 0; }));
  EXPECT_EQ(entry(*a, 0).stored.load(), in_chunks);
  EXPECT_EQ(entry(*a, 0).end.load(), 4u);
  EXPECT_EQ(first_chunk(*a, 9), "text");
  close(slot, 0);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
}

// It died with the chunk written and nothing noted: nobody reads the chunk, and it is not left
// over.
TEST_F(ContentsAfterARestart, OfAMoveThatHadOnlyBegunStayWhereTheyWere) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  write(*a, 0, 0, "long text");
  const std::uint32_t slot = hold(*a, 0);
  ASSERT_EQ(cluster_.stat("f")->size, 9u);
  ASSERT_TRUE(
      cluster_
          .run(write_first_chunk(*cluster_.node(0).server, a->attributes.inode, "long text"),
               cluster_.node(0).loop)
          .ok());
  entry(*a, 0).frozen.store(1);
  restart_home();
  EXPECT_TRUE(cluster_.until([&] { return entry(*a, 0).frozen.load() == 0; }));
  EXPECT_EQ(read(*a, 0), "long text");
  EXPECT_EQ(cluster_.chunk_files(), 1u);
  ASSERT_EQ(truncate("f", 2), 0);
  ASSERT_EQ(truncate("f", 5000), 0);
  EXPECT_EQ(first_chunk(*a, 9), "lo");
  close(slot, 0);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_TRUE(cluster_.until([&] { return cluster_.chunk_files() == 0; }));
}

}  // namespace
}  // namespace benchfs
