#include "daemon/supervisor/data_directory.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "common/sys.h"
#include "registry/host_id.h"
#include "registry/start_failure.h"
#include "tests/unit/registry/scratch.h"

namespace benchfs {
namespace {

namespace files = std::filesystem;

std::vector<NodeRecord> records_in(const std::string& data_dir, std::uint32_t size) {
  std::vector<NodeRecord> records(size);
  for (std::uint32_t rank = 0; rank < size; ++rank) {
    records[rank].rank = rank;
    records[rank].size = size;
    records[rank].host_id = *host_id();
    records[rank].host_name = "here";
    records[rank].data_dir = data_dir;
  }
  return records;
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

TEST(DataDirectory, IsMadeWithItsParentsAndPrivate) {
  const Scratch scratch;
  DataDirectory data(scratch / "a/b/data", 3);
  EXPECT_EQ(names_in(scratch / "a/b/data"), std::vector<std::string>{"rank_3"});
  for (const char* const name : {"a/b/data", "a/b/data/rank_3"}) {
    struct stat attributes {};
    ASSERT_EQ(::stat((scratch / name).c_str(), &attributes), 0);
    EXPECT_EQ(attributes.st_mode & 0777, 0700U) << name;
  }
  data.remove(false);
  EXPECT_TRUE(names_in(scratch / "a/b/data").empty());
}

TEST(DataDirectory, OfALiveRankIsRefused) {
  const Scratch scratch;
  DataDirectory live(scratch.path(), 0);
  const StartFailure failure = failure_of([&] { DataDirectory data(scratch.path(), 0); });
  EXPECT_EQ(failure.code(), exit_code::storage);
  EXPECT_EQ(std::string(failure.what()),
            "Data directory is in use by a live instance: " + (scratch / "rank_0") +
                ": end that one, or set storage.data_dir to another directory (--set "
                "storage.data_dir=DIR)");
  DataDirectory neighbour(scratch.path(), 1);
}

TEST(DataDirectory, StaysInUseWhileTheLockIsShared) {
  const Scratch scratch;
  Fd shared;
  {
    const DataDirectory data(scratch.path(), 0);
    shared = data.share_lock();
  }
  EXPECT_EQ(failure_of([&] { DataDirectory data(scratch.path(), 0); }).code(), exit_code::storage);
  shared.reset();
  DataDirectory data(scratch.path(), 0);
}

TEST(DataDirectory, OfADeadRankIsWiped) {
  const Scratch scratch;
  const Scratch elsewhere;
  write_text(elsewhere / "kept", "x");
  files::create_directories(scratch / "rank_0/chunks/deeper");
  write_text(scratch / "rank_0/chunks/inode_2_chunk_0", "old");
  write_text(scratch / "rank_0/chunks/deeper/file", "old");
  files::create_directory_symlink(elsewhere.path(), scratch / "rank_0/chunks/link");
  DataDirectory data(scratch.path(), 0);
  EXPECT_EQ(names_in(scratch / "rank_0"), std::vector<std::string>{"lock"});
  EXPECT_EQ(names_in(elsewhere.path()), std::vector<std::string>{"kept"});
}

TEST(DataDirectory, ThatCannotBeMadeSaysWhatToSet) {
  const Scratch scratch;
  write_text(scratch / "file", "");
  const StartFailure failure = failure_of([&] { DataDirectory data(scratch / "file/data", 0); });
  EXPECT_EQ(failure.code(), exit_code::storage);
  EXPECT_NE(std::string(failure.what()).find("set storage.data_dir"), std::string::npos);
}

TEST(DataDirectory, ThatCannotBeWrittenSaysWhatToSet) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes another user";
  const Scratch scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0755), 0);
  EXPECT_EQ(as_nobody([&] {
              return failure_of([&] { DataDirectory data(scratch / "data", 0); }).code();
            }),
            exit_code::storage);
  EXPECT_EQ(
      as_nobody([&] { return failure_of([&] { DataDirectory data(scratch.path(), 0); }).code(); }),
      exit_code::storage);
}

