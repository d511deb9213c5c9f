#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>

#include <array>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// The same on one rank and on three, where directories lie on different servers.
class Names : public testing::TestWithParam<std::uint32_t> {
 protected:
  Cluster cluster_{std::vector<std::uint32_t>(GetParam(), 0)};
};
INSTANTIATE_TEST_SUITE_P(Ranks, Names, testing::Values(1, 3));

TEST_P(Names, MakesFindsAndRemovesATree) {
  for (int i = 0; i < 8; ++i) {
    const std::string d = "d" + std::to_string(i);
    ASSERT_EQ(cluster_.make_directory(d), 0);
    ASSERT_EQ(cluster_.make_directory(d), EEXIST);
    ASSERT_EQ(cluster_.make_directory(d + "/sub"), 0);
    ASSERT_EQ(cluster_.make_file(d + "/sub/f"), 0);
    ASSERT_EQ(cluster_.make_file(d + "/sub/f"), EEXIST);
    ASSERT_TRUE(cluster_.stat(d + "/sub/f").ok());
    EXPECT_EQ(cluster_.remove_directory(d + "/sub"), ENOTEMPTY);
    EXPECT_EQ(cluster_.unlink(d + "/sub"), EISDIR);
    EXPECT_EQ(cluster_.remove_directory(d + "/sub/f"), ENOTDIR);
  }
  EXPECT_EQ(cluster_.stat("")->links, 10u);
  for (int i = 0; i < 8; ++i) {
    const std::string d = "d" + std::to_string(i);
    ASSERT_EQ(cluster_.unlink(d + "/sub/f"), 0);
    EXPECT_EQ(cluster_.unlink(d + "/sub/f"), ENOENT);
    ASSERT_EQ(cluster_.remove_directory(d + "/sub"), 0);
    ASSERT_EQ(cluster_.remove_directory(d), 0);
    EXPECT_EQ(cluster_.stat(d).error(), Error(ENOENT));
  }
  EXPECT_EQ(cluster_.inodes(), 1u);  // the root
}

TEST_P(Names, RenamesFilesOverExistingOnesAcrossDirectories) {
  for (int i = 0; i < 6; ++i) {
    const std::string d = "d" + std::to_string(i);
    ASSERT_EQ(cluster_.make_directory(d), 0);
    ASSERT_EQ(cluster_.make_file(d + "/x"), 0);
  }
  const std::uint64_t moved = cluster_.stat("d0/x")->inode;
  for (int i = 1; i < 6; ++i) {
    const std::string from = "d" + std::to_string(i - 1) + "/x";
    const std::string to = "d" + std::to_string(i) + "/x";
    ASSERT_EQ(cluster_.rename(from, to, 1), EEXIST);  // RENAME_NOREPLACE
    ASSERT_EQ(cluster_.rename(from, to), 0);
    EXPECT_EQ(cluster_.stat(from).error(), Error(ENOENT));
    EXPECT_EQ(cluster_.stat(to)->inode, moved);
  }
  EXPECT_EQ(cluster_.rename("d0/x", "d1/y"), ENOENT);
  EXPECT_EQ(cluster_.inodes(), 8u);  // root, six directories, one file: replaced ones are gone
  EXPECT_EQ(cluster_.unlink("d5/x"), 0);
  EXPECT_EQ(cluster_.inodes(), 7u);
}

