#include "daemon/metadata/namespace.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/placement.h"

namespace benchfs {
namespace {

class NamespaceTest : public testing::Test {
 protected:
  const Inode& directory(const Inode& parent, std::string_view name) {
    Inode* const made = *names_.make_directory(S_IFDIR | 0755, 0, 0, parent.number, name);
    names_.insert(parent, name, {made->number, S_IFDIR});
    return *made;
  }
  const Inode& file(const Inode& parent, std::string_view name) {
    Inode* const made = *names_.make(S_IFREG | 0644, 0, 0);
    names_.insert(parent, name, {made->number, S_IFREG});
    return *made;
  }
  const Inode& link(const Inode& parent, std::string_view name, std::string target) {
    Inode* const made = *names_.make(S_IFLNK | 0777, 0, 0);
    made->target = std::make_unique<std::string>(std::move(target));
    names_.insert(parent, name, {made->number, S_IFLNK});
    return *made;
  }
  Walk walk(std::string_view path, std::uint32_t flags = wire::WhereFlag::follow,
            bool to_name = false, std::uint32_t uid = 0) {
    return names_.walk({root_inode, static_cast<std::uint32_t>(path.size()), flags}, path, uid,
                       to_name);
  }
  static int error_of(const Walk& walk) {
    const auto* error = std::get_if<Error>(&walk);
    return error == nullptr ? 0 : error->code();
  }

  Namespace names_{0, 4, 0};
  const Inode& root_ = *names_.find(root_inode);
};

TEST_F(NamespaceTest, FindsFilesThroughDirectoriesDotsAndRepeatedSlashes) {
  const Inode& a = directory(root_, "a");
  const Inode& f = file(a, "f");
  for (const char* path : {"a/f", "/a//f", "./a/./f", "a/../a/f"}) {
    const Walk walked = walk(path);
    ASSERT_TRUE(std::holds_alternative<Walked>(walked)) << path;
    EXPECT_EQ(std::get<Walked>(walked).inode, &f) << path;
  }
}

TEST_F(NamespaceTest, SaysWhichErrorLinuxWould) {
  const Inode& a = directory(root_, "a");
  file(a, "f");
  EXPECT_EQ(error_of(walk("missing/x")), ENOENT);
  EXPECT_EQ(error_of(walk("a/f/x")), ENOTDIR);
  EXPECT_EQ(error_of(walk("a/f/")), ENOTDIR);
  EXPECT_EQ(error_of(walk("a/f/..")), ENOTDIR);
  EXPECT_EQ(error_of(walk(std::string(256, 'n'))), ENAMETOOLONG);
  EXPECT_EQ(error_of(walk("a/f", wire::WhereFlag::directory)), ENOTDIR);
  const Walk missing = walk("a/missing");
  ASSERT_TRUE(std::holds_alternative<Walked>(missing));
  EXPECT_FALSE(std::get<Walked>(missing).found);
}

TEST_F(NamespaceTest, ADirectoryWithoutSearchPermissionStopsItsOwnerButNotRoot) {
  const Inode& a = directory(root_, "a");
  file(a, "f");
  names_.change(a).mode = S_IFDIR | 0600;
  EXPECT_EQ(error_of(walk("a/f", 0, false, 1000)), EACCES);
  EXPECT_EQ(error_of(walk("a/f", 0, false, 0)), 0);
}

TEST_F(NamespaceTest, ASymlinkIsRedirectedWithWhatWasConsumed) {
  const Inode& a = directory(root_, "a");
  link(a, "l", "../b");
  const Walk walked = walk("a/l/rest");
  ASSERT_TRUE(std::holds_alternative<WalkedAway>(walked));
  const auto& away = std::get<WalkedAway>(walked);
  EXPECT_EQ(away.redirect.kind, wire::RedirectKind::symlink);
  EXPECT_EQ(away.redirect.inode, a.number);
  EXPECT_EQ(away.redirect.consumed, 3u);
  EXPECT_EQ(away.target, "../b");
  EXPECT_TRUE(std::holds_alternative<Walked>(walk("a/l", 0)));        // not followed
  EXPECT_TRUE(std::holds_alternative<WalkedAway>(walk("a/l/", 0)));   // a slash follows
  EXPECT_TRUE(std::holds_alternative<Walked>(walk("a/l", 1, true)));  // the name itself
}

TEST_F(NamespaceTest, ParentOfTheRootIsAboveTheMount) {
  const Walk walked = walk("../etc");
  ASSERT_TRUE(std::holds_alternative<WalkedAway>(walked));
  EXPECT_EQ(std::get<WalkedAway>(walked).redirect.kind, wire::RedirectKind::above);
  EXPECT_EQ(std::get<WalkedAway>(walked).redirect.consumed, 2u);
}

TEST_F(NamespaceTest, AnInodeAtHomeElsewhereIsMoved) {
  names_.insert(root_, "far", {make_inode(2, 77), S_IFDIR});
  const Walk walked = walk("far/f");
  ASSERT_TRUE(std::holds_alternative<WalkedAway>(walked));
  EXPECT_EQ(std::get<WalkedAway>(walked).redirect.kind, wire::RedirectKind::moved);
  EXPECT_EQ(std::get<WalkedAway>(walked).redirect.inode, make_inode(2, 77));
}

TEST_F(NamespaceTest, InodeNumbersNeverGivenAreRefused) {
  EXPECT_EQ(error_of(names_.walk({0, 0, 0}, "", 0, false)), ESTALE);
  EXPECT_EQ(error_of(names_.walk({make_inode(9, 1), 0, 0}, "", 0, false)), ESTALE);
  EXPECT_EQ(error_of(names_.walk({make_inode(0, 999), 0, 0}, "", 0, false)), ENOENT);
}

TEST_F(NamespaceTest, ALimitOfInodesIsNoSpace) {
  Namespace small(1, 4, 1);
  ASSERT_TRUE(small.make(S_IFREG, 0, 0).ok());
  EXPECT_EQ(small.make(S_IFREG, 0, 0).error(), Error(ENOSPC));
}

TEST_F(NamespaceTest, DirectoriesCountTheirSubdirectories) {
  const Inode& a = directory(root_, "a");
  directory(a, "b");
  file(a, "f");
  EXPECT_EQ(attributes_of(a).links, 3u);
  names_.remove(a, "b");
  EXPECT_EQ(attributes_of(a).links, 2u);
}

}  // namespace
}  // namespace benchfs
