// Directories that grow too large are split over the ranks while they are used.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>
#include <set>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

constexpr std::uint32_t split_entries = 8;

class Split : public testing::TestWithParam<std::uint32_t> {
 protected:
  Split() {
    EXPECT_EQ(cluster_.make_directory("d"), 0);
    directory_ = cluster_.stat("d")->inode;
  }
  ~Split() override {
    cluster_.settle();
    cluster_.check_whole();
  }
  static std::string path(int i) { return "d/f" + std::to_string(i); }
  const Inode& directory() {
    return *cluster_.node(home_rank(directory_)).server->names.find(directory_);
  }
  std::size_t parts() { return parts_here(directory()).size(); }
  void fill(int from, int to) {
    for (int i = from; i < to; ++i) make_open(i);
    cluster_.settle();
  }
  void make_open(int i) {
    const auto made = cluster_.open(path(i), O_CREAT | O_EXCL | O_WRONLY);
    ASSERT_TRUE(made.ok()) << i << ": " << made.error().code();
    Server& server = *cluster_.node(0).server;
    server.table.undo_open(server.self, server.table.index_of(cluster_.entry(*made, 0)));
  }
  // As a client lists, a page after the other.
  std::vector<std::string> list() {
    std::vector<std::string> names;
    std::uint64_t cookie = 0;
    for (;;) {
      wire::List message{.inode = directory_, .cookie = cookie};
      Answer answer;
      wire::ListReply head{};
      do {
        answer =
            cluster_.ask(wire::Op::list, home_rank(message.inode), 0, Cluster::body_of(message));
        EXPECT_EQ(answer.error, 0);
        if (answer.error != 0) return names;
        head = *wire::parse<wire::ListReply>(answer.body);
        message = {.inode = head.next, .cookie = head.next_cookie};
      } while (head.entries == 0 && head.end == 0);
      std::size_t at = sizeof head;
      for (std::uint32_t i = 0; i < head.entries; ++i) {
        const auto row = *wire::parse<wire::ListEntry>(std::span(answer.body).subspan(at));
        names.emplace_back(*wire::text(answer.body, at + sizeof row, row.name_bytes));
        at += sizeof row + row.name_bytes;
        EXPECT_GT(row.cookie, cookie) << "listings go up";
        cookie = row.cookie;
      }
      if (head.end != 0) return names;
    }
  }
  Cluster cluster_{std::vector<std::uint32_t>(GetParam(), 0), 10'000, {}, split_entries};
  std::uint64_t directory_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Ranks, Split, testing::Values(1, 2, 3, 4));

TEST_P(Split, SpreadsOverAllRanksAndLosesNothing) {
  fill(0, 300);
  EXPECT_EQ(parts(), GetParam() - 1);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(cluster_.stat(path(i)).ok()) << i;
  EXPECT_EQ(cluster_.stat("d/missing").error(), Error(ENOENT));
  EXPECT_EQ(cluster_.stat("d")->size, 20u * 302);
  auto names = list();
  EXPECT_EQ(names.size(), 300u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 300u);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(cluster_.make_file(path(i)), EEXIST) << i;
  EXPECT_EQ(cluster_.remove_directory("d"), ENOTEMPTY);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(cluster_.unlink(path(i)), 0) << i;
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(cluster_.remove_directory("d"), 0);
  cluster_.settle();
  EXPECT_EQ(cluster_.inodes(), 1u);
}

TEST_P(Split, DirectoriesInItAreItsOwn) {
  for (int i = 0; i < 120; ++i) ASSERT_EQ(cluster_.make_directory(path(i)), 0);
  cluster_.settle();
  EXPECT_EQ(parts(), GetParam() - 1);
  EXPECT_EQ(cluster_.stat("d")->links, 122u);
  for (int i = 0; i < 120; ++i) {
    ASSERT_EQ(cluster_.stat(path(i) + "/..")->inode, directory_) << i;
    ASSERT_EQ(cluster_.make_directory(path(i) + "/sub"), 0);
  }
  EXPECT_EQ(cluster_.rename("d", path(7) + "/sub/d"), EINVAL);
  ASSERT_EQ(cluster_.make_directory("e"), 0);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(cluster_.rename(path(i), "e/" + std::to_string(i)), 0);
    ASSERT_EQ(cluster_.rename(path(i + 20), path(i)), 0);
    ASSERT_EQ(cluster_.rename("e/" + std::to_string(i), path(i + 20)), 0);
    ASSERT_EQ(cluster_.stat(path(i + 20) + "/sub/../..")->inode, directory_);
    ASSERT_EQ(cluster_.rename(path(i), path(i + 20), RENAME_EXCHANGE), 0);
    ASSERT_EQ(cluster_.rename(path(i), path(i + 20)), ENOTEMPTY);
  }
  EXPECT_EQ(cluster_.stat("d")->links, 122u);
}