TEST(DataDirectory, ListensUnderAPathThatNoAddressHolds) {
  const Scratch scratch;
  std::string deep = scratch.path();
  for (int i = 0; i < 8; ++i) deep += "/" + std::string(40, 'd');
  DataDirectory data(deep, 0);
  const Fd listener = data.make_listener();
  const Fd dir(::open((deep + "/rank_0").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(dir.get()) + "/socket";
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(accepted);
  struct stat attributes {};
  ASSERT_EQ(::stat((deep + "/rank_0/socket").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0600U);
}

TEST(DataDirectory, IsClearedOfDeadRanksByTheLeader) {
  const Scratch scratch;
  for (const char* const name : {"rank_1", "rank_7", "mine"}) {
    files::create_directory(scratch / name);
    write_text((scratch / name) + "/old", "x");
  }
  write_text(scratch / "rank_x", "the user's");
  DataDirectory data(scratch.path(), 0);
  const auto records = records_in(scratch.path(), 1);
  data.claim_host(records, records[0]);
  EXPECT_EQ(names_in(scratch.path()), (std::vector<std::string>{"mine", "rank_0", "rank_x"}));
}

TEST(DataDirectory, WithALiveRankOfAnotherInstanceIsRefused) {
  const Scratch scratch;
  const DataDirectory other(scratch.path(), 5);
  DataDirectory data(scratch.path(), 0);
  const auto records = records_in(scratch.path(), 2);
  EXPECT_EQ(failure_of([&] { data.claim_host(records, records[0]); }).code(), exit_code::storage);
}

// Two network namespaces of one machine are two hosts with one /tmp.
TEST(DataDirectory, MayBeSharedWithARankOfTheSameInstanceOnAnotherHost) {
  const Scratch scratch;
  const DataDirectory other(scratch.path(), 1);
  DataDirectory data(scratch.path(), 0);
  auto records = records_in(scratch.path(), 2);
  records[1].host_id = 1;
  data.claim_host(records, records[0]);
  EXPECT_EQ(names_in(scratch.path()), (std::vector<std::string>{"rank_0", "rank_1"}));
}

TEST(DataDirectory, MustBeTheSameForAllRanksOfAHost) {
  const Scratch scratch;
  DataDirectory data(scratch.path(), 0);
  auto records = records_in(scratch.path(), 2);
  records[1].data_dir = "/elsewhere";
  const StartFailure failure = failure_of([&] { data.claim_host(records, records[0]); });
  EXPECT_EQ(failure.code(), exit_code::configuration);
  EXPECT_NE(std::string(failure.what()).find("/elsewhere at rank 1"), std::string::npos);
}

TEST(DataDirectory, HasAHostRecordWhileItsLeaderLives) {
  const Scratch scratch;
  HostRecord host;
  host.mount_point = "/benchfs";
  host.size = 2;
  host.local_ranks = {0, 1};
  const auto records = records_in(scratch.path(), 2);
  {
    DataDirectory leader(scratch.path(), 0);
    leader.claim_host(records, records[0]);
    leader.write_host(host);
    EXPECT_TRUE(read_host_record(scratch.path().c_str()).ok());
    DataDirectory other(scratch.path(), 1);
    EXPECT_EQ(failure_of([&] { other.claim_host(records, records[1]); }).code(),
              exit_code::storage);
    leader.remove_host();
    EXPECT_EQ(read_host_record(scratch.path().c_str()).error(), Error(ENOENT));
    leader.write_host(host);
  }
  // As after a kill: the record is there, and nobody holds it.
  DataDirectory next(scratch.path(), 0);
  next.claim_host(records, records[0]);
  EXPECT_EQ(read_host_record(scratch.path().c_str()).error(), Error(ENOENT));
}

TEST(DataDirectory, KeepsTheDataAndNothingElseWhenAsked) {
  const Scratch scratch;
  DataDirectory data(scratch.path(), 0);
  const Fd listener = data.make_listener();
  files::create_directory(scratch / "rank_0/chunks");
  data.remove(true);
  EXPECT_EQ(names_in(scratch / "rank_0"), std::vector<std::string>{"chunks"});
}

TEST(DataDirectory, WaitsForNeighboursAndNotForTheDead) {
  const Scratch scratch;
  const std::int64_t began = sys::now_ns();
  DataDirectory data(scratch.path(), 0);
  files::create_directory(scratch / "rank_9");
  write_text(scratch / "rank_9/lock", "");
  {
    const DataDirectory neighbour(scratch.path(), 1);
    data.remove(false);
    data.await_neighbours(began + 100'000'000);
    EXPECT_GE(sys::now_ns() - began, 99'000'000);
  }
  data.await_neighbours(began + 60'000'000'000);
  EXPECT_LT(sys::now_ns() - began, 30'000'000'000);
}

}  // namespace
}  // namespace benchfs
