#include "registry/host_record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>

#include "registry/host_id.h"
#include "tests/unit/registry/scratch.h"

namespace benchfs {
namespace {

HostRecord sample() {
  HostRecord record;
  record.instance.fill(std::byte{5});
  record.mount_point = "/benchfs";
  record.size = 9;
  record.local_ranks = {1, 4, 8};
  return record;
}

TEST(HostId, IsTheSameEachTimeAndSixteenDigits) {
  const auto first = host_id();
  const auto second = host_id();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(host_id_text(0x0123456789abcdef), "0123456789abcdef");
  EXPECT_EQ(host_id_text(0xf), "000000000000000f");
}

TEST(HostId, DiffersInAnotherNetworkNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root makes network namespaces";
  const auto here = host_id();
  ASSERT_TRUE(here.ok());
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(2);
    const auto there = host_id();
    ::_exit(there.ok() && *there != *here ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(HostRecord, SurvivesTheWayThroughAFile) {
  const Scratch directory;
  ASSERT_TRUE(write_host_record(directory.path().c_str(), sample()).ok());
  const auto id = host_id();
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(names_in(directory.path()), std::vector{"host_" + host_id_text(*id)});
  struct stat attributes {};
  ASSERT_EQ(::stat((directory / ("host_" + host_id_text(*id))).c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600U);
  const auto read = read_host_record(directory.path().c_str());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, sample());
}

TEST(HostRecord, IsReplacedWhole) {
  const Scratch directory;
  ASSERT_TRUE(write_host_record(directory.path().c_str(), sample()).ok());
  HostRecord other = sample();
  other.local_ranks = {0};
  ASSERT_TRUE(write_host_record(directory.path().c_str(), other).ok());
  const auto read = read_host_record(directory.path().c_str());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, other);
}

TEST(HostRecord, ThatIsMissingIsENOENT) {
  const Scratch directory;
  EXPECT_EQ(read_host_record(directory.path().c_str()).error(), Error(ENOENT));
  EXPECT_EQ(read_host_record((directory / "none").c_str()).error(), Error(ENOENT));
}

TEST(HostRecord, OfAnotherUserIsNotBelieved) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  const Scratch directory;
  ASSERT_TRUE(write_host_record(directory.path().c_str(), sample()).ok());
  const auto path = host_record_path(directory.path().c_str());
  ASSERT_TRUE(path.ok());
  ASSERT_EQ(::chown(path->c_str(), nobody, nobody), 0);
  EXPECT_EQ(read_host_record(directory.path().c_str()).error(), Error(EPERM));
}

TEST(HostRecord, IsNotReadThroughASymbolicLink) {
  const Scratch directory;
  ASSERT_TRUE(write_host_record(directory.path().c_str(), sample()).ok());
  const auto path = host_record_path(directory.path().c_str());
  ASSERT_TRUE(path.ok());
  ASSERT_EQ(::rename(path->c_str(), (directory / "moved").c_str()), 0);
  ASSERT_EQ(::symlink("moved", path->c_str()), 0);
  EXPECT_EQ(read_host_record(directory.path().c_str()).error(), Error(ELOOP));
}

TEST(HostRecord, IsRefusedWhenCutOrChanged) {
  const std::vector<std::byte> whole = encode(sample());
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(decode_host_record(std::span(whole).first(length)).ok()) << length;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::vector<std::byte> turned = whole;
    turned[bit / 8] ^= std::byte(1U << (bit % 8));
    EXPECT_FALSE(decode_host_record(turned).ok()) << bit;
  }
}

TEST(HostRecord, MustNameItsRanksInOrderAndWithinTheInstance) {
  for (const std::vector<std::uint32_t>& ranks :
       {std::vector<std::uint32_t>{}, {1, 1}, {4, 1}, {9}, {0, 9}}) {
    HostRecord record = sample();
    record.local_ranks = ranks;
    EXPECT_FALSE(decode_host_record(encode(record)).ok());
  }
  HostRecord record = sample();
  record.mount_point.clear();
  EXPECT_FALSE(decode_host_record(encode(record)).ok());
}

TEST(HostRecord, CannotBeWrittenWhereThereIsNoDirectory) {
  const Scratch directory;
  EXPECT_EQ(write_host_record((directory / "none").c_str(), sample()).error(), Error(ENOENT));
}

}  // namespace
}  // namespace benchfs
