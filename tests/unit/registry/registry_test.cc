#include "registry/registry.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/process.h"
#include "common/sys.h"
#include "common/text.h"
#include "registry/host_id.h"
#include "registry/start_failure.h"
#include "tests/unit/registry/scratch.h"

namespace benchfs {
namespace {

constexpr std::uint64_t this_launch = 1001;
constexpr std::uint64_t other_launch = 2002;

NodeRecord node(std::uint32_t rank, std::uint32_t size = 2) {
  NodeRecord record;
  record.state = NodeState::joined;
  record.launch_id = this_launch;
  record.instance.fill(std::byte{1});
  record.rank = rank;
  record.size = size;
  record.host_id = *host_id();
  record.supervisor = process_id(::getpid());
  record.fingerprint = 55;
  record.settings = "storage.chunk_size=4194304 client.mount_point=/benchfs";
  record.host_name = "here" + std::to_string(rank);
  record.data_dir = "/tmp/x";
  record.mount_point = "/benchfs";
  return record;
}

Patience patience(std::int64_t wait_ms) {
  Patience p;
  p.deadline_ns = sys::now_ns() + wait_ms * 1'000'000;
  p.timeout_s = 7;
  p.host_of = [](std::uint32_t rank) { return "bn" + std::to_string(rank + 1); };
  return p;
}

template <class Work>
StartFailure failure_of(Work work) {
  try {
    work();
  } catch (const StartFailure& failure) {
    return failure;
  }
  return StartFailure(0, "no failure");
}

template <class Work>
std::string line_of(Work work) {
  return failure_of(work).what();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(RegistryDirectory, ThatDoesNotExistIsToBeMadeByTheUser) {
  const Scratch scratch;
  const StartFailure failure = failure_of([&] { Registry registry(scratch / "none"); });
  EXPECT_EQ(failure.code(), exit_code::registry);
  EXPECT_TRUE(std::string(failure.what())
                  .starts_with("Registry directory does not exist: " + (scratch / "none") +
                               ": create it first (mkdir -p " + (scratch / "none") + ")"));
}

TEST(RegistryDirectory, MustBeADirectory) {
  const Scratch scratch;
  write_text(scratch / "file", "");
  EXPECT_TRUE(contains(line_of([&] { Registry registry(scratch / "file"); }),
                       "Registry directory is not a directory"));
}

TEST(RegistryDirectory, IsMadePrivateWhileItIsEmpty) {
  const Scratch scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0777), 0);
  const Registry registry(scratch.path());
  struct stat attributes {};
  ASSERT_EQ(::stat(scratch.path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0700U);
}

TEST(RegistryDirectory, ThatHoldsSomethingMustNotBeWritableByOthers) {
  const Scratch scratch;
  write_text(scratch / "thesis.tex", "");
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0775), 0);
  const StartFailure failure = failure_of([&] { Registry registry(scratch.path()); });
  EXPECT_EQ(failure.code(), exit_code::registry);
  EXPECT_TRUE(contains(failure.what(), "chmod go-w " + scratch.path()));
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0755), 0);
  const Registry registry(scratch.path());
}

TEST(RegistryDirectory, IsLeftAsItIsWhenItIsForAllUsers) {
  const Scratch scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 01777), 0);
  const StartFailure failure = failure_of([&] { Registry registry(scratch.path()); });
  EXPECT_TRUE(contains(failure.what(), "is shared with other users: " + scratch.path()));
  struct stat attributes {};
  ASSERT_EQ(::stat(scratch.path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 01777U);
}

TEST(RegistryDirectory, MustBeTheUsersOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes another user";
  const Scratch scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0755), 0);
  EXPECT_EQ(as_nobody([&] {
              const StartFailure failure = failure_of([&] { Registry registry(scratch.path()); });
              return contains(failure.what(), "belongs to user 0") ? failure.code() : 1;
            }),
            exit_code::registry);
}

TEST(RegistryDirectory, ThatCannotBeWrittenSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes another user";
  const Scratch scratch;
  write_text(scratch / "something", "");
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0500), 0);
  ASSERT_EQ(::chown(scratch.path().c_str(), nobody, nobody), 0);
  EXPECT_EQ(as_nobody([&] {
              Registry registry(scratch.path());
              const StartFailure failure =
                  failure_of([&] { registry.publish(node(1), Registry::Sync::no); });
              return contains(failure.what(), "Failed to register node address: cannot create ") &&
                             contains(failure.what(),
                                      "node_1.addr: Permission denied (EACCES): use")
                         ? failure.code()
                         : 1;
            }),
            exit_code::registry);
}

