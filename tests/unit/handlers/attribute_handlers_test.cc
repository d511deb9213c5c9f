#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "daemon/storage/uring_chunk_store.h"
#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// Two hosts with one rank each: every question crosses.
class InodeAttributes : public testing::Test {
 protected:
  int set(const std::string& path, wire::SetAttributes message, std::uint32_t uid = 0) {
    message.where.flags = wire::WhereFlag::follow;
    return cluster_.at_path(message, path, {}, 0, uid).error;
  }
  static wire::SetAttributes mode(std::uint32_t bits) {
    wire::SetAttributes message{};
    message.valid = wire::valid_mode;
    message.mode = bits;
    return message;
  }
  int link(std::uint64_t inode, const std::string& path) {
    wire::Link message{};
    message.inode = inode;
    message.type = S_IFREG;
    return cluster_.at_path(message, path).error;
  }
  // What a client does when it writes to its host's chunk file.
  void fill(std::uint64_t inode, std::uint64_t chunk, std::size_t bytes) {
    const std::string data(bytes, 'x');
    Cluster::Node& node = cluster_.node(stripe_rank(inode, chunk, 2));
    const auto written = cluster_.run(
        node.store->write({.inode = inode, .index = chunk}, 0, std::as_bytes(std::span(data))),
        node.loop);
    EXPECT_EQ(*written, bytes);
  }
  Cluster cluster_{{0, 1}};
  static constexpr std::uint64_t chunk_bytes = 64 << 10;
};

TEST_F(InodeAttributes, AnInodeWithoutANameTakesOneOnAnyRank) {
  for (int i = 0; i < 6; ++i) {  // directories of either rank
    const std::string d = "d" + std::to_string(i);
    ASSERT_EQ(cluster_.make_directory(d), 0);
    const auto opened = cluster_.open(d, O_TMPFILE | O_RDWR);
    ASSERT_TRUE(opened.ok());
    const std::uint64_t inode = opened->attributes.inode;
    EXPECT_EQ(home_rank(inode), home_rank(cluster_.stat(d)->inode));
    EXPECT_EQ(opened->attributes.links, 0u);
    ASSERT_EQ(link(inode, "name" + std::to_string(i)), 0);
    EXPECT_EQ(cluster_.stat("name" + std::to_string(i))->inode, inode);
    ASSERT_EQ(cluster_.unlink("name" + std::to_string(i)), 0);
    EXPECT_EQ(link(inode, "again"), ENOENT);
    EXPECT_EQ(cluster_.stat("again").error(), Error(ENOENT));
    cluster_.close(*opened);
  }
  EXPECT_EQ(cluster_.inodes(), 7u);
}

TEST_F(InodeAttributes, AnInodeWithoutANameGoesWithItsLastClose) {
  const auto linkable = cluster_.open("", O_TMPFILE | O_WRONLY);
  const auto exclusive = cluster_.open("", O_TMPFILE | O_WRONLY | O_EXCL);
  ASSERT_TRUE(linkable.ok() && exclusive.ok());
  EXPECT_EQ(link(exclusive->attributes.inode, "name"), ENOENT);
  EXPECT_EQ(cluster_.inodes(), 3u);
  cluster_.close(*linkable);
  cluster_.close(*exclusive);
  EXPECT_EQ(cluster_.inodes(), 1u);
}

TEST_F(InodeAttributes, AnInodeWithoutANameNeedsADirectoryThatMayBeWritten) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  ASSERT_EQ(cluster_.make_file("f"), 0);
  ASSERT_EQ(set("d", mode(0500)), 0);
  EXPECT_EQ(cluster_.open("d", O_TMPFILE | O_RDWR, 0, 1000).error(), Error(EACCES));
  EXPECT_EQ(cluster_.open("d", O_TMPFILE | O_RDONLY).error(), Error(EINVAL));
  EXPECT_EQ(cluster_.open("f", O_TMPFILE | O_RDWR).error(), Error(ENOTDIR));
  EXPECT_EQ(cluster_.open("none", O_TMPFILE | O_RDWR).error(), Error(ENOENT));
}