TEST_P(Names, RenamesDirectoriesButNotIntoThemselves) {
  ASSERT_EQ(cluster_.make_directory("a"), 0);
  ASSERT_EQ(cluster_.make_directory("a/b"), 0);
  ASSERT_EQ(cluster_.make_directory("a/b/c"), 0);
  ASSERT_EQ(cluster_.make_directory("e"), 0);
  ASSERT_EQ(cluster_.make_file("a/b/c/f"), 0);
  EXPECT_EQ(cluster_.rename("a", "a/b/c/a"), EINVAL);
  EXPECT_EQ(cluster_.rename("a/b", "a/b/c"), EINVAL);
  EXPECT_EQ(cluster_.rename("e", "a/b"), ENOTEMPTY);
  EXPECT_EQ(cluster_.rename("a/b", "e"), 0);  // over an empty one
  EXPECT_TRUE(cluster_.stat("e/c/f").ok());
  EXPECT_TRUE(cluster_.stat("e/../a").ok());  // ".." follows the move
  EXPECT_EQ(cluster_.stat("a/b").error(), Error(ENOENT));
  EXPECT_EQ(cluster_.rename("a", "e/c/f"), ENOTDIR);
  EXPECT_EQ(cluster_.rename("e/c/f", "a"), EISDIR);
  EXPECT_EQ(cluster_.rename("e", "e/c/f"), EINVAL);  // whatever is in the way
  EXPECT_EQ(cluster_.rename("e/c/f", "e"), ENOTEMPTY);
}

TEST_P(Names, SymlinksAndHardLinks) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  ASSERT_EQ(cluster_.make_file("d/f"), 0);
  wire::Symlink link{};
  link.target_bytes = 3;
  ASSERT_EQ(cluster_.at_path(link, "l", "d/f").error, 0);
  EXPECT_EQ(cluster_.at_path(link, "l", "d/f").error, EEXIST);
  EXPECT_EQ(cluster_.stat("l")->inode, cluster_.stat("d/f")->inode);
  EXPECT_TRUE(S_ISLNK(cluster_.stat("l", false)->mode));
  wire::Link hard{};
  hard.inode = cluster_.stat("d/f")->inode;
  hard.type = S_IFREG;
  ASSERT_EQ(cluster_.at_path(hard, "h").error, 0);
  EXPECT_EQ(cluster_.stat("h")->links, 2u);
  EXPECT_EQ(cluster_.unlink("d/f"), 0);
  EXPECT_EQ(cluster_.stat("h")->links, 1u);
  EXPECT_EQ(cluster_.stat("l").error(), Error(ENOENT));
  EXPECT_EQ(cluster_.rename("l", "d/l"), 0);
  EXPECT_TRUE(S_ISLNK(cluster_.stat("d/l", false)->mode));
}

TEST_P(Names, AFileStaysWhileItIsOpen) {
  const auto opened = cluster_.open("f", O_CREAT | O_RDWR);
  ASSERT_TRUE(opened.ok());
  const std::size_t before = cluster_.inodes();
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_EQ(cluster_.inodes(), before);
  cluster_.close(*opened);
  EXPECT_EQ(cluster_.inodes(), before - 1);
}

TEST_P(Names, ARemovedDirectoryStaysForWhoHasItOpen) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  const std::uint64_t number = cluster_.stat("d")->inode;
  ASSERT_EQ(cluster_.remove_directory("d"), 0);
  cluster_.settle();
  const auto ask = [&]<class M>(M message, const std::string& path) {
    message.where = {
        .inode = number, .path_bytes = static_cast<std::uint32_t>(path.size()), .flags = 0};
    return cluster_.ask(M::op, home_rank(number), 0, Cluster::body_of(message, path));
  };
  wire::SetAttributes mode{};
  mode.valid = wire::valid_mode;
  mode.mode = 0711;
  EXPECT_EQ(ask(mode, "").error, 0);
  const auto removed = wire::parse<wire::Attributes>(ask(wire::Stat{}, ".").body);
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->links, 0u);
  EXPECT_EQ(removed->mode, S_IFDIR | 0711u);
  EXPECT_EQ(ask(wire::Stat{}, "x").error, ENOENT);
  EXPECT_EQ(ask(wire::MakeDirectory{}, "x").error, ENOENT);
  EXPECT_EQ(ask(wire::MakeDirectory{}, ".").error, EEXIST);
  EXPECT_EQ(ask(wire::Stat{}, "..").error, 0);
  const wire::List list{.inode = number, .cookie = 0};
  EXPECT_EQ(cluster_.ask(wire::Op::list, home_rank(number), 0, Cluster::body_of(list)).error,
            ENOENT);
  const wire::NameOf name{.inode = number};
  EXPECT_EQ(cluster_.ask(wire::Op::name_of, home_rank(number), 0, Cluster::body_of(name)).error,
            ENOENT);
  EXPECT_EQ(cluster_.inodes(), 1u);
}

