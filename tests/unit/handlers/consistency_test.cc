#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "cli/check_pass.h"
#include "daemon/storage/uring_chunk_store.h"
#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

using cli::CheckReport;

constexpr std::uint32_t ranks = 3;

// Damage is planted in the servers' memory and directories; a check names each kind of it.
class Fsck : public testing::Test {
 protected:
  explicit Fsck(std::uint32_t split_entries = 4096)
      : cluster_(std::vector<std::uint32_t>(ranks, 0), 10'000, {}, split_entries) {}
  void SetUp() override {
    for (const char* const name : {"d", "d/sub", "e", "f"}) ASSERT_EQ(make_directory(name), 0);
    for (const char* const name : {"d/a", "d/b", "e/a", "top"}) ASSERT_EQ(make_file(name), 0);
    wire::Link link{};
    link.inode = inode("d/a");
    link.type = S_IFREG;
    ASSERT_EQ(cluster_.at_path(link, "e/link").error, 0);
    wire::Symlink symlink{};
    symlink.target_bytes = 3;
    ASSERT_EQ(cluster_.at_path(symlink, "s", "d/a").error, 0);
    ASSERT_EQ(text(), "");
  }
  int make_directory(const std::string& path) { return cluster_.make_directory(path); }
  int make_file(const std::string& path) { return cluster_.make_file(path); }
  std::uint64_t inode(const std::string& path) { return cluster_.stat(path, false)->inode; }
  Namespace& names(std::uint64_t number) { return cluster_.node(home_rank(number)).server->names; }
  const Inode& at(std::uint64_t number) { return *names(number).find(number); }
  Inode& change(std::uint64_t number) { return *names(number).change(number); }

  CheckReport check() {
    const cli::AskRank ask = [&](std::uint32_t rank, wire::Op op,
                                 std::span<const std::byte> body) -> Result<Bytes> {
      if (on_ask) on_ask(op);
      Answer answer = cluster_.ask(op, rank, 0, Bytes(body.begin(), body.end()));
      if (answer.error != 0) return Error(answer.error);
      return std::move(answer.body);
    };
    std::uint32_t rank = 0;
    const auto report = cli::check_all(ask, ranks, rank);
    EXPECT_TRUE(report.ok());
    return report.ok() ? *report : CheckReport();
  }
  // "kind inode" of each damage, once.
  std::string text() {
    const CheckReport report = check();
    EXPECT_TRUE(report.quiet);
    std::vector<std::string> lines;
    for (const cli::Damage& damage : report.damage)
      lines.push_back(std::string(damage.kind) + " " + std::to_string(damage.inode));
    std::ranges::sort(lines);
    std::string all;
    for (const std::string& line : lines) all += (all.empty() ? "" : ", ") + line;
    return all;
  }
  std::string line(const char* kind, std::uint64_t number) {
    return std::string(kind) + " " + std::to_string(number);
  }
  std::string only_line() {
    const CheckReport report = check();
    EXPECT_EQ(report.damage.size(), 1u);
    return report.damage.empty() ? "" : report.damage[0].text;
  }
  // Chunk files as a client would write them.
  void write_chunk(std::uint32_t rank, ChunkId id, std::size_t bytes) {
    const int fd = ::openat(cluster_.node(rank).server->store.directory(), chunk_name(id).c_str(),
                            O_CREAT | O_WRONLY, 0600);
    ASSERT_GE(fd, 0);
    const std::string content(bytes, 'x');
    ASSERT_EQ(::write(fd, content.data(), bytes), static_cast<ssize_t>(bytes));
    ::close(fd);
  }
  std::uint32_t place(std::uint64_t number, std::uint64_t index) {
    return stripe_rank(number, index, ranks);
  }

  Cluster cluster_;
  std::function<void(wire::Op)> on_ask;
};

TEST_F(Fsck, CountsWhatIsThere) {
  const CheckReport report = check();
  EXPECT_TRUE(report.quiet);
  EXPECT_EQ(report.checked.directories, 5u);
  EXPECT_EQ(report.checked.files, 5u);
  EXPECT_EQ(report.checked.entries, 10u);
}

TEST_F(Fsck, ReadsDirectoriesOfSeveralPages) {
  Namespace& there = names(inode("d"));
  for (int i = 0; i < 1500; ++i) {
    const std::uint64_t made = (*there.make(S_IFREG | 0644, 0, 0))->number;
    there.insert(at(inode("d")), "file number " + std::to_string(i),
                 {.inode = made, .type = S_IFREG});
  }
  const CheckReport report = check();
  EXPECT_TRUE(report.quiet);
  EXPECT_EQ(report.checked.entries, 1510u);
  EXPECT_TRUE(report.damage.empty());
}

TEST_F(Fsck, NamesAMissingEntry) {
  const std::uint64_t number = inode("e/a");
  names(inode("e")).remove(at(inode("e")), "a");
  EXPECT_EQ(text(), line("missing-entry", number));
}

TEST_F(Fsck, NamesAMissingEntryOfADirectory) {
  const std::uint64_t number = inode("d/sub");
  names(inode("d")).remove(at(inode("d")), "sub");
  EXPECT_EQ(text(), line("missing-entry", number));
  EXPECT_NE(only_line().find("/d/sub"), std::string::npos) << only_line();
}

TEST_F(Fsck, NamesADoubleEntry) {
  const std::uint64_t number = inode("d/b");
  names(inode("e")).insert(at(inode("e")), "b2", {.inode = number, .type = S_IFREG});
  EXPECT_EQ(text(), line("double-entry", number) + ", " + line("link-count", number));
}

TEST_F(Fsck, NamesADirectoryWithTwoEntries) {
  const std::uint64_t number = inode("d/sub");
  names(inode("e")).insert(at(inode("e")), "again", {.inode = number, .type = S_IFDIR});
  EXPECT_EQ(text(), line("double-entry", number));
}

TEST_F(Fsck, NamesAnEntryWithoutInode) {
  const std::uint64_t number = inode("d/b");
  names(number).erase(number);
  EXPECT_EQ(text(), line("dangling-entry", number));
  EXPECT_NE(only_line().find("/d/b"), std::string::npos) << only_line();
}

TEST_F(Fsck, NamesAWrongLinkCount) {
  const std::uint64_t number = inode("d/a");
  EXPECT_EQ(at(number).links, 2u);
  change(number).links = 3;
  EXPECT_EQ(text(), line("link-count", number));
  change(number).links = 2;
  EXPECT_EQ(text(), "");
  const std::uint64_t directory = inode("d");
  ++change(directory).directory->subdirectories;
  EXPECT_EQ(text(), line("link-count", directory));
  --change(directory).directory->subdirectories;
}

TEST_F(Fsck, NamesAnOrphanInode) {
  Namespace& there = cluster_.node(ranks - 1).server->names;
  Inode* const made = *there.make(S_IFREG | 0644, 0, 0);
  made->links = 0;
  EXPECT_EQ(text(), line("orphan-inode", made->number));
}

TEST_F(Fsck, LetsOpenFilesWithoutANameBe) {
  const auto opened = cluster_.open("gone", O_CREAT | O_RDWR);
  ASSERT_TRUE(opened.ok());
  ASSERT_EQ(cluster_.unlink("gone"), 0);
  EXPECT_EQ(text(), "");
  cluster_.close(*opened);
  EXPECT_EQ(text(), "");
}

TEST_F(Fsck, NamesAWrongParentAndAWrongName) {
  const std::uint64_t number = inode("d/sub");
  change(number).directory->parent = inode("e");
  EXPECT_EQ(text(), line("wrong-parent", number));
  change(number).directory->parent = inode("d");
  change(number).directory->name = "other";
  EXPECT_EQ(text(), line("wrong-parent", number));
}

TEST_F(Fsck, NamesDirectoriesThatLieInThemselves) {
  const std::uint64_t d = inode("d"), sub = inode("d/sub");
  names(root_inode).remove(at(root_inode), "d");
  names(sub).insert(at(sub), "loop", {.inode = d, .type = S_IFDIR});
  change(d).directory->parent = sub;
  change(d).directory->name = "loop";
  const CheckReport report = check();
  ASSERT_EQ(report.damage.size(), 2u);
  for (const cli::Damage& damage : report.damage) {
    EXPECT_STREQ(damage.kind, "detached-directory");
    EXPECT_TRUE(damage.inode == d || damage.inode == sub) << damage.text;
  }
  names(sub).remove(at(sub), "loop");  // the cluster's own checks walk up
  names(root_inode).insert(at(root_inode), "d", {.inode = d, .type = S_IFDIR});
}

TEST_F(Fsck, NamesAnOrphanChunk) {
  const std::uint64_t number = make_inode(0, 12345);
  write_chunk(place(number, 7), {number, 7}, 10);
  EXPECT_EQ(text(), line("orphan-chunk", number));
  const std::uint64_t directory = inode("d");
  write_chunk(place(directory, 0), {directory, 0}, 10);
  EXPECT_EQ(text(), line("orphan-chunk", number) + ", " + line("orphan-chunk", directory));
}

TEST_F(Fsck, NamesAChunkAtTheWrongRank) {
  const std::uint64_t number = inode("top");
  change(number).size = 100;
  write_chunk((place(number, 0) + 1) % ranks, {number, 0}, 100);
  EXPECT_EQ(text(), line("misplaced-chunk", number));
}

TEST_F(Fsck, NamesASmallFileWithChunksOrTooLarge) {
  const std::uint64_t number = inode("top");
  change(number).stored = stored_nowhere;
  change(number).size = 100;
  EXPECT_EQ(text(), "");
  write_chunk(place(number, 0), {number, 0}, 100);
  EXPECT_EQ(text(), line("misplaced-chunk", number));
  change(number).flags |= InodeFlag::chunk_started;  // a restart cut the move short
  EXPECT_EQ(text(), "");
  change(number).flags = 0;
  change(number).size = 5000;
  EXPECT_EQ(text(), line("content-size", number) + ", " + line("misplaced-chunk", number));
}

TEST_F(Fsck, NamesAWrongSize) {
  const std::uint64_t number = inode("top");
  const std::uint64_t chunk_bytes = 64 << 10;
  change(number).size = chunk_bytes + 100;
  write_chunk(place(number, 0), {number, 0}, chunk_bytes);
  write_chunk(place(number, 1), {number, 1}, 100);
  EXPECT_EQ(text(), "");
  change(number).size = chunk_bytes + 99;
  EXPECT_EQ(text(), line("chunk-size", number));
  change(number).size = 5;  // both reach beyond it
  EXPECT_EQ(text(), line("chunk-size", number) + ", " + line("chunk-size", number));
}

TEST_F(Fsck, AsksForSizesThatWritersRaised) {
  const auto opened = cluster_.open("top", O_RDWR);
  ASSERT_TRUE(opened.ok());
  const std::uint64_t number = opened->attributes.inode;
  write_chunk(place(number, 0), {number, 0}, 50);
  raise_to(cluster_.entry(*opened, 0).end, std::uint64_t{50});
  EXPECT_EQ(text(), "");
  cluster_.close(*opened, 0, 50);
  EXPECT_EQ(text(), "");
}

TEST_F(Fsck, NamesAFileThatIsNoChunk) {
  const int fd = ::openat(cluster_.node(0).server->store.directory(), "inode_1_chunk_01",
                          O_CREAT | O_WRONLY, 0600);
  ASSERT_GE(fd, 0);
  ::close(fd);
  EXPECT_EQ(text(), line("strange-file", 0));
}

TEST_F(Fsck, NamesALockLeftOver) {
  Server& server = *cluster_.node(0).server;
  const LockKey stuck{.inode = root_inode, .name = "stuck"};
  ASSERT_EQ(cluster_.run(server.names.lock(server.loop, stuck), server.loop), 0);
  EXPECT_EQ(text(), line("left-over", 0));
  EXPECT_NE(only_line().find("/stuck"), std::string::npos) << only_line();
  server.names.unlock(root_inode, "stuck");
  EXPECT_EQ(text(), "");
}

TEST_F(Fsck, SaysWhenItIsNotQuiet) {
  int made = 0;
  on_ask = [&](wire::Op op) {
    if (op == wire::Op::check_chunks) {
      ASSERT_EQ(make_file("busy" + std::to_string(made++)), 0);
    }
  };
  EXPECT_FALSE(check().quiet);
  on_ask = [&, done = false](wire::Op op) mutable {  // once: the second reading is good
    if (done || op != wire::Op::check_chunks) return;
    done = true;
    ASSERT_EQ(make_file("last"), 0);
  };
  EXPECT_TRUE(check().quiet);
}

// A directory that was split, and one of its parts.
class FsckOfSplit : public Fsck {
 protected:
  FsckOfSplit() : Fsck(8) {}
  void SetUp() override {
    Fsck::SetUp();
    ASSERT_EQ(make_directory("big"), 0);
    for (int i = 0; i < 40; ++i) ASSERT_EQ(make_directory("big/" + std::to_string(i)), 0);
    cluster_.settle();
    big_ = inode("big");
    ASSERT_EQ(parts_here(at(big_)).size(), ranks - 1);
    part_ = parts_here(at(big_)).front();
    ASSERT_EQ(text(), "");
  }
  std::uint64_t big_ = 0;
  std::uint64_t part_ = 0;
};

TEST_F(FsckOfSplit, NamesAnEntryInThePartOfAnother) {
  const auto move = [this](std::uint64_t from, std::uint64_t to, const EntryKey& key) {
    Directory& source = *change(from).directory;
    Directory& target = *change(to).directory;
    const EntryKeyView name{key.cookie, key.name};
    target.entries.set(name, *source.entries.find(name));
    source.entries.erase(name);
    --source.subdirectories;
    ++target.subdirectories;
  };
  const auto [key, entry] = *at(part_).directory->entries.begin();
  move(part_, big_, key);
  EXPECT_EQ(text(), line("misplaced-entry", entry.inode));
  move(big_, part_, key);
  EXPECT_EQ(text(), "");
}

TEST_F(FsckOfSplit, NamesARangeThatNoPartHolds) {
  ++change(part_).directory->partition->low;
  EXPECT_EQ(text(), line("broken-split", big_));
  --change(part_).directory->partition->low;
  EXPECT_EQ(text(), "");
}

TEST_F(FsckOfSplit, NamesAPartOfNoDirectory) {
  ASSERT_EQ(make_directory("gone"), 0);
  const std::uint64_t gone = inode("gone");
  const auto made =
      names(part_).make_part(names(part_).reserve_number(), at(part_),
                             Partition{.of = gone, .low = 0, .high = 1, .limit = 1, .later = {}});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(text(), line("broken-split", gone));
  ASSERT_EQ(cluster_.remove_directory("gone"), 0);
  EXPECT_EQ(text(), line("orphan-inode", gone));
}

}  // namespace
}  // namespace benchfs
