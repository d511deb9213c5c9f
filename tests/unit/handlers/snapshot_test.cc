#include "daemon/journal/snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

JournalOptions small() {
  JournalOptions options;
  options.first_segment_bytes = 64 << 10;
  options.segment_bytes_max = 64 << 10;
  options.snapshot_after_bytes = 2 << 10;
  return options;
}

// Random operations on a few names, so that most of them meet something.
class Changes {
 public:
  Changes(Cluster& cluster, std::uint32_t seed) : cluster_(cluster), random_(seed) {}

  void change() {
    const std::string name = path();
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
        cluster_.make_file(name);
        break;
      case 3:
        cluster_.make_directory(name);
        break;
      case 4:
        cluster_.unlink(name);
        break;
      case 5:
        cluster_.remove_directory(name);
        break;
      case 6:
      case 7:
        cluster_.rename(name, path());
        break;
      case 8: {
        wire::Symlink link{};
        const std::string target(1 + below(30), 't');
        link.target_bytes = static_cast<std::uint32_t>(target.size());
        cluster_.at_path(link, name, target);
        break;
      }
      default: {
        wire::SetAttributes set{};
        set.valid = wire::valid_mode | wire::valid_modified;
        set.mode = 0600 + below(0100);
        set.modified = below(1'000'000);
        cluster_.at_path(set, name);
      }
    }
  }

 private:
  std::uint32_t below(std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random_);
  }
  std::string path() {
    std::string path;
    for (std::uint32_t depth = below(3); depth > 0; --depth)
      path += "d" + std::to_string(below(3)) + "/";
    return path + (below(4) == 0 ? "d" : "file") + std::to_string(below(20));
  }

  Cluster& cluster_;
  std::mt19937 random_;
};

TEST(Snapshots, BesideChangesLeaveNothingOut) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Cluster cluster({0, 0, 2}, 10'000, small());
  Changes changes(cluster, seed);
  std::uint64_t taken = 0;
  std::uint64_t largest = 0;
  for (int i = 0; i < 1000; ++i) {
    changes.change();
    if (i % 200 == 0) cluster.check_journals();  // whatever is under way
    largest = std::max(largest, cluster.node(0).journal->file_bytes());
  }
  for (std::uint32_t rank = 0; rank < 3; ++rank) taken += cluster.node(rank).snapshots->taken();
  EXPECT_GT(taken, 2u);
  EXPECT_LT(largest, 5u * (64 << 10));
}

TEST(Snapshots, OfALargeDirectoryGoInSlicesWhileItChanges) {
  Cluster cluster({0}, 10'000, small());
  auto& node = cluster.node(0);
  Server& server = *node.server;
  const auto name = [](int i) { return "a name of some length, number " + std::to_string(i); };
  for (int i = 0; i < 4000; ++i) {
    const Inode& root = *server.names.find(root_inode);
    const auto made = server.names.make(S_IFREG | 0644, 0, 0);
    server.names.insert(root, name(i), {(*made)->number, S_IFREG});
    server.commit();
    ASSERT_TRUE(cluster.run(node.journal->make_room(room_to_change), node.loop).ok());
  }
  ASSERT_TRUE(cluster.until([&] { return !node.snapshots->under_way(); }));
  const std::uint64_t before = node.snapshots->taken();
  node.snapshots->start();
  int turns = 0;
  for (int i = 0; node.snapshots->taken() == before; i += 7) {  // behind and before its cursor
    const Inode& root = *server.names.find(root_inode);
    const Entry* const entry = server.names.entry(root, name(i % 4000));
    if (entry != nullptr) {
      const std::uint64_t inode = entry->inode;
      server.names.remove(root, name(i % 4000));
      server.names.erase(inode);
    }
    const auto made = server.names.make(S_IFREG | 0600, 0, 0);
    server.names.insert(root, name(4000 + i), {(*made)->number, S_IFREG});
    server.commit();
    ASSERT_TRUE(cluster.run(node.journal->make_room(room_to_change), node.loop).ok());
    node.loop.turn(0);
    ASSERT_LT(++turns, 1'000'000);
  }
  EXPECT_GT(turns, 3);  // it did not hold the loop up
  cluster.check_journals();
}

TEST(Snapshots, AreGivenUpWithoutHarmWhereTheyCannotBeWritten) {
  Cluster cluster({0}, 10'000, small());
  auto& node = cluster.node(0);
  // Its name is taken by a directory.
  for (int n = 1; n < 200; ++n)
    std::filesystem::create_directory(node.journal->path() + "/snapshot." + std::to_string(n) +
                                      ".tmp");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(cluster.make_file("file" + std::to_string(i)), 0);
  EXPECT_EQ(node.snapshots->taken(), 0u);
  EXPECT_GT(node.journal->log_bytes(), std::uint64_t{12 << 10});
  for (int n = 1; n < 200; ++n)
    std::filesystem::remove(node.journal->path() + "/snapshot." + std::to_string(n) + ".tmp");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(cluster.unlink("file" + std::to_string(i)), 0);
  ASSERT_TRUE(cluster.until([&] { return !node.snapshots->under_way(); }));
  EXPECT_GT(node.snapshots->taken(), 0u);
}

}  // namespace
}  // namespace benchfs