TEST_P(Split, AnEmptyOneCanBeReplaced) {
  fill(0, 100);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(cluster_.unlink(path(i)), 0) << i;
  ASSERT_EQ(cluster_.make_directory("other"), 0);
  EXPECT_EQ(cluster_.rename("other", "d"), 0);
  cluster_.settle();
  EXPECT_EQ(cluster_.inodes(), 2u);
  directory_ = cluster_.stat("d")->inode;
}

TEST_P(Split, ItsModeHoldsInAllParts) {
  fill(0, 100);
  wire::SetAttributes mode{};
  mode.valid = wire::valid_mode;
  mode.mode = 0500;
  ASSERT_EQ(cluster_.at_path(mode, "d").error, 0);
  for (int i = 200; i < 220; ++i)
    EXPECT_EQ(cluster_.open(path(i), O_CREAT | O_WRONLY, 0, 1000).error(), Error(EACCES));
  EXPECT_EQ(cluster_.stat("d")->mode & 07777, 0500u);
}

TEST_P(Split, ItsTimesAreThoseOfTheLastChange) {
  fill(0, 100);
  const auto before = cluster_.stat("d");
  ASSERT_EQ(cluster_.unlink(path(5)), 0);
  EXPECT_GT(cluster_.stat("d")->modified, before->modified);
  wire::SetAttributes times{};
  times.valid = wire::valid_modified;
  times.modified = 1'000'000'000;
  ASSERT_EQ(cluster_.at_path(times, "d").error, 0);
  EXPECT_EQ(cluster_.stat("d")->modified, 1'000'000'000);
  for (int i = 10; i < 20; ++i) {
    ASSERT_EQ(cluster_.unlink(path(i)), 0);
    EXPECT_GT(cluster_.stat("d")->modified, before->modified) << i;
  }
}

TEST_P(Split, SymlinksInItAreSeenFromIt) {
  fill(0, 100);
  ASSERT_EQ(cluster_.make_file("top"), 0);
  for (int i = 0; i < 10; ++i) {
    wire::Symlink link{};
    link.target_bytes = 6;
    ASSERT_EQ(cluster_.at_path(link, "d/up" + std::to_string(i), "../top").error, 0);
    link.target_bytes = 3;
    ASSERT_EQ(
        cluster_.at_path(link, "d/by" + std::to_string(i), "f" + std::to_string(i + 10)).error, 0);
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(cluster_.stat("d/up" + std::to_string(i))->inode, cluster_.stat("top")->inode);
    EXPECT_EQ(cluster_.stat("d/by" + std::to_string(i))->inode, cluster_.stat(path(i + 10))->inode);
  }
}

TEST_P(Split, OutlivesRestartsOfAllRanks) {
  for (int i = 0; i < 40; ++i) ASSERT_EQ(cluster_.make_directory(path(i)), 0);
  cluster_.settle();
  for (std::uint32_t rank = 0; rank < GetParam(); ++rank) cluster_.restart(rank);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(cluster_.stat(path(i)).ok()) << i;
  EXPECT_EQ(list().size(), 40u);
  EXPECT_EQ(cluster_.stat("d")->links, 42u);
  for (int i = 0; i < 40; ++i) ASSERT_EQ(cluster_.make_directory(path(i)), EEXIST) << i;
  for (int i = 40; i < 60; ++i) ASSERT_EQ(cluster_.make_directory(path(i)), 0) << i;
  cluster_.settle();
  EXPECT_EQ(list().size(), 60u);
}

// A name was found in a directory; then the directory was split.
TEST_P(Split, RenamesOfNamesThatMovedAreSentBack) {
  fill(0, 60);
  for (int i = 0; i < 60; ++i) {
    const std::string name = "f" + std::to_string(i), to = "g" + std::to_string(i);
    wire::Rename message{};
    message.from_directory = message.to_directory = directory_;
    message.from_bytes = static_cast<std::uint32_t>(name.size());
    message.to_bytes = static_cast<std::uint32_t>(to.size());
    const Answer answer = cluster_.ask(wire::Op::rename, home_rank(directory_), 0,
                                       Cluster::body_of(message, name + to));
    EXPECT_EQ(answer.error, 0);
    const bool all_here = directory().directory->has_place_for(directory_, name) &&
                          directory().directory->has_place_for(directory_, to);
    EXPECT_EQ((answer.flags & wire::Flag::redirected) == 0, all_here);
    EXPECT_EQ(cluster_.stat("d/" + (all_here ? to : name)).ok(), true);
    EXPECT_EQ(cluster_.stat("d/" + (all_here ? name : to)).error(), Error(ENOENT));
  }
}

// Another host may use what it was leased until it is recalled.
TEST(SplitHosts, NoHostGoesOnWithWhatItWasLeasedBefore) {
  Cluster cluster({0, 1, 1}, 10'000, {}, split_entries);
  ASSERT_EQ(cluster.make_directory("d"), 0);
  const std::uint64_t number = cluster.stat("d")->inode;
  const std::uint32_t away = home_rank(number) == 0 ? 1 : 0;  // a host that does not have it
  const HostView& leased = cluster.node(away).leased.at<LeasedView>().view;
  const auto missing = [&](int i) { return "d/new" + std::to_string(i); };
  const auto is_shown_missing = [&](int i) {
    const std::string name = missing(i).substr(2);
    const auto shown = leased.inode(number);
    if (!shown.has_value()) return false;
    if (shown->is_split() && !shown->has(entry_cookie(number, name))) return false;
    const auto entry = leased.entry(number, name);
    return entry.has_value() && entry->inode == 0;
  };
  for (int again = 0; again < 3; ++again)
    for (int i = 0; i < 30; ++i)
      EXPECT_EQ(cluster.stat(missing(i), true, away).error(), Error(ENOENT));
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(is_shown_missing(i)) << i;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(cluster.make_directory("d/f" + std::to_string(i)), 0);
  cluster.settle();
  ASSERT_TRUE(cluster.node(home_rank(number)).server->names.find(number)->is_split());
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(cluster.make_directory(missing(i)), 0) << i;
    EXPECT_FALSE(is_shown_missing(i)) << i;
    EXPECT_TRUE(cluster.stat(missing(i), true, away).ok()) << i;
  }
  cluster.settle();
  cluster.check_whole();
}

// Many create, look up and remove in it while it splits.
class SplitRaces : public Split {
 protected:
  Task<int> work(std::uint32_t who) {
    for (std::uint32_t i = 0; i < names; ++i) {
      const std::string own = "w" + std::to_string(who) + "_" + std::to_string(i);
      const std::string shared = "s" + std::to_string(i);
      co_await expect(make(who, own), 0, own);
      const int won = co_await make(who, shared);
      if (won == 0) ++winners_[i];
      if (won != 0 && won != EEXIST) ADD_FAILURE() << shared << " " << won;
      co_await expect(look(who, own), 0, own);
      co_await expect(look(who, shared), 0, shared);
      co_await expect(make(who, own), EEXIST, own);
      if (i % 3 != 0) continue;
      co_await expect(remove(who, own), 0, own);
      co_await expect(look(who, own), ENOENT, own);
    }
    ++ended_;
    co_return 0;
  }
  static Task<int> expect(Task<int> task, int wanted, std::string name) {
    const int got = co_await task;
    EXPECT_EQ(got, wanted) << name;
    co_return got;
  }
  // Symlinks: they need no close.
  Task<int> make(std::uint32_t who, std::string name) {
    wire::Symlink message{};
    message.target_bytes = 1;
    co_return co_await ask(who, message, std::move(name), "t");
  }
  Task<int> look(std::uint32_t who, std::string name) {
    co_return co_await ask(who, wire::Stat{}, std::move(name), "");
  }
  Task<int> remove(std::uint32_t who, std::string name) {
    co_return co_await ask(who, wire::Unlink{}, std::move(name), "");
  }
  template <class M>
  Task<int> ask(std::uint32_t who, M message, std::string path, std::string tail) {
    Server& server = *cluster_.node(who % GetParam()).server;
    std::uint64_t inode = directory_;
    for (int hops = 0; hops < 64; ++hops) {
      message.where = {
          .inode = inode, .path_bytes = static_cast<std::uint32_t>(path.size()), .flags = 0};
      const auto body = Cluster::body_of(message, path + tail);
      const Caller caller{};
      const Answer answer = co_await server.ask_raw(home_rank(inode), M::op, caller, body, {}, {});
      if ((answer.flags & wire::Flag::redirected) == 0) co_return answer.error;
      const auto away = *wire::parse<wire::Redirect>(answer.body);
      inode = away.inode;
      path = path.substr(away.consumed);
    }
    co_return ELOOP;
  }
  static constexpr std::uint32_t names = 60;
  std::array<int, names> winners_{};
  std::uint32_t ended_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Ranks, SplitRaces, testing::Values(2, 3, 4));

TEST_P(SplitRaces, NoNameIsMissedAndNoneIsMadeTwice) {
  constexpr std::uint32_t workers = 16;
  for (std::uint32_t who = 0; who < workers; ++who)
    cluster_.node(who % GetParam()).loop.spawn(work(who));
  ASSERT_TRUE(cluster_.until([&] { return ended_ == workers; }));
  for (const int won : winners_) EXPECT_EQ(won, 1);
  EXPECT_EQ(parts(), GetParam() - 1);
  const auto all = list();
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), names + workers * 40);
  EXPECT_EQ(all.size(), names + workers * 40);
}

