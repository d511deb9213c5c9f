// Locks on (directory, name) while a change of that entry is under way on several servers.
// Look-ups of a locked name wait; so nobody sees half of a rename or a mkdir.
#pragma once

#include <absl/container/node_hash_map.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/loop/async_mutex.h"

namespace benchfs {

class NameLocks {
 public:
  bool locked(std::uint64_t directory, std::string_view name) const {
    return !locks_.empty() && locks_.contains(key(directory, name));
  }
  Task<int> lock(EventLoop& loop, std::uint64_t directory, std::string name) {
    Lock& lock = locks_[key(directory, name)];
    ++lock.users;
    co_return co_await lock.mutex.lock(loop);
  }
  void unlock(std::uint64_t directory, std::string_view name) {
    const auto found = locks_.find(key(directory, name));
    if (found == locks_.end()) return;
    found->second.mutex.unlock();
    if (--found->second.users == 0) locks_.erase(found);
  }

 private:
  struct Lock {
    AsyncMutex mutex;
    std::uint32_t users = 0;
  };
  static std::string key(std::uint64_t directory, std::string_view name) {
    std::string text(reinterpret_cast<const char*>(&directory), sizeof directory);
    return text.append(name);
  }
  absl::node_hash_map<std::string, Lock> locks_;
};

}  // namespace benchfs
