#include "daemon/journal/inode_record.h"

#include <gtest/gtest.h>

#include <vector>

namespace benchfs {
namespace {

Inode some(std::uint32_t mode) {
  Inode inode{};
  inode.number = 12;
  inode.size = 5;
  inode.accessed = 1;
  inode.modified = 2;
  inode.changed = 3;
  inode.born = 4;
  inode.mode = mode;
  inode.uid = 6;
  inode.gid = 7;
  inode.links = 8;
  return inode;
}
std::vector<std::byte> encoded(const Inode& inode) {
  std::vector<std::byte> record(inode_record_bytes(inode));
  encode_inode(inode, record.data());
  return record;
}

TEST(InodeRecord, OfAFileBringsBackEveryFieldAndWhoHasItOpen) {
  Inode file = some(S_IFREG | 0640);
  file.open = std::make_unique<OpenState>();
  file.open->reserved_end = 99;
  file.open->hosts = {{.host = 3, .opens = 2, .session = 77},
                      {.host = 5, .opens = 1, .session = 78}};
  Inode back{};
  ASSERT_TRUE(decode_inode(encoded(file), back));
  EXPECT_EQ(encoded(back), encoded(file));
  EXPECT_EQ(back.born, 4);
  EXPECT_EQ(back.links, 8u);
  ASSERT_EQ(back.open->hosts.size(), 2u);
  EXPECT_EQ(back.open->hosts[1].session, 78u);
  EXPECT_EQ(back.open->hosts[1].opens, 0u);  // only the host knows
  EXPECT_EQ(back.open->reserved_end, 99u);
}

TEST(InodeRecord, OfASmallFileSaysWhereItsContentIs) {
  Inode file = some(S_IFREG | 0644);
  for (const Stored stored : {Stored{7}, stored_nowhere, in_chunks}) {
    file.stored = stored;
    Inode back{};
    back.stored = 9;
    ASSERT_TRUE(decode_inode(encoded(file), back));
    EXPECT_EQ(back.stored, stored);
  }
  file.stored = content_cells;
  Inode back{};
  EXPECT_FALSE(decode_inode(encoded(file), back)) << "no such cell";
}

TEST(InodeRecord, OfADirectoryKeepsTheEntriesThatAreThere) {
  Inode directory = some(S_IFDIR | 0755);
  directory.directory = std::make_unique<Directory>();
  directory.directory->parent = 9;
  directory.directory->name = "new";
  Inode back = some(S_IFDIR);
  back.directory = std::make_unique<Directory>();
  back.directory->name = "old name";
  back.directory->entries.set({5, "e"}, {.inode = 1, .type = S_IFREG});
  ASSERT_TRUE(decode_inode(encoded(directory), back));
  EXPECT_EQ(back.directory->parent, 9u);
  EXPECT_EQ(back.directory->name, "new");
  EXPECT_EQ(back.directory->entries.size(), 1u);
}

TEST(InodeRecord, OfASymlinkBringsBackItsTarget) {
  Inode link = some(S_IFLNK | 0777);
  link.target = std::make_unique<std::string>(4095, 't');
  Inode back{};
  ASSERT_TRUE(decode_inode(encoded(link), back));
  EXPECT_EQ(*back.target, *link.target);
  EXPECT_EQ(back.open, nullptr);
}

TEST(InodeRecord, BringsBackExtendedAttributesAndWhatIsKnownOfTheChunks) {
  Inode file = some(S_IFREG | 0600);
  file.pages = 17;
  file.flags = InodeFlag::unnamed;
  file.xattrs = std::make_unique<Xattrs>();
  const std::string value("\0\xff binary", 9);
  ASSERT_TRUE(file.xattrs->set("user.a", value, 0).ok());
  ASSERT_TRUE(file.xattrs->set("user.empty", "", 0).ok());
  ASSERT_TRUE(file.xattrs->set("user.large", std::string(65536, 'x'), 0).ok());
  Inode back = some(S_IFREG);
  back.xattrs = std::make_unique<Xattrs>();
  ASSERT_TRUE(back.xattrs->set("user.old", "x", 0).ok());
  ASSERT_TRUE(decode_inode(encoded(file), back));
  EXPECT_EQ(encoded(back), encoded(file));
  EXPECT_EQ(back.pages, 17u);
  EXPECT_TRUE(back.flags == InodeFlag::unnamed);
  EXPECT_EQ(*back.xattrs->find("user.a"), value);
  EXPECT_EQ(back.xattrs->find("user.old"), nullptr);
}

TEST(InodeRecord, ThatIsCutShortOrOfTheWrongKindIsRefused) {
  Inode directory = some(S_IFDIR | 0755);
  directory.directory = std::make_unique<Directory>();
  directory.directory->name = "d";
  auto bytes = encoded(directory);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Inode back{};
    // What is left may be a directory of a shorter name; the part's length says that it is not.
    EXPECT_FALSE(decode_inode(std::span(bytes).first(size), back)) << size;
  }
  bytes[sizeof(InodeRecord)] = std::byte{200};  // a part of a kind that does not exist
  Inode back{};
  EXPECT_FALSE(decode_inode(bytes, back));
  EXPECT_FALSE(decode_inode(encoded(some(S_IFDIR)), back));  // a directory without its part
}

}  // namespace
}  // namespace benchfs