// A directory of four parts, empty again, whose removal rank 0 coordinates.
class RemovalOfSplit : public Split {
 protected:
  RemovalOfSplit() {
    fill(0, 300);
    for (int i = 0; i < 300; ++i) EXPECT_EQ(cluster_.unlink(path(i)), 0);
    cluster_.settle();
    EXPECT_EQ(parts(), 3u);
  }
  void remove() {
    wire::RemoveDirectory message{};
    message.where = {.inode = root_inode, .path_bytes = 1, .flags = 0};
    cluster_.spawn(wire::Op::remove_directory, Cluster::body_of(message, "d"), &done_);
    cluster_.settle();
  }
  Server& server(std::uint32_t rank) { return *cluster_.node(rank).server; }
  std::uint64_t part_at(std::uint32_t rank) {
    if (home_rank(directory_) == rank) return directory_;
    const std::vector<std::uint64_t> there = parts_here(directory());
    return *std::ranges::find(there, rank, home_rank);
  }
  std::optional<int> done_;
};
INSTANTIATE_TEST_SUITE_P(Ranks, RemovalOfSplit, testing::Values(4));

TEST_P(RemovalOfSplit, AsksAllRanksAtOnce) {
  const std::uint32_t silent = home_rank(directory_) == 1 ? 2 : 1;
  cluster_.node(silent).stopped = true;
  remove();
  EXPECT_FALSE(done_.has_value());
  std::size_t prepared = 0;
  for (std::uint32_t rank = 1; rank < 4; ++rank) prepared += server(rank).participant.size();
  EXPECT_EQ(prepared, 2u);
  cluster_.node(silent).stopped = false;
  ASSERT_TRUE(cluster_.until([&] { return done_.has_value(); }));
  EXPECT_EQ(*done_, 0);
}

TEST_P(RemovalOfSplit, WaitsInOrderWhereSomethingIsLocked) {
  LockKey key{part_at(2), std::string()};
  auto& node = cluster_.node(2);
  ASSERT_EQ(cluster_.run(node.server->names.lock(node.loop, key), node.loop), 0);
  remove();
  ASSERT_TRUE(cluster_.until([&] { return server(1).participant.size() == 1; }));
  cluster_.settle();
  EXPECT_FALSE(done_.has_value());
  EXPECT_EQ(server(3).participant.size(), 0u) << "its turn comes after that of rank 2";
  node.server->names.unlock(key.inode, {});
  ASSERT_TRUE(cluster_.until([&] { return done_.has_value(); }));
  EXPECT_EQ(*done_, 0);
}

}  // namespace
}  // namespace benchfs