TEST(Registry, HoldsPrivateFilesUnderTheirOwnNamesOnly) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.take_lock(node(0));
  registry.publish(node(0), Registry::Sync::durable);
  registry.write_identity(node(0), make_identity());
  registry.mark_ready(node(0));
  EXPECT_EQ(names_in(scratch.path()),
            (std::vector<std::string>{"instance", "lock", "node_0.addr", "ready"}));
  for (const std::string& name : names_in(scratch.path())) {
    struct stat attributes {};
    ASSERT_EQ(::stat((scratch / name).c_str(), &attributes), 0);
    EXPECT_EQ(attributes.st_mode & 0777, 0600U) << name;
  }
  EXPECT_EQ(read_text(scratch / "ready"), to_hex(node(0).instance) + " 2\n");
  EXPECT_TRUE(registry.is_ready(node(0).instance));
  EXPECT_FALSE(registry.is_ready(InstanceId{}));
  registry.withdraw(node(0));
  EXPECT_TRUE(names_in(scratch.path()).empty());
}

TEST(Registry, WritesNothingAfterItHasWithdrawn) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.withdraw(node(1));
  EXPECT_EQ(failure_of([&] { registry.publish(node(1), Registry::Sync::no); }).teller(),
            Teller::nobody);
  EXPECT_TRUE(names_in(scratch.path()).empty());
}

TEST(RegistryLock, KeepsAnotherInstanceOut) {
  const Scratch scratch;
  Registry live(scratch.path());
  live.take_lock(node(0));
  Registry other(scratch.path());
  NodeRecord late = node(0);
  late.launch_id = other_launch;
  const StartFailure failure = failure_of([&] { other.take_lock(late); });
  EXPECT_EQ(failure.code(), exit_code::other_instance);
  EXPECT_EQ(std::string(failure.what()),
            "Registry " + scratch.path() +
                " belongs to a live instance (rank 0 on host here0, pid " +
                std::to_string(::getpid()) + "): end that one, or use another registry directory");
  // And nothing of the live one is touched.
  other.mark_failed(late, failure);
  other.withdraw(late);
  EXPECT_EQ(names_in(scratch.path()), std::vector<std::string>{"lock"});

  late.rank = 1;
  EXPECT_EQ(failure_of([&] { other.refuse_live(late); }).code(), exit_code::other_instance);
  EXPECT_EQ(line_of([&] { other.refuse_live(node(1)); }), "no failure");
}

TEST(RegistryLock, OfADeadInstanceIsTaken) {
  const Scratch scratch;
  {
    Registry dead(scratch.path());
    dead.take_lock(node(0));
    dead.publish(node(0), Registry::Sync::no);
    dead.write_identity(node(0), make_identity());
    dead.mark_ready(node(0));
  }
  write_text(scratch / "node_1.addr.new", "half");
  write_text(scratch / "failed", "rank 0 on host x: something\n");
  write_text(scratch / "notes.txt", "the user's");
  Registry next(scratch.path());
  NodeRecord own = node(0);
  own.launch_id = other_launch;
  next.refuse_live(own);
  next.take_lock(own);
  next.remove_leftovers(std::nullopt);
  EXPECT_EQ(names_in(scratch.path()), (std::vector<std::string>{"lock", "notes.txt"}));
}

TEST(RegistryLock, SparesRecordsOfItsOwnLaunch) {
  const Scratch scratch;
  Registry other_rank(scratch.path());
  other_rank.publish(node(1), Registry::Sync::no);
  NodeRecord old = node(2, 3);
  old.launch_id = other_launch;
  other_rank.publish(old, Registry::Sync::no);
  Registry rank_0(scratch.path());
  rank_0.take_lock(node(0));
  rank_0.remove_leftovers(this_launch);
  EXPECT_EQ(names_in(scratch.path()), (std::vector<std::string>{"lock", "node_1.addr"}));
}

TEST(RegistryIdentity, IsBelievedOnlyWhileItsRankZeroLives) {
  const Scratch scratch;
  Identity identity = make_identity();
  NodeRecord rank_0 = node(0);
  rank_0.instance = identity.instance;
  {
    Registry registry(scratch.path());
    registry.take_lock(rank_0);
    registry.write_identity(rank_0, identity);
    Registry other(scratch.path());
    const Identity got = other.await_identity(node(1), patience(1000));
    EXPECT_EQ(got.instance, identity.instance);
    EXPECT_EQ(got.secret, identity.secret);
  }
  Registry other(scratch.path());
  const StartFailure failure = failure_of([&] { other.await_identity(node(1), patience(50)); });
  EXPECT_EQ(failure.code(), exit_code::peers);
  EXPECT_TRUE(contains(failure.what(), "Timeout waiting for nodes: rank 0 (host bn1)"));
}

