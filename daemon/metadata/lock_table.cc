#include "daemon/metadata/lock_table.h"

#include <algorithm>

namespace benchfs {

std::optional<LockConflict> LockTable::conflict(const wire::LockOwner& owner,
                                                const LockRange& range) const {
  for (const Holder& holder : holders_) {
    if (holder.owner == owner) continue;
    for (const LockRange& held : holder.ranges)
      if (conflicts(held, range)) return LockConflict{holder.owner, held};
  }
  return {};
}

std::vector<wire::LockOwner> LockTable::conflicting(const wire::LockOwner& owner,
                                                    const LockRange& range) const {
  std::vector<wire::LockOwner> found;
  for (const Holder& holder : holders_) {
    if (holder.owner == owner) continue;
    const bool in_the_way =
        std::ranges::any_of(holder.ranges, [&](const LockRange& h) { return conflicts(h, range); });
    if (in_the_way) found.push_back(holder.owner);
  }
  return found;
}

bool LockTable::lock(const wire::LockOwner& owner, const LockRange& range) {
  if (whole_) {
    const LockRanges had = held(owner);
    if (!had.empty() && had.front().kind == range.kind) return true;
    drop(owner);
  }
  if (conflict(owner, range).has_value()) return false;
  set(owner, range);
  return true;
}

void LockTable::set(const wire::LockOwner& owner, const LockRange& range) {
  auto holder = std::ranges::find(holders_, owner, &Holder::owner);
  if (holder == holders_.end()) {
    if (range.kind == wire::LockKind::unlocked) return;
    holders_.push_back({owner, {}});
    holder = holders_.end() - 1;
  }
  set_range(holder->ranges, range);
  if (holder->ranges.empty()) holders_.erase(holder);
}

bool LockTable::withdraw(const LockWaitId& id) {
  return std::erase_if(waits_, [&](const LockWait& wait) { return wait.id == id; }) != 0;
}

std::vector<LockWaitId> LockTable::grant() {
  std::vector<LockWaitId> granted;
  std::size_t before = 0;
  do {  // a grant may turn its owner's exclusive range into a shared one
    before = granted.size();
    for (auto wait = waits_.begin(); wait != waits_.end();) {
      if (conflict(wait->owner, wait->range).has_value()) {
        ++wait;
        continue;
      }
      set(wait->owner, wait->range);
      granted.push_back(wait->id);
      wait = waits_.erase(wait);
    }
  } while (granted.size() != before);
  return granted;
}

void LockTable::drop(const wire::LockOwner& owner) {
  std::erase_if(holders_, [&](const Holder& holder) { return holder.owner == owner; });
}

std::vector<LockWaitId> LockTable::drop_host(std::uint32_t host) {
  std::erase_if(holders_, [&](const Holder& holder) { return holder.owner.host == host; });
  std::vector<LockWaitId> ended;
  for (const LockWait& wait : waits_)
    if (wait.owner.host == host) ended.push_back(wait.id);
  std::erase_if(waits_, [&](const LockWait& wait) { return wait.owner.host == host; });
  return ended;
}

const LockWait* LockTable::find(const LockWaitId& id) const {
  const auto found = std::ranges::find(waits_, id, &LockWait::id);
  return found == waits_.end() ? nullptr : &*found;
}

std::vector<wire::LockOwner> LockTable::owners() const {
  std::vector<wire::LockOwner> all;
  for (const Holder& holder : holders_) all.push_back(holder.owner);
  return all;
}

LockRanges LockTable::held(const wire::LockOwner& owner) const {
  const auto holder = std::ranges::find(holders_, owner, &Holder::owner);
  return holder == holders_.end() ? LockRanges{} : holder->ranges;
}

}  // namespace benchfs
