// Entries: the names of a directory, in the order of their cookies.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/metadata/entry_name.h"

namespace benchfs {

struct Entry {
  std::uint64_t inode;
  std::uint32_t type;  // S_IFMT bits
};

// Entries are ordered by cookie, a hash of the name: a listing goes on at a cookie whatever was
// created or removed meanwhile.
struct EntryKey {
  std::uint64_t cookie;
  EntryName name;
};
struct EntryKeyView {
  std::uint64_t cookie;
  std::string_view name;
};
struct EntryOrder {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    if (a.cookie != b.cookie) return a.cookie < b.cookie;
    return std::string_view(a.name) < std::string_view(b.name);
  }
};

// A search is most of what a change of a large directory costs, and one name is looked for two or
// three times on its way: by the walk, by what is about to change it, by the change. So the place
// of the last one is kept.
class Entries {
  using Map = absl::btree_map<EntryKey, Entry, EntryOrder>;

 public:
  using const_iterator = Map::const_iterator;

  std::size_t size() const { return map_.size(); }
  bool empty() const { return map_.empty(); }
  const_iterator begin() const { return map_.begin(); }
  const_iterator end() const { return map_.end(); }
  const_iterator lower_bound(const EntryKeyView& key) const { return map_.lower_bound(key); }
  const_iterator upper_bound(const EntryKeyView& key) const { return map_.upper_bound(key); }

  // Null: there is none of that name.
  const Entry* find(const EntryKeyView& key) const {
    seek(key);
    return found(key) ? &last_->second : nullptr;
  }
  void set(const EntryKeyView& key, Entry entry) {
    seek(key);
    if (found(key))
      last_->second = entry;
    else
      last_ = map_.emplace_hint(last_, EntryKey{key.cookie, EntryName(key.name)}, entry);
  }
  // What there was stays. False: it was there.
  bool add(const EntryKeyView& key, Entry entry) {
    seek(key);
    if (found(key)) return false;
    set(key, entry);
    return true;
  }
  // Those at `cookie` and beyond.
  void erase_from(std::uint64_t cookie) {
    map_.erase(map_.lower_bound(EntryKeyView{cookie, {}}), map_.end());
    sought_ = false;
  }
  void erase(const EntryKeyView& key) {
    seek(key);
    if (found(key)) last_ = map_.erase(last_);
  }

 private:
  // The first that is not before `key`, which stays right for `key` through its own changes.
  void seek(const EntryKeyView& key) const {
    if (sought_ && last_key_.cookie == key.cookie && last_key_.name == key.name) return;
    last_ = map_.lower_bound(key);
    last_key_.cookie = key.cookie;
    last_key_.name.assign(key.name);
    sought_ = true;
  }
  bool found(const EntryKeyView& key) const {
    return last_ != map_.end() && last_->first.cookie == key.cookie &&
           last_->first.name == key.name;
  }

  struct LastKey {
    std::uint64_t cookie = 0;
    std::string name{};
  };
  mutable Map map_;
  mutable Map::iterator last_{};
  mutable LastKey last_key_{};
  mutable bool sought_ = false;
};

}  // namespace benchfs
