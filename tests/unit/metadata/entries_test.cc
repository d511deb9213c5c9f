#include "daemon/metadata/entries.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>

namespace benchfs {
namespace {

using Key = std::pair<std::uint64_t, std::string>;

// Few cookies, so that names share them, and few names, so that each is found, set and erased
// often.
Key draw(std::mt19937& random) { return {random() % 40, "name" + std::to_string(random() % 3)}; }

void expect_same(const Entries& entries, const std::map<Key, Entry>& model) {
  ASSERT_EQ(entries.size(), model.size());
  auto place = entries.begin();
  for (const auto& [key, entry] : model) {
    ASSERT_EQ(place->first.cookie, key.first);
    ASSERT_EQ(place->first.name.view(), key.second);
    ASSERT_EQ(place->second.inode, entry.inode);
    ++place;
  }
  EXPECT_EQ(place, entries.end());
}

// The place of the last search is kept: it must be right whatever happens between two searches.
TEST(Entries, AgreeWithAMapAfterEveryStep) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Entries entries;
  std::map<Key, Entry> model;
  for (std::uint64_t step = 1; step <= 50'000; ++step) {
    const Key key = draw(random);
    const EntryKeyView view{key.first, key.second};
    const Entry entry{.inode = step, .type = 0};
    switch (random() % 8) {
      case 0:
      case 1:
        entries.set(view, entry);
        model[key] = entry;
        break;
      case 2:
        EXPECT_EQ(entries.add(view, entry), model.emplace(key, entry).second);
        break;
      case 3:
      case 4:
        entries.erase(view);
        model.erase(key);
        break;
      case 5:
        if (random() % 50 != 0) break;
        entries.erase_from(key.first);
        model.erase(model.lower_bound({key.first, ""}), model.end());
        break;
      default:
        break;
    }
    // The same name again, or another one.
    const Key sought = random() % 2 == 0 ? key : draw(random);
    const Entry* const found = entries.find({sought.first, sought.second});
    const auto known = model.find(sought);
    ASSERT_EQ(found != nullptr, known != model.end()) << "step " << step;
    if (found != nullptr) {
      ASSERT_EQ(found->inode, known->second.inode) << "step " << step;
    }
    if (step % 1000 == 0) expect_same(entries, model);
  }
}

TEST(Entries, GoOnAtACookie) {
  Entries entries;
  for (const char* const name : {"c", "a", "b"}) entries.set({7, name}, {.inode = 1, .type = 0});
  entries.set({9, "d"}, {.inode = 1, .type = 0});
  EXPECT_EQ(entries.lower_bound({7, {}})->first.name.view(), "a");
  EXPECT_EQ(entries.upper_bound({7, "b"})->first.name.view(), "c");
  EXPECT_EQ(entries.lower_bound({8, {}})->first.name.view(), "d");
  EXPECT_EQ(entries.upper_bound({9, "d"}), entries.end());
}

}  // namespace
}  // namespace benchfs
