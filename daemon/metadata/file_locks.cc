#include "daemon/metadata/file_locks.h"

#include <cerrno>

#include "common/sys.h"

namespace benchfs {

InodeLocks* FileLocks::find(std::uint64_t inode) {
  const auto found = inodes_.find(inode);
  return found == inodes_.end() ? nullptr : found->second.get();
}

InodeLocks& FileLocks::of(std::uint64_t inode) {
  auto& locks = inodes_[inode];
  if (locks == nullptr) locks = std::make_unique<InodeLocks>();
  return *locks;
}

void FileLocks::forget_if_empty(std::uint64_t inode) {
  const auto found = inodes_.find(inode);
  if (found != inodes_.end() && found->second->empty()) inodes_.erase(found);
}

void FileLocks::wait(std::uint64_t inode, wire::LockSpace space, const LockWait& wait) {
  of(inode).of(space).wait(wait);
  pending_[wait.id] = {.inode = inode, .result = {}};
  ++waiting_;
}

Task<int> FileLocks::outcome(EventLoop& loop, LockWaitId id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) co_return ESTALE;
  if (found->second.result.has_value()) {
    const int result = *found->second.result;
    pending_.erase(found);
    co_return result;
  }
  if (found->second.asked != nullptr) found->second.asked->finish(ESTALE);
  Completion ended(loop);
  found->second.asked = &ended;
  co_return co_await ended;
}

void FileLocks::finish(const LockWaitId& id, int result) {
  const auto found = pending_.find(id);
  if (found == pending_.end() || found->second.result.has_value()) return;
  --waiting_;
  if (found->second.asked != nullptr) {
    found->second.asked->finish(result);
    pending_.erase(found);
  } else {
    found->second.result = result;
  }
  if (waiting_ == 0 && nap_ != nullptr) std::exchange(nap_, nullptr)->finish(0);
}

void FileLocks::fail(std::uint64_t inode, const LockWaitId& id, int error) {
  InodeLocks* const locks = find(inode);
  if (locks == nullptr) return;
  const bool waited = locks->whole.withdraw(id) || locks->ranges.withdraw(id);
  if (waited) finish(id, error);
  forget_if_empty(inode);
}

void FileLocks::grant(std::uint64_t inode) {
  InodeLocks* const locks = find(inode);
  if (locks == nullptr) return;
  for (LockTable* const table : {&locks->whole, &locks->ranges})
    if (!table->waits().empty())
      for (const LockWaitId& id : table->grant()) finish(id, 0);
  forget_if_empty(inode);
}

void FileLocks::drop(std::uint64_t inode, const wire::LockOwner& owner) {
  InodeLocks* const locks = find(inode);
  if (locks == nullptr) return;
  locks->whole.drop(owner);
  locks->ranges.drop(owner);
  grant(inode);
}

void FileLocks::drop_host(std::uint64_t inode, std::uint32_t host) {
  InodeLocks* const locks = find(inode);
  if (locks == nullptr) return;
  for (LockTable* const table : {&locks->whole, &locks->ranges})
    for (const LockWaitId& id : table->drop_host(host)) finish(id, EBADF);
  grant(inode);
}

void FileLocks::drop_host(std::uint32_t host) {
  std::vector<std::uint64_t> all;
  for (const auto& [inode, locks] : inodes_) all.push_back(inode);
  for (const std::uint64_t inode : all) drop_host(inode, host);
}

void FileLocks::end_all(int error) {
  inodes_.clear();
  std::vector<LockWaitId> waits;
  for (const auto& [id, pending] : pending_)
    if (!pending.result.has_value()) waits.push_back(id);
  for (const LockWaitId& id : waits) finish(id, error);
}

std::vector<std::uint64_t> FileLocks::contended() const {
  std::vector<std::uint64_t> found;
  for (const auto& [inode, locks] : inodes_)
    if (!locks->whole.waits().empty() || !locks->ranges.waits().empty()) found.push_back(inode);
  return found;
}

void FileLocks::end_recovery() {
  recovering_ = false;
  for (Completion* const waiter : std::exchange(unsettled_, {})) waiter->finish(0);
}

Task<int> FileLocks::settled(EventLoop& loop) {
  if (!recovering_) co_return 0;
  Completion turn(loop);
  unsettled_.push_back(&turn);
  co_return co_await turn;
}

Task<int> FileLocks::nap(EventLoop& loop, std::int64_t duration_ns) {
  if (waiting_ == 0) co_return 0;
  Completion over(loop);
  nap_ = &over;
  const EventLoop::Timer timer = loop.at(sys::now_ns() + duration_ns, over);
  co_await over;
  loop.cancel(timer);
  nap_ = nullptr;
  co_return 0;
}

}  // namespace benchfs