TEST_F(InodeAttributes, ReadsOfAnyHostSetTheAccessTime) {
  const auto a = cluster_.open("f", O_CREAT | O_RDWR, 0);
  const auto b = cluster_.open("f", O_RDWR, 1);
  const std::int64_t later = sys::now_ns(CLOCK_REALTIME) + 5'000'000'000;
  cluster_.entry(*b, 1).accessed.store(later);
  EXPECT_EQ(cluster_.stat("f", true, 0)->accessed, later);
  cluster_.entry(*a, 0).accessed.store(later + 1);
  cluster_.close(*a, 0);
  EXPECT_EQ(cluster_.stat("f", true, 1)->accessed, later + 1);
  // What is set explicitly stays, whatever was read before.
  wire::SetAttributes times{};
  times.valid = wire::valid_accessed;
  times.accessed = 42;
  ASSERT_EQ(set("f", times), 0);
  EXPECT_EQ(cluster_.stat("f")->accessed, 42);
  EXPECT_EQ(cluster_.entry(*b, 1).accessed.load(), 0);  // the next read counts
  cluster_.close(*b, 1);
  EXPECT_EQ(cluster_.stat("f")->accessed, 42);
}

TEST_F(InodeAttributes, AFileWithHolesHasTheBlocksOfItsChunks) {
  const auto opened = cluster_.open("f", O_CREAT | O_RDWR);
  const std::uint64_t inode = opened->attributes.inode;
  SizeEntry& entry = cluster_.entry(*opened, 0);
  const std::uint64_t size = 9 * chunk_bytes + 100;
  fill(inode, 0, 4096);
  fill(inode, 5, 8192);
  fill(inode, 9, 100);
  raise_to(entry.end, size);
  raise_to(entry.modified, sys::now_ns(CLOCK_REALTIME));
  EXPECT_EQ(cluster_.stat("f")->blocks, (size + 4095) / 4096 * 8);  // nobody said otherwise
  entry.sparse.store(1);
  raise_to(entry.modified, sys::now_ns(CLOCK_REALTIME));
  EXPECT_EQ(cluster_.stat("f")->blocks, 8u + 16 + 8);
  cluster_.close(*opened);
  EXPECT_EQ(cluster_.stat("f")->blocks, 32u);
  wire::Truncate message{};
  message.size = 5 * chunk_bytes + 4096;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  EXPECT_EQ(cluster_.stat("f")->blocks, 16u);
  message.size = std::uint64_t{1} << 40;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  EXPECT_EQ(cluster_.stat("f")->blocks, 16u);
  message.size = 0;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  EXPECT_EQ(cluster_.stat("f")->blocks, 0u);
}

TEST_F(InodeAttributes, PrivilegesGoWithWritesTruncationsAndOwners) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const auto bits = [&] { return cluster_.stat("f")->mode & 07777; };
  ASSERT_EQ(set("f", mode(06755)), 0);
  wire::SetAttributes message{};
  message.valid = wire::valid_written;
  ASSERT_EQ(set("f", message, 1000), 0);
  EXPECT_EQ(bits(), 0755u);
  ASSERT_EQ(set("f", mode(06745)), 0);
  message.valid = wire::valid_owner;
  ASSERT_EQ(set("f", message), 0);
  EXPECT_EQ(bits(), 02745u);  // the group may not execute it
  ASSERT_EQ(set("f", mode(04755)), 0);
  wire::Truncate truncate{};
  ASSERT_EQ(cluster_.at_path(truncate, "f", {}, 0, 0).error, 0);
  EXPECT_EQ(bits(), 04755u);  // root keeps them
  ASSERT_EQ(cluster_.at_path(truncate, "f", {}, 0, 1000).error, 0);
  EXPECT_EQ(bits(), 0755u);
  ASSERT_EQ(set("f", mode(04755)), 0);
  const auto opened = cluster_.open("f", O_WRONLY | O_TRUNC, 0, 1000);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(bits(), 0755u);
  // Given while the file is open: its writers are told.
  EXPECT_EQ(cluster_.entry(*opened, 0).privileged.load(), 0u);
  ASSERT_EQ(set("f", mode(04755)), 0);
  EXPECT_EQ(cluster_.entry(*opened, 0).privileged.load(), 1u);
  cluster_.close(*opened);
}

TEST_F(InodeAttributes, OpensByNumberDoNotBypassTheCheckOfATruncation) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  ASSERT_EQ(set("f", mode(0400)), 0);
  wire::Truncate message{};
  message.where = {.inode = cluster_.stat("f")->inode, .path_bytes = 0, .flags = 0};
  message.size = 5;
  const auto ask = [&] {
    return cluster_.ask(wire::Op::truncate, 0, 0, Cluster::body_of(message), 1000).error;
  };
  EXPECT_EQ(ask(), EACCES);
  message.where.flags = wire::WhereFlag::opened;
  EXPECT_EQ(ask(), 0);
}

}  // namespace
}  // namespace benchfs
