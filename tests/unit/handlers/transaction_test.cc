// Changes on several servers: what they do, what they refuse, and what becomes of them when nobody
// decides.
#include "daemon/transaction/transaction.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>

#include <map>
#include <set>

#include "daemon/transaction/fault_points.h"
#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

class Changes : public testing::TestWithParam<std::uint32_t> {
 protected:
  ~Changes() override {
    cluster_.settle();
    cluster_.check_whole();
  }
  int link(const std::string& from, const std::string& to) {
    wire::Link message{};
    const auto attributes = cluster_.stat(from, false);
    message.inode = attributes->inode;
    message.type = attributes->mode & S_IFMT;
    return cluster_.at_path(message, to).error;
  }
  wire::Attributes look(const std::string& path) {
    const auto attributes = cluster_.stat(path, false);
    EXPECT_TRUE(attributes.ok()) << path;
    return attributes.ok() ? *attributes : wire::Attributes{};
  }
  Cluster cluster_{std::vector<std::uint32_t>(GetParam(), 0)};
};
INSTANTIATE_TEST_SUITE_P(Ranks, Changes, testing::Values(1, 2, 3));

TEST_P(Changes, AnExchangeSwapsFilesAndDirectoriesOfAnyParents) {
  for (const char* path : {"a", "b", "a/d", "b/e", "a/d/sub"})
    ASSERT_EQ(cluster_.make_directory(path), 0);
  for (const char* path : {"a/f", "b/g", "a/d/in_d"}) ASSERT_EQ(cluster_.make_file(path), 0);
  const auto number = [&](const std::string& path) { return look(path).inode; };
  const std::uint64_t f = number("a/f"), g = number("b/g"), d = number("a/d"), e = number("b/e");
  ASSERT_EQ(cluster_.rename("a/f", "b/g", RENAME_EXCHANGE), 0);
  EXPECT_EQ(number("a/f"), g);
  EXPECT_EQ(number("b/g"), f);
  ASSERT_EQ(cluster_.rename("a/d", "b/e", RENAME_EXCHANGE), 0);
  EXPECT_EQ(number("b/e"), d);
  EXPECT_EQ(number("a/d"), e);
  EXPECT_EQ(number("b/e/sub/.."), d);
  EXPECT_EQ(number("b/e/.."), number("b"));
  EXPECT_EQ(number("a/d/.."), number("a"));
  ASSERT_EQ(cluster_.rename("a/d", "b/g", RENAME_EXCHANGE), 0);  // a directory with a file
  EXPECT_EQ(number("b/g"), e);
  EXPECT_EQ(number("a/d"), f);
  EXPECT_EQ(look("a").links, 2u);
  EXPECT_EQ(look("b").links, 4u);
  EXPECT_EQ(cluster_.rename("a/f", "a/d", RENAME_EXCHANGE), 0);  // in one directory
  EXPECT_EQ(number("a/f"), f);
}

