// Locks on what a change on several servers concerns, from the moment a server agrees to it until
// the change is decided. Look-ups of what is locked wait; so nobody sees half of a change.
//
// A name is locked as (directory, name), always exclusively. An inode is locked as (inode, ""):
// shared by changes of its entries, its links or its place, exclusively by who removes a
// directory.
#pragma once

#include <absl/container/node_hash_map.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "daemon/loop/async_shared_mutex.h"

namespace benchfs {

struct LockKey {
  std::uint64_t inode;
  std::string name;  // empty: the inode itself
  LockMode mode = LockMode::exclusive;
};
inline bool operator<(const LockKey& a, const LockKey& b) {
  return std::tie(a.inode, a.name) < std::tie(b.inode, b.name);
}

class NameLocks {
 public:
  bool locked(std::uint64_t inode, std::string_view name) const {
    return !locks_.empty() && locks_.contains(key(inode, name));
  }
  std::size_t count() const { return locks_.size(); }
  // Directory and name of any of them; 0: there is none. Valid until the next change.
  std::pair<std::uint64_t, std::string_view> any() const {
    if (locks_.empty()) return {};
    const std::string_view text = locks_.begin()->first;
    std::uint64_t directory = 0;
    std::memcpy(&directory, text.data(), sizeof directory);
    return {directory, text.substr(sizeof directory)};
  }
  bool locked_exclusively(std::uint64_t inode, std::string_view name) const {
    if (locks_.empty()) return false;
    const auto found = locks_.find(key(inode, name));
    return found != locks_.end() && found->second.mutex.locked_exclusively();
  }
  bool available(const LockKey& wanted) const {
    return wanted.mode == LockMode::exclusive ? !locked(wanted.inode, wanted.name)
                                              : !locked_exclusively(wanted.inode, wanted.name);
  }
  // Whether lock() would not wait. What is available() may have somebody waiting before us.
  bool is_free(const LockKey& wanted) const {
    const auto found = locks_.find(key(wanted.inode, wanted.name));
    return found == locks_.end() || found->second.mutex.is_free(wanted.mode);
  }
  // 0, or the negative errno given to fail() while it is locked; then the caller does not have it.
  Task<int> lock(EventLoop& loop, LockKey wanted) {
    const std::string id = key(wanted.inode, wanted.name);
    Lock& lock = locks_[id];
    if (lock.failing != 0) co_return lock.failing;
    ++lock.users;
    const int taken = co_await lock.mutex.lock(loop, wanted.mode);
    if (taken != 0) leave(locks_.find(id));
    co_return taken;
  }
  void unlock(std::uint64_t inode, std::string_view name) {
    const auto found = locks_.find(key(inode, name));
    if (found == locks_.end()) return;
    found->second.failing = 0;
    found->second.mutex.unlock();
    leave(found);
  }
  // Until it is unlocked, whoever waits or comes to wait for it gets `result`, a negative errno.
  void fail(std::uint64_t inode, std::string_view name, int result) {
    const auto found = locks_.find(key(inode, name));
    if (found == locks_.end()) return;
    found->second.failing = result;
    found->second.mutex.fail_waiters(result);
  }
  bool empty() const { return locks_.empty(); }

 private:
  struct Lock {
    AsyncSharedMutex mutex;
    std::uint32_t users = 0;
    int failing = 0;
  };
  using Locks = absl::node_hash_map<std::string, Lock>;
  static std::string key(std::uint64_t inode, std::string_view name) {
    std::string text(reinterpret_cast<const char*>(&inode), sizeof inode);
    return text.append(name);
  }
  void leave(Locks::iterator lock) {
    if (--lock->second.users == 0) locks_.erase(lock);
  }
  Locks locks_;
};

}  // namespace benchfs