TEST_P(Names, ModesHoldForTheOwnerAndNotForRoot) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  ASSERT_EQ(cluster_.make_file("d/f"), 0);
  wire::SetAttributes mode{};
  mode.valid = wire::valid_mode;
  mode.mode = 0400;
  ASSERT_EQ(cluster_.at_path(mode, "d/f").error, 0);
  EXPECT_EQ(cluster_.open("d/f", O_RDWR, 0, 1000).error(), Error(EACCES));
  const auto as_root = cluster_.open("d/f", O_RDWR, 0, 0);
  ASSERT_TRUE(as_root.ok());
  cluster_.close(*as_root);
}

Task<int> remember(Task<Answer> task, std::vector<int>* errors) {
  const Answer answer = co_await task;
  errors->push_back(answer.error);
  co_return 0;
}

TEST_P(Names, OfManyWhoCreateOneNameExclusivelyOneWins) {
  std::vector<int> errors;
  std::vector<std::byte> body;
  wire::MakeDirectory message{};
  message.where = {.inode = root_inode, .path_bytes = 3, .flags = 0};
  message.mode = 0755;
  for (const auto part : {wire::bytes_of(message), wire::bytes_of(std::string_view("one"))})
    body.insert(body.end(), part.begin(), part.end());
  const std::uint32_t ranks = GetParam();
  for (std::uint32_t i = 0; i < 64; ++i) {
    auto& node = cluster_.node(i % ranks);
    Caller caller;
    caller.host = 0;
    node.loop.spawn(
        remember(node.server->ask_raw(0, wire::Op::make_directory, caller, body, {}, {}), &errors));
  }
  while (errors.size() < 64) cluster_.turn();
  EXPECT_EQ(std::ranges::count(errors, 0), 1);
  EXPECT_EQ(std::ranges::count(errors, EEXIST), 63);
  EXPECT_EQ(cluster_.inodes(), 2u);
}

TEST(NameLocks, LetEachOfSeveralLookUpsPassOnce) {
  Cluster cluster({0});
  ASSERT_EQ(cluster.make_file("f"), 0);
  auto& node = cluster.node(0);
  const LockKey name{root_inode, "f"};
  cluster.run(node.server->names.lock(node.loop, name), node.loop);
  wire::Stat stat{};
  stat.where = {.inode = root_inode, .path_bytes = 1, .flags = 0};
  std::array<std::optional<int>, 3> done;
  for (auto& one : done) cluster.spawn(wire::Op::stat, Cluster::body_of(stat, "f"), &one);
  cluster.settle();
  for (const auto& one : done) EXPECT_FALSE(one.has_value());
  node.server->names.unlock(root_inode, "f");
  cluster.settle();
  for (const auto& one : done) EXPECT_EQ(one, std::optional(0));
}

TEST(Requests, ThatClientsMayNotMakeAreRefused) {
  Cluster cluster({0});
  const wire::Decide decide{.counter = 5, .coordinator = 0, .commit = 1, .time = 0};
  const auto bytes = wire::bytes_of(decide);
  EXPECT_EQ(cluster.ask(wire::Op::decide, 0, 0, {bytes.begin(), bytes.end()}).error, EBADMSG);
  EXPECT_EQ(cluster.ask(static_cast<wire::Op>(127), 0, 0, {}).error, EBADMSG);
  EXPECT_EQ(cluster.ask(wire::Op::stat, 0, 0, {}).error, EBADMSG);
  wire::Stat lying{};
  lying.where = {.inode = root_inode, .path_bytes = 5000, .flags = 0};
  const auto short_body = wire::bytes_of(lying);
  EXPECT_EQ(cluster.ask(wire::Op::stat, 0, 0, {short_body.begin(), short_body.end()}).error,
            EBADMSG);
}

}  // namespace
}  // namespace benchfs