TEST_P(Changes, AnExchangeRefusesWhatLinuxRefuses) {
  for (const char* path : {"a", "a/b", "a/b/c", "z"}) ASSERT_EQ(cluster_.make_directory(path), 0);
  ASSERT_EQ(cluster_.make_file("a/b/c/f"), 0);
  EXPECT_EQ(cluster_.rename("a/b/c/f", "z/missing", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(cluster_.rename("z/missing", "a/b/c/f", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(cluster_.rename("a", "a/b/c", RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(cluster_.rename("a/b/c", "a", RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(cluster_.rename("a/b/c/f", "a", RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(cluster_.rename("a", "z", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  EXPECT_EQ(cluster_.rename("a", "z", 64), EINVAL);
  EXPECT_EQ(cluster_.rename("a", "a", RENAME_EXCHANGE), 0);
  EXPECT_EQ(cluster_.rename("a/b", "a"), ENOTEMPTY);
  EXPECT_EQ(cluster_.rename("a/b", "z", RENAME_NOREPLACE), EEXIST);
}

TEST_P(Changes, TwoNamesOfOneFileAreLeftAlone) {
  for (const char* path : {"a", "b", "c"}) ASSERT_EQ(cluster_.make_directory(path), 0);
  ASSERT_EQ(cluster_.make_file("a/f"), 0);
  for (const char* path : {"a/g", "b/f", "c/f"}) ASSERT_EQ(link("a/f", path), 0);
  EXPECT_EQ(link("a/f", "b/f"), EEXIST);
  EXPECT_EQ(look("c/f").links, 4u);
  for (const char* path : {"a/g", "b/f", "c/f"}) EXPECT_EQ(cluster_.rename("a/f", path), 0);
  EXPECT_EQ(look("a/f").links, 4u);
  EXPECT_EQ(cluster_.rename("b/f", "b/f", RENAME_NOREPLACE), EEXIST);
  for (const char* path : {"a/f", "a/g", "b/f"}) EXPECT_EQ(cluster_.unlink(path), 0);
  EXPECT_EQ(look("c/f").links, 1u);
  EXPECT_EQ(cluster_.unlink("c/f"), 0);
  EXPECT_EQ(cluster_.inodes(), 4u);
  EXPECT_EQ(link("a", "b/dir"), EPERM);
}

TEST_P(Changes, ALinkToAFileThatIsGoneIsRefused) {
  ASSERT_EQ(cluster_.make_directory("d"), 0);
  ASSERT_EQ(cluster_.make_file("f"), 0);
  wire::Link message{};
  message.inode = look("f").inode;
  message.type = S_IFREG;
  const auto opened = cluster_.open("f", O_RDWR);
  ASSERT_EQ(cluster_.unlink("f"), 0);
  EXPECT_EQ(cluster_.at_path(message, "d/g").error, ENOENT);  // open, but its last name is gone
  cluster_.close(*opened);
  EXPECT_EQ(cluster_.at_path(message, "d/g").error, ENOENT);
}

TEST_P(Changes, SetTheTimesThatLinuxSets) {
  for (const char* path : {"a", "b", "a/d", "b/e"}) ASSERT_EQ(cluster_.make_directory(path), 0);
  for (const char* path : {"a/f", "b/old"}) ASSERT_EQ(cluster_.make_file(path), 0);
  ASSERT_EQ(link("b/old", "other"), 0);
  const auto a = look("a"), b = look("b"), f = look("a/f"), old = look("other");
  ASSERT_EQ(cluster_.rename("a/f", "b/old"), 0);
  const auto moved = look("b/old");
  EXPECT_EQ(moved.inode, f.inode);
  EXPECT_EQ(moved.modified, f.modified);
  EXPECT_GT(moved.changed, f.changed);
  EXPECT_EQ(look("other").links, 1u);
  EXPECT_EQ(look("other").changed, moved.changed);
  EXPECT_GT(look("other").changed, old.changed);
  for (const auto& [path, before] : {std::pair("a", a), std::pair("b", b)}) {
    EXPECT_GT(look(path).modified, before.modified) << path;
    EXPECT_EQ(look(path).changed, look(path).modified) << path;
    EXPECT_EQ(look(path).modified, moved.changed) << path;
  }
  const auto d = look("a/d");
  ASSERT_EQ(cluster_.rename("a/d", "b/e"), 0);
  EXPECT_EQ(look("b/e").modified, d.modified);
  EXPECT_EQ(look("b/e").changed, look("a").modified);
  EXPECT_EQ(look("a").links, 2u);
  EXPECT_EQ(look("b").links, 3u);
}

TEST_P(Changes, TrailingSlashesAreForDirectories) {
  for (const char* path : {"a", "a/d", "b"}) ASSERT_EQ(cluster_.make_directory(path), 0);
  for (const char* path : {"a/f", "b/g"}) ASSERT_EQ(cluster_.make_file(path), 0);
  const auto rename = [&](const char* from, const char* to, std::uint32_t slashes,
                          std::uint32_t flags) {
    wire::Rename message{};
    message.from_directory = look("a").inode;
    message.to_directory = look("b").inode;
    message.from_bytes = static_cast<std::uint32_t>(std::strlen(from));
    message.to_bytes = static_cast<std::uint32_t>(std::strlen(to));
    message.slashes = slashes;
    message.flags = flags;
    const auto body = Cluster::body_of(message, std::string(from) + to);
    return cluster_.ask(wire::Op::rename, home_rank(message.from_directory), 0, body).error;
  };
  EXPECT_EQ(rename("f", "new", wire::NameFlag::from_slash, 0), ENOTDIR);
  EXPECT_EQ(rename("f", "new", wire::NameFlag::to_slash, 0), ENOTDIR);
  EXPECT_EQ(rename("none", "new", wire::NameFlag::to_slash, 0), ENOENT);
  EXPECT_EQ(rename("d", "g", wire::NameFlag::to_slash, RENAME_EXCHANGE), ENOTDIR);
  EXPECT_EQ(rename("d", "new", wire::NameFlag::from_slash | wire::NameFlag::to_slash, 0), 0);
  EXPECT_TRUE(cluster_.stat("b/new").ok());
}

TEST_P(Changes, PermissionsOfBothDirectoriesCount) {
  for (const char* path : {"a", "b", "a/d", "b/e"}) ASSERT_EQ(cluster_.make_directory(path), 0);
  for (const char* path : {"a/f", "b/g"}) ASSERT_EQ(cluster_.make_file(path), 0);
  wire::SetAttributes mode{};
  mode.valid = wire::valid_mode;
  mode.mode = 0500;
  ASSERT_EQ(cluster_.at_path(mode, "b").error, 0);
  wire::Rename message{};
  message.from_directory = look("a").inode;
  message.to_directory = look("b").inode;
  message.from_bytes = message.to_bytes = 1;
  const auto as_user = [&](const char* names) {
    return cluster_
        .ask(wire::Op::rename, home_rank(message.from_directory), 0,
             Cluster::body_of(message, names), 1000)
        .error;
  };
  EXPECT_EQ(as_user("ff"), EACCES);
  EXPECT_EQ(as_user("dd"), EACCES);
  EXPECT_EQ(as_user("fe"), EACCES);  // before that one is a directory
  EXPECT_EQ(as_user("dg"), EACCES);
  mode.mode = 0700;
  ASSERT_EQ(cluster_.at_path(mode, "b").error, 0);
  EXPECT_EQ(as_user("fe"), EISDIR);
  EXPECT_EQ(as_user("dg"), ENOTDIR);
  mode.mode = 0500;
  ASSERT_EQ(cluster_.at_path(mode, "a/d").error, 0);
  EXPECT_EQ(as_user("dd"), EACCES);  // its ".." would change
  EXPECT_EQ(as_user("ff"), 0);
}

// A server that agreed and hears nothing.
class Undecided : public testing::Test {
 protected:
  Undecided() {
    for (int i = 0; i < 32 && directory_ == 0; ++i) {
      const std::string path = "d" + std::to_string(i);
      EXPECT_EQ(cluster_.make_directory(path), 0);
      if (home_rank(cluster_.stat(path)->inode) != 1) continue;
      directory_ = cluster_.stat(path)->inode;
      path_ = path;
    }
    EXPECT_EQ(cluster_.make_file(path_ + "/f"), 0);
    file_ = cluster_.stat(path_ + "/f")->inode;
    cluster_.settle();
  }
  ~Undecided() override {
    cluster_.settle();
    cluster_.check_whole();
  }
  // As rank 0 would ask rank 1 to remove the name "f".
  Result<wire::PrepareReply> prepare(std::uint64_t counter) {
    const std::vector<Step> steps{set_entry(directory_, "f", file_, {}), add_links(file_, -1)};
    const wire::Prepare question{.counter = counter,
                                 .coordinator = 0,
                                 .kind = wire::TransactionKind::unlink,
                                 .steps = 2,
                                 .uid = 0,
                                 .at_once = 0,
                                 .reserved = 0};
    Server& server = *cluster_.node(0).server;
    return cluster_.run(server.ask(1, question, encode_steps(steps, 1)), cluster_.node(0).loop);
  }
  int decide(std::uint64_t counter, bool commit) {
    const wire::Decide order{
        .counter = counter, .coordinator = 0, .commit = commit ? 1u : 0u, .time = now()};
    Server& server = *cluster_.node(0).server;
    const auto reply = cluster_.run(server.ask(1, order), cluster_.node(0).loop);
    return reply.ok() ? 0 : reply.error().code();
  }
  Cluster cluster_{{0, 0}};
  std::uint64_t directory_ = 0;
  std::uint64_t file_ = 0;
  std::string path_;
};

TEST_F(Undecided, LookUpsWaitUntilItAsksAndHearsThatNothingWasCommitted) {
  ASSERT_TRUE(prepare(77).ok());
  EXPECT_EQ(cluster_.node(1).server->participant.size(), 1u);
  EXPECT_TRUE(cluster_.stat(path_ + "/f").ok());  // waits for it
  EXPECT_EQ(cluster_.node(1).server->participant.size(), 0u);
}

TEST_F(Undecided, QuestionsAndDecisionsMayBeRepeated) {
  ASSERT_TRUE(prepare(77).ok());
  const auto again = prepare(77);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->attributes.inode, file_);
  EXPECT_EQ(decide(77, true), 0);
  EXPECT_EQ(decide(77, true), 0);
  EXPECT_EQ(cluster_.stat(path_ + "/f").error(), Error(ENOENT));
  EXPECT_EQ(prepare(77).error(), Error(ECANCELED));  // late: it is decided
  EXPECT_EQ(decide(78, false), 0);                   // never heard of
}

TEST_F(Undecided, AnAgreementOutlivesTheServer) {
  ASSERT_TRUE(prepare(77).ok());
  cluster_.restart(1);
  const Server& server = *cluster_.node(1).server;
  EXPECT_EQ(server.participant.size(), 1u);
  EXPECT_TRUE(server.names.locks().locked(directory_, "f"));
  EXPECT_TRUE(server.pinned.contains(file_));
  EXPECT_TRUE(cluster_.stat(path_ + "/f").ok());  // waits for it to ask
  EXPECT_EQ(server.participant.size(), 0u);
  EXPECT_TRUE(server.blobs.all().empty());
}

TEST_F(Undecided, ADecisionOutlivesTheServer) {
  ASSERT_TRUE(prepare(77).ok());
  Server& before = *cluster_.node(0).server;
  const Coordinator::Committed change{
      .kind = wire::TransactionKind::unlink, .time = now(), .ranks = {1}};
  const std::string bytes = Coordinator::encode(77, change);
  before.blobs.put({.kind = committed_blob, .rank = 0, .counter = 77},
                   wire::bytes_of(std::string_view(bytes)));
  before.commit();
  cluster_.restart(0);
  EXPECT_EQ(cluster_.stat(path_ + "/f").error(), Error(ENOENT));
  EXPECT_TRUE(cluster_.until([&] { return cluster_.node(0).server->coordinator.size() == 0; }));
  EXPECT_TRUE(cluster_.node(0).server->blobs.all().empty());
}

TEST_F(Undecided, ChangesThatWereAnsweredOutliveAllServers) {
  ASSERT_EQ(cluster_.make_directory("e"), 0);
  ASSERT_EQ(cluster_.rename(path_ + "/f", "e/g"), 0);
  ASSERT_EQ(cluster_.make_directory("e/sub"), 0);
  ASSERT_EQ(cluster_.rename("e/sub", path_ + "/moved"), 0);
  cluster_.restart(0);
  cluster_.restart(1);
  EXPECT_EQ(cluster_.stat("e/g")->inode, file_);
  EXPECT_EQ(cluster_.stat(path_ + "/moved/..")->inode, directory_);
  EXPECT_EQ(cluster_.remove_directory(path_ + "/moved"), 0);
}

Task<int> ask_for_one(Server& server, std::uint32_t rank, wire::Op op, std::vector<std::byte> body,
                      std::vector<int>* errors) {
  const Caller caller{};
  const Answer answer = co_await server.ask_raw(rank, op, caller, body, {}, {});
  errors->push_back(answer.error);
  co_return 0;
}

TEST_F(Undecided, AllWhoMakeNamesInADirectoryThatStaysGoOn) {
  std::uint64_t empty = 0;
  for (int i = 0; i < 32 && empty == 0; ++i) {
    ASSERT_EQ(cluster_.make_directory("e" + std::to_string(i)), 0);
    const std::uint64_t made = cluster_.stat("e" + std::to_string(i))->inode;
    if (home_rank(made) == 1) empty = made;
  }
  const std::vector<Step> steps{remove_directory(empty)};
  const wire::Prepare question{.counter = 5,
                               .coordinator = 0,
                               .kind = wire::TransactionKind::remove_directory,
                               .steps = 1,
                               .uid = 0,
                               .at_once = 0,
                               .reserved = 0};
  Server& server = *cluster_.node(0).server;
  ASSERT_TRUE(
      cluster_.run(server.ask(1, question, encode_steps(steps, 1)), cluster_.node(0).loop).ok());
  std::vector<int> errors;
  for (int i = 0; i < 8; ++i) {
    wire::Symlink link{};
    link.where = {.inode = empty, .path_bytes = 1, .flags = 0};
    link.target_bytes = 1;
    cluster_.node(0).loop.spawn(ask_for_one(
        server, 1, wire::Op::symlink, Cluster::body_of(link, std::to_string(i) + "t"), &errors));
  }
  cluster_.settle();
  EXPECT_TRUE(errors.empty());  // perhaps it is being removed
  ASSERT_TRUE(cluster_.until([&] { return errors.size() == 8; }));
  EXPECT_EQ(std::ranges::count(errors, 0), 8);
}

TEST_F(Undecided, NumbersOfNoStepsAreRefused) {
  const wire::Prepare none{.counter = 1,
                           .coordinator = 0,
                           .kind = wire::TransactionKind::unlink,
                           .steps = 0,
                           .uid = 0,
                           .at_once = 0,
                           .reserved = 0};
  Server& server = *cluster_.node(0).server;
  for (const std::uint32_t steps : {0u, 1u, 2u, 17u}) {
    wire::Prepare question = none;
    question.steps = steps;
    std::string text = encode_steps(std::vector<Step>{remove_directory(directory_)}, 1);
    if (steps == 1) text.resize(text.size() - 1);
    const auto reply = cluster_.run(server.ask(1, question, text), cluster_.node(0).loop);
    EXPECT_EQ(reply.error(), Error(EBADMSG)) << steps;
  }
  wire::Prepare nobody = none;
  nobody.coordinator = 9;
  EXPECT_EQ(cluster_.run(server.ask(1, nobody), cluster_.node(0).loop).error(), Error(EBADMSG));
}

// The list is what tests walk through; every change on several servers passes its points in order.
TEST(FaultPoints, AreReachedInOrderByEveryKindOfChange) {
  Cluster cluster({0, 0, 0}, 10'000, {}, 10);  // the root is split
  std::map<std::uint32_t, std::set<std::uint32_t>> reached;
  arm_fault_points([&](wire::TransactionKind kind, Moment moment) {
    reached[static_cast<std::uint32_t>(kind)].insert(static_cast<std::uint32_t>(moment));
  });
  for (int i = 0; i < 12; ++i) {
    const std::string d = "d" + std::to_string(i);
    ASSERT_EQ(cluster.make_directory(d), 0);
    for (const char* sub : {"/one", "/two", "/three"})
      ASSERT_EQ(cluster.make_directory(d + sub), 0);
    ASSERT_EQ(cluster.make_file(d + "/f"), 0);
    ASSERT_EQ(cluster.make_file(d + "/old"), 0);
  }
  const auto name = [](int i) { return "d" + std::to_string(i); };
  for (int i = 0; i + 1 < 12; ++i) {
    const std::string from = name(i), to = name(i + 1);
    wire::Link link{};
    link.inode = cluster.stat(from + "/f")->inode;
    link.type = S_IFREG;
    ASSERT_EQ(cluster.at_path(link, to + "/link").error, 0);
    ASSERT_EQ(cluster.unlink(to + "/link"), 0);
    ASSERT_EQ(cluster.rename(from + "/f", to + "/moved"), 0);
    ASSERT_EQ(cluster.rename(to + "/moved", from + "/old"), 0);
    ASSERT_EQ(cluster.rename(from + "/one", to + "/moved"), 0);
    ASSERT_EQ(cluster.rename(to + "/moved", from + "/two"), 0);
    ASSERT_EQ(cluster.rename(from + "/two", to + "/f", RENAME_EXCHANGE), 0);
    ASSERT_EQ(cluster.rename(from + "/two", to + "/f", RENAME_EXCHANGE), 0);
    ASSERT_EQ(cluster.remove_directory(from + "/three"), 0);
  }
  cluster.settle();
  arm_fault_points(nullptr);
  std::size_t points = 0;
  for (const auto& [kind, seen] : reached) points += seen.size();
  EXPECT_EQ(points, fault_points().size());
  cluster.check_whole();
}

TEST(RenameTicket, IsTakenFromAHolderThatDoesNotKnowOfIt) {
  Cluster cluster({0, 0, 0});
  Server& rank_0 = *cluster.node(0).server;
  ASSERT_TRUE(cluster.run(rank_0.rename_ticket.lend(1, 4711), cluster.node(0).loop).ok());
  Server& rank_2 = *cluster.node(2).server;
  const auto taken = cluster.run(rank_2.rename_ticket.take(), cluster.node(2).loop);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(rank_2.rename_ticket.held(*taken), *taken);
  rank_2.rename_ticket.give(*taken);
  EXPECT_EQ(rank_2.rename_ticket.held(0), 0u);
}

TEST(RenameTicket, IsFoundAgainAfterARestartOfRank0) {
  Cluster cluster({0, 0, 0});
  Server& rank_1 = *cluster.node(1).server;
  const auto first = cluster.run(rank_1.rename_ticket.take(), cluster.node(1).loop);
  ASSERT_TRUE(first.ok());
  // A new process, that knows nothing of what was lent.
  RenameTicket& lender = cluster.node(0).server->rename_ticket;
  lender.take_back(1, *first);
  lender.after_restart();
  std::optional<int> second;
  std::uint64_t id = 0;
  Server& rank_2 = *cluster.node(2).server;
  cluster.node(2).loop.spawn(
      [](Server& server, std::optional<int>* done, std::uint64_t* number) -> Task<int> {
        const auto taken = co_await server.rename_ticket.take();
        *number = taken.ok() ? *taken : 0;
        *done = taken.ok() ? 0 : taken.error().code();
        co_return 0;
      }(rank_2, &second, &id));
  cluster.settle();
  EXPECT_FALSE(second.has_value());
  rank_1.rename_ticket.give(*first);
  ASSERT_TRUE(cluster.until([&] { return second.has_value(); }));
  EXPECT_EQ(*second, 0);
  rank_2.rename_ticket.give(id);
}

}  // namespace
}  // namespace benchfs