TEST(RegistryIdentity, ThatIsDamagedIsNamed) {
  const Scratch scratch;
  Registry registry(scratch.path());
  write_text(scratch / "instance", "not what it should be");
  EXPECT_TRUE(contains(line_of([&] { registry.await_identity(node(1), patience(50)); }),
                       "Registry file is damaged: " + (scratch / "instance") + " at offset 0"));
}

TEST(RegistryAwait, ReturnsTheRecordsOfAllRanks) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.publish(node(0), Registry::Sync::no);
  std::thread late([&] {
    Registry other(scratch.path());
    ::usleep(50'000);
    NodeRecord record = node(1);
    other.publish(record, Registry::Sync::no);
  });
  const auto records = registry.await_all(node(0), NodeState::joined, patience(10'000));
  late.join();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0], node(0));
  EXPECT_EQ(records[1], node(1));
}

TEST(RegistryAwait, WaitsForTheStateThatIsAskedFor) {
  const Scratch scratch;
  Registry registry(scratch.path());
  NodeRecord other = node(1);
  registry.publish(other, Registry::Sync::no);
  EXPECT_TRUE(
      contains(line_of([&] { registry.await_others(node(0), NodeState::ready, patience(30)); }),
               "Timeout waiting for nodes: rank 1 (host bn2) did not become ready in " +
                   scratch.path() + " within 7 s: "));
  other.state = NodeState::open;
  registry.publish(other, Registry::Sync::no);
  registry.await_others(node(0), NodeState::ready, patience(30));
}

TEST(RegistryAwait, NamesTheMissingRanksAndTheirHosts) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.publish(node(0, 4), Registry::Sync::no);
  registry.publish(node(2, 4), Registry::Sync::no);
  const StartFailure failure =
      failure_of([&] { registry.await_all(node(0, 4), NodeState::joined, patience(30)); });
  EXPECT_EQ(failure.code(), exit_code::peers);
  EXPECT_TRUE(std::string(failure.what())
                  .starts_with("Timeout waiting for nodes: ranks 1, 3 (hosts bn2, bn4) did not "
                               "register in " +
                               scratch.path() + " within 7 s: "));
}

TEST(RegistryAwait, KeepsTheLineShortWhenMostAreMissing) {
  const Scratch scratch;
  Registry registry(scratch.path());
  const std::string line =
      line_of([&] { registry.await_others(node(0, 5000), NodeState::joined, patience(0)); });
  EXPECT_TRUE(contains(line,
                       "ranks 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 and 4983 "
                       "more (hosts bn2, "));
}

TEST(RegistryAwait, IgnoresAnotherStartAndNamesItAtTheEnd) {
  const Scratch scratch;
  Registry registry(scratch.path());
  NodeRecord old = node(1);
  old.launch_id = other_launch;
  old.size = 64;
  registry.publish(old, Registry::Sync::no);
  registry.publish(node(0), Registry::Sync::no);
  EXPECT_TRUE(
      contains(line_of([&] { registry.await_all(node(0), NodeState::joined, patience(30)); }),
               "; of another start: node_1.addr (host here1): "));
}

TEST(RegistryAwait, RefusesWhatDoesNotFit) {
  const Scratch scratch;
  Registry registry(scratch.path());
  const auto answer_to = [&](const NodeRecord& other) {
    registry.publish(other, Registry::Sync::no);
    return failure_of([&] { registry.await_all(node(0), NodeState::joined, patience(1000)); });
  };
  const std::string file = scratch / "node_1.addr";
  registry.publish(node(0), Registry::Sync::no);

  NodeRecord other = node(1);
  other.size = 8;
  StartFailure failure = answer_to(other);
  EXPECT_EQ(failure.code(), exit_code::other_instance);
  EXPECT_TRUE(
      contains(failure.what(), file + ": rank 1 was started as one of 8, rank 0 as one of 2"));

  other = node(1);
  other.instance.fill(std::byte{2});
  failure = answer_to(other);
  EXPECT_EQ(failure.code(), exit_code::other_instance);
  EXPECT_TRUE(contains(failure.what(), file + ": instance 02020202020202020202020202020202, but "
                                              "rank 0 is of instance 0101"));

  other = node(1);
  other.fingerprint = 66;
  other.settings = "storage.chunk_size=8388608 client.mount_point=/benchfs";
  failure = answer_to(other);
  EXPECT_EQ(failure.code(), exit_code::configuration);
  EXPECT_TRUE(contains(failure.what(), file + ": settings differ: 'storage.chunk_size=4194304' at "
                                              "rank 0, 'storage.chunk_size=8388608' at rank 1"));
}

