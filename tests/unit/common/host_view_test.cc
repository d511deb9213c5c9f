#include "common/host_view.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace benchfs {
namespace {

// All of an inode's numbers are one.
ViewInode of_size(std::uint64_t inode, std::uint64_t size) {
  const auto time = static_cast<std::int64_t>(size);
  const auto number = static_cast<std::uint32_t>(size);
  return {.inode = inode,
          .size = size,
          .accessed = time,
          .modified = time,
          .changed = time,
          .mode = S_IFREG,
          .open_here = 0,
          .links = number,
          .uid = number,
          .gid = number};
}

class HostViews : public testing::Test {
 protected:
  HostViews()
      : view(static_cast<HostView*>(mmap(nullptr, sizeof(HostView), PROT_READ | PROT_WRITE,
                                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~HostViews() override { munmap(view, sizeof(HostView)); }
  HostView* const view;
};

TEST_F(HostViews, ShowsWhatWasPublishedUntilItIsForgotten) {
  EXPECT_FALSE(view->inode(7).has_value());
  view->publish(of_size(7, 70));
  EXPECT_EQ(view->inode(7)->size, 70u);
  EXPECT_FALSE(view->inode(7 + HostView::inode_slots).has_value());
  view->publish(of_size(7 + HostView::inode_slots, 1));  // takes its place
  EXPECT_FALSE(view->inode(7).has_value());
  view->forget(7);
  EXPECT_TRUE(view->inode(7 + HostView::inode_slots).has_value());

  view->publish(1, "name", 7, S_IFREG);
  EXPECT_EQ(view->entry(1, "name")->inode, 7u);
  EXPECT_FALSE(view->entry(2, "name").has_value());
  EXPECT_FALSE(view->entry(1, "nam").has_value());
  view->publish(1, "name", 0, 0);
  EXPECT_EQ(view->entry(1, "name")->inode, 0u);
  view->forget(1, "name");
  EXPECT_FALSE(view->entry(1, "name").has_value());
  for (std::size_t bytes = 36; bytes <= 255; ++bytes) {
    const std::string name(bytes, 'x');
    EXPECT_FALSE(view->entry(1, name).has_value());
    view->publish(1, name, bytes, S_IFREG);
    EXPECT_EQ(view->entry(1, name)->inode, bytes);
    EXPECT_FALSE(view->entry(1, name.substr(1) + "y").has_value());
  }
}

TEST_F(HostViews, AFullSetGivesPlaceAndNeverShowsAnother) {
  for (std::uint64_t i = 1; i <= HostView::entry_slots; ++i)
    view->publish(1, std::to_string(i), i, S_IFREG);
  std::size_t found = 0;
  for (std::uint64_t i = 1; i <= HostView::entry_slots; ++i) {
    const auto entry = view->entry(1, std::to_string(i));
    if (!entry.has_value()) continue;
    ++found;
    ASSERT_EQ(entry->inode, i);
  }
  EXPECT_GT(found, HostView::entry_slots / 2);
}

// Readers see no mixture of two publications.
TEST_F(HostViews, ReadersInOtherProcessesSeeWholeSlots) {
  constexpr std::uint64_t last = 300'000;
  std::array<pid_t, 3> readers{};
  for (pid_t& reader : readers) {
    reader = fork();
    if (reader != 0) continue;
    std::uint64_t seen = 0;
    while (seen < last) {
      const auto inode = view->inode(5);
      if (!inode.has_value()) continue;
      const auto number = static_cast<std::uint64_t>(inode->modified);
      if (number < seen || inode->size != number || inode->changed != inode->modified ||
          inode->links != static_cast<std::uint32_t>(number) || inode->uid != inode->links)
        _exit(1);
      seen = number;
    }
    _exit(0);
  }
  for (std::uint64_t i = 1; i <= last; ++i) view->publish(of_size(5, i));
  for (const pid_t reader : readers) {
    int status = -1;
    waitpid(reader, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace benchfs
