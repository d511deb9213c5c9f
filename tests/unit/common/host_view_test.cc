#include "common/host_view.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/shared_memory.h"

namespace benchfs {
namespace {

// All of an inode's numbers are one.
ViewInode of_size(std::uint64_t inode, std::uint64_t size) {
  const auto time = static_cast<std::int64_t>(size);
  const auto number = static_cast<std::uint32_t>(size);
  return {.inode = inode,
          .extent = ViewInode::extent_of(size, in_chunks),
          .accessed = time,
          .modified = time,
          .changed = time,
          .mode = S_IFREG,
          .elsewhere = 0,
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
  EXPECT_EQ(view->inode(7)->size(), 70u);
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

// A word whose stores can be kept, to be made later one by one, and whose loads let others go
// first.
struct SteppedWord {
  std::uint64_t load(std::memory_order) const {
    if (before_load) before_load();
    return value;
  }
  void store(std::uint64_t stored, std::memory_order) {
    value = stored;
    if (kept != nullptr) kept->emplace_back(this, stored);
  }
  std::uint64_t value = 0;

  using Stores = std::vector<std::pair<SteppedWord*, std::uint64_t>>;
  static inline std::function<void()> before_load;
  static inline Stores* kept = nullptr;
};

class SteppedSlot : public SequencedWords<SteppedWord, 2> {
 public:
  // The stores `act` makes, which have not happened then.
  template <class Act>
  SteppedWord::Stores stores_of(Act act) {
    const SteppedSlot before = *this;
    SteppedWord::Stores stores;
    SteppedWord::kept = &stores;
    act();
    SteppedWord::kept = nullptr;
    *this = before;
    return stores;
  }
};

// A writer dies after any number of its stores, the next one resets the slot and writes to it. A
// reader, wherever its loads fall between those stores, gets what the slot showed at some moment of
// its look, or nothing.
TEST(SequencedWords, ShowNothingStaleWhenTheirWriterIsFollowedByAnother) {
  using Words = SteppedSlot::Words;
  constexpr std::size_t stores_of_a_write = 4;
  std::size_t looks = 0;
  std::size_t seen = 0;
  for (std::size_t died_after = 0; died_after <= stores_of_a_write; ++died_after) {
    SteppedSlot slot;
    slot.write({1, 1});
    const SteppedSlot first = slot;
    SteppedWord::Stores all = slot.stores_of([&] { slot.write({2, 2}); });
    ASSERT_EQ(all.size(), stores_of_a_write);
    all.resize(died_after);
    std::vector<std::optional<Words>> shown{Words{1, 1}};  // after that many stores of `all`
    const auto step = [&](std::size_t i) { all[i].first->value = all[i].second; };
    for (std::size_t i = 0; i < died_after; ++i) step(i);
    for (std::size_t i = 1; i < died_after; ++i) shown.emplace_back();
    if (died_after > 0)
      shown.emplace_back(died_after == stores_of_a_write ? std::optional(Words{2, 2})
                                                         : std::nullopt);
    for (const auto& [act, words] :
         {std::pair<std::function<void()>, Words>{[&] { slot.reset(); }, {0, 0}},
          {[&] {
             slot.write({3, 3});
           },
           {3, 3}}}) {
      const auto stores = slot.stores_of(act);
      for (const auto& store : stores) {
        all.push_back(store);
        step(all.size() - 1);
        shown.emplace_back();
      }
      shown.back() = words;
    }
    ASSERT_EQ(shown.size(), all.size() + 1);
    const std::size_t end = all.size();
    for (std::size_t begin = 0; begin <= end; ++begin)
      for (std::size_t one = begin; one <= end; ++one)
        for (std::size_t two = one; two <= end; ++two)
          for (std::size_t three = two; three <= end; ++three) {
            slot = first;
            std::size_t made = 0;
            std::size_t loads = 0;
            const std::array<std::size_t, 4> before{begin, one, two, three};
            SteppedWord::before_load = [&] {
              const std::size_t until = loads < before.size() ? before[loads] : end;
              ++loads;
              while (made < until) step(made++);
            };
            const auto words = slot.read();
            SteppedWord::before_load = nullptr;
            ++looks;
            if (!words.has_value()) continue;
            ++seen;
            bool was_shown = false;
            for (std::size_t at = begin; at <= made; ++at) was_shown |= shown[at] == words;
            ASSERT_TRUE(was_shown)
                << (*words)[0] << ' ' << (*words)[1] << " died after " << died_after
                << ", loads after " << begin << ' ' << one << ' ' << two << ' ' << three;
          }
  }
  EXPECT_GT(looks, 5000U);
  EXPECT_GT(seen, looks / 2);
}

TEST(HostViewsOfAnother, AreEmptyAfterAResetAndTouchNoOtherPages) {
  const auto memory = make_shared_memory("view", sizeof(HostView));
  const auto mapping = Mapping::map(memory->get(), sizeof(HostView));
  HostView& view = mapping->at<HostView>();
  for (const std::uint64_t inode : {std::uint64_t{3}, std::uint64_t{HostView::inode_slots - 1}})
    view.publish(of_size(inode, 5));
  view.publish(1, "name", 3, S_IFREG);
  // As a writer leaves it that dies in the middle.
  auto* const words = reinterpret_cast<std::atomic<std::uint64_t>*>(&view.inodes[3]);
  words[0].fetch_add(1);
  struct stat before {};
  ::fstat(memory->get(), &before);
  view.reset(memory->get());
  struct stat after {};
  ::fstat(memory->get(), &after);
  EXPECT_EQ(after.st_blocks, before.st_blocks);
  EXPECT_LT(after.st_blocks * 512, 64 << 10);
  EXPECT_FALSE(view.inode(3).has_value());
  EXPECT_FALSE(view.inode(HostView::inode_slots - 1).has_value());
  EXPECT_FALSE(view.entry(1, "name").has_value());
  EXPECT_EQ(words[0].load() % 2, 0U);
  view.publish(of_size(3, 6));
  EXPECT_EQ(view.inode(3)->size(), 6U);
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
      if (number < seen || inode->size() != number || inode->changed != inode->modified ||
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