TEST(RegistryAwait, NamesADamagedRecordAndTheOffset) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.publish(node(0), Registry::Sync::no);
  registry.publish(node(1), Registry::Sync::no);
  std::string bytes = read_text(scratch / "node_1.addr");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_text(scratch / "node_1.addr", bytes);
  const StartFailure failure =
      failure_of([&] { registry.await_all(node(0), NodeState::joined, patience(1000)); });
  EXPECT_EQ(failure.code(), exit_code::registry);
  EXPECT_EQ(std::string(failure.what()),
            "Registry file is damaged: " + (scratch / "node_1.addr") +
                " at offset 16: the checksum does not match: remove it and start again");

  std::filesystem::copy_file(scratch / "node_0.addr", scratch / "node_1.addr",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(
      contains(line_of([&] { registry.await_all(node(0), NodeState::joined, patience(1000)); }),
               "node_1.addr is of rank 0"));
}

TEST(RegistryAwait, EndsWhenItIsGivenUp) {
  const Scratch scratch;
  Registry registry(scratch.path());
  Patience brief = patience(60'000);
  brief.given_up = [] { return true; };
  EXPECT_EQ(failure_of([&] { registry.await_all(node(0), NodeState::joined, brief); }).teller(),
            Teller::nobody);
}

TEST(RegistryFailure, EndsTheWaitOfTheOthersWithItsExitCode) {
  const Scratch scratch;
  Registry failing(scratch.path());
  EXPECT_TRUE(failing.mark_failed(node(1), StartFailure(exit_code::storage, "no space")));
  failing.withdraw(node(1));
  EXPECT_EQ(read_text(scratch / "failed"), "rank 1 on host here1: no space\n");

  Registry waiting(scratch.path());
  const StartFailure failure =
      failure_of([&] { waiting.await_all(node(0), NodeState::joined, patience(10'000)); });
  EXPECT_EQ(failure.code(), exit_code::storage);
  EXPECT_EQ(failure.teller(), Teller::nobody);
  EXPECT_EQ(std::string(failure.what()), "rank 1 on host here1: no space");
}

TEST(RegistryFailure, OfManyIsToldOnce) {
  const Scratch scratch;
  const StartFailure same(exit_code::network, "Failed to create UCX context");
  Registry first(scratch.path());
  Registry second(scratch.path());
  Registry third(scratch.path());
  EXPECT_TRUE(first.mark_failed(node(1, 4), same));
  EXPECT_FALSE(second.mark_failed(node(2, 4), same));
  EXPECT_TRUE(third.mark_failed(node(3, 4), StartFailure(exit_code::storage, "something else")));
  for (Registry* const registry : {&first, &second, &third}) registry->withdraw(node(1, 4));
  EXPECT_EQ(read_text(scratch / "failed"), "rank 1 on host here1: Failed to create UCX context\n");
  EXPECT_EQ(names_in(scratch.path()), (std::vector<std::string>{"failed", "node_1.addr"}));
}

TEST(RegistryFailure, OfAnEarlierStartDoesNotCount) {
  const Scratch scratch;
  NodeRecord old = node(1);
  old.launch_id = other_launch;
  Registry earlier(scratch.path());
  earlier.mark_failed(old, StartFailure(exit_code::storage, "no space"));
  Registry registry(scratch.path());
  EXPECT_FALSE(registry.failure(this_launch));
  EXPECT_TRUE(registry.failure(other_launch));
  EXPECT_TRUE(registry.mark_failed(node(0), StartFailure(exit_code::network, "no network")));
  EXPECT_EQ(read_text(scratch / "failed"), "rank 0 on host here0: no network\n");
}

TEST(RegistryFailure, StaysASingleLine) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.mark_failed(node(1), StartFailure(exit_code::other, "one\ntwo\n"));
  const std::string text = read_text(scratch / "failed");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(RegistryFailure, EndsTheWritingOfThatRank) {
  const Scratch scratch;
  Registry registry(scratch.path());
  registry.mark_failed(node(1), StartFailure(exit_code::other, "x"));
  EXPECT_EQ(failure_of([&] { registry.publish(node(1), Registry::Sync::no); }).teller(),
            Teller::nobody);
}

}  // namespace
}  // namespace benchfs
