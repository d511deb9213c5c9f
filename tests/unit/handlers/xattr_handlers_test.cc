#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <numeric>

#include "tests/unit/handlers/cluster.h"

namespace benchfs {
namespace {

// From host 0: at home on rank 0, and, through the peers, on rank 1.
class Xattrs : public testing::Test {
 protected:
  template <class M>
  Answer ask(const M& message, std::string_view name, std::span<std::byte> bulk,
             std::uint32_t uid = 0) {
    Caller caller;
    caller.uid = uid;
    caller.bulk = bulk;
    const auto body = Cluster::body_of(message, name);
    const bool sends = M::op == wire::Op::set_xattr;
    Cluster::Node& node = cluster_.node(0);
    return cluster_.run(
        node.server->ask_raw(home_rank(message.where.inode), M::op, caller, body,
                             sends ? std::span<const std::byte>(bulk) : std::span<std::byte>{},
                             sends ? std::span<std::byte>{} : bulk),
        node.loop);
  }
  static wire::Where at(std::uint64_t inode) {
    return {.inode = inode, .path_bytes = 0, .flags = 0};
  }
  int set(std::uint64_t inode, std::string_view name, std::string value, std::uint32_t flags = 0,
          std::uint32_t uid = 0) {
    const wire::SetXattr message{.where = at(inode),
                                 .name_bytes = static_cast<std::uint32_t>(name.size()),
                                 .bytes = static_cast<std::uint32_t>(value.size()),
                                 .buffer = 0,
                                 .flags = flags};
    return ask(message, name, std::as_writable_bytes(std::span(value)), uid).error;
  }
  Result<std::string> get(std::uint64_t inode, std::string_view name, std::uint32_t room,
                          std::uint32_t uid = 0) {
    std::string value(room, '\0');
    const wire::GetXattr message{.where = at(inode),
                                 .name_bytes = static_cast<std::uint32_t>(name.size()),
                                 .bytes = room,
                                 .buffer = 0,
                                 .reserved = 0};
    const Answer answer = ask(message, name, std::as_writable_bytes(std::span(value)), uid);
    if (answer.error != 0) return Error(answer.error);
    const auto reply = wire::parse<wire::XattrReply>(answer.body);
    if (!reply.ok()) return reply.error();
    value.resize(reply->bytes);
    return value;
  }
  // A directory of each rank, by its inode.
  std::vector<std::uint64_t> one_of_each_rank() {
    std::vector<std::uint64_t> found(2);
    for (int i = 0; found[0] == 0 || found[1] == 0; ++i) {
      const std::string name = "d" + std::to_string(i);
      EXPECT_EQ(cluster_.make_directory(name), 0);
      const std::uint64_t inode = cluster_.stat(name)->inode;
      found[home_rank(inode)] = inode;
    }
    return found;
  }
  Cluster cluster_{{0, 1}};
};

TEST_F(Xattrs, KeepsValuesOfAnyBytesUpTo64KiB) {
  std::string value(wire::xattr_bytes_max, '\0');
  std::iota(value.begin(), value.end(), '\0');
  for (const std::uint64_t inode : one_of_each_rank()) {
    EXPECT_EQ(get(inode, "user.v", 100).error(), Error(ENODATA));
    ASSERT_EQ(set(inode, "user.v", value), 0);
    EXPECT_EQ(*get(inode, "user.v", wire::xattr_bytes_max), value);
    EXPECT_EQ(get(inode, "user.v", 0)->size(), value.size());
    EXPECT_EQ(get(inode, "user.v", 65535).error(), Error(ERANGE));
    EXPECT_EQ(set(inode, "user.v", value + "x"), E2BIG);
    EXPECT_EQ(set(inode, "user.v", "new", XATTR_CREATE), EEXIST);
    EXPECT_EQ(set(inode, "user.w", "new", XATTR_REPLACE), ENODATA);
    ASSERT_EQ(set(inode, "user.v", "new", XATTR_REPLACE), 0);
    EXPECT_EQ(*get(inode, "user.v", 10), "new");
  }
}

TEST_F(Xattrs, TakesNoMoreThanFitsAnInode) {
  const std::uint64_t inode = one_of_each_rank()[1];
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(set(inode, "user." + std::to_string(i), std::string(65536, 'x')), 0);
  EXPECT_EQ(set(inode, "user.3", std::string(65536, 'x')), ENOSPC);
  EXPECT_EQ(get(inode, "user.3", 0).error(), Error(ENODATA));
  ASSERT_EQ(set(inode, "user.0", ""), 0);
  EXPECT_EQ(set(inode, "user.3", std::string(65536, 'x')), 0);
}

TEST_F(Xattrs, ChecksTheOwnersBits) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const std::uint64_t inode = cluster_.stat("f")->inode;
  ASSERT_EQ(set(inode, "user.v", "x", 0, 1000), 0);
  wire::SetAttributes message{};
  message.valid = wire::valid_mode;
  message.mode = 0400;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  EXPECT_EQ(set(inode, "user.v", "y", 0, 1000), EACCES);
  EXPECT_TRUE(get(inode, "user.v", 10, 1000).ok());
  message.mode = 0200;
  ASSERT_EQ(cluster_.at_path(message, "f").error, 0);
  EXPECT_EQ(get(inode, "user.v", 10, 1000).error(), Error(EACCES));
  EXPECT_EQ(set(inode, "user.v", "y", 0, 1000), 0);
}

// What a client claims is not believed.
TEST_F(Xattrs, RefusesNamesAndLengthsThatDoNotFit) {
  ASSERT_EQ(cluster_.make_file("f"), 0);
  const std::uint64_t inode = cluster_.stat("f")->inode;
  EXPECT_EQ(set(inode, "trusted.v", "x"), EOPNOTSUPP);
  EXPECT_EQ(set(inode, "user.", "x"), EINVAL);
  EXPECT_EQ(set(inode, std::string_view("user.a\0b", 8), "x"), EINVAL);
  EXPECT_EQ(set(inode, "user." + std::string(251, 'n'), "x"), ERANGE);
  EXPECT_EQ(set(inode, "user.v", "x", 4), EINVAL);
  wire::SetXattr message{
      .where = at(inode), .name_bytes = 100, .bytes = 0, .buffer = 0, .flags = 0};
  EXPECT_EQ(ask(message, "user.v", {}).error, EBADMSG);
  message.name_bytes = 6;
  message.bytes = 10;  // more than came beside it
  EXPECT_EQ(ask(message, "user.v", {}).error, EINVAL);
}

}  // namespace
}  // namespace benchfs
