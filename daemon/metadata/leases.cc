#include "daemon/metadata/leases.h"

#include <algorithm>
#include <utility>

#include "common/sys.h"

namespace benchfs {

Leases::Watch::Watch(Leases& leases)
    : leases_(&leases), previous_(nullptr), next_(leases.watches_) {
  if (next_ != nullptr) next_->previous_ = this;
  leases.watches_ = this;
  if (leases.everything_ != nullptr) recalls_.push_back(leases.everything_);
}

Leases::Recalls Leases::Watch::end() {
  if (leases_ == nullptr) return {};
  if (next_ != nullptr) next_->previous_ = previous_;
  (previous_ != nullptr ? previous_->next_ : leases_->watches_) = next_;
  leases_ = nullptr;
  return std::move(recalls_);
}

Leases::Cooling& Leases::cooling_of(const wire::LeaseKey& key) {
  return cooling_[absl::Hash<wire::LeaseKey>{}(key) % cooling_.size()];
}

void Leases::look(const wire::LeaseKey& key) const {
  const auto found = recalling_.find(key);
  if (found == recalling_.end()) return;
  for (Watch* watch = watches_; watch != nullptr; watch = watch->next_)
    if (std::ranges::find(watch->recalls_, found->second) == watch->recalls_.end())
      watch->recalls_.push_back(found->second);
}

bool Leases::changing(const wire::LeaseKey& key, bool cools) {
  if (idle()) return false;
  if (held_.contains(key)) recall(key, cools);
  if (any_cooling_ && cools) {
    Cooling& cooling = cooling_of(key);
    if (cooling.key == key) cooling.asked = false;
  }
  if (!recalling(key)) return false;
  look(key);
  return true;
}

bool Leases::held_by_none_but(const wire::LeaseKey& key, std::uint32_t host) const {
  const auto found = held_.find(key);
  return found == held_.end() || (found->second.size() == 1 && found->second.front() == host);
}

void Leases::recall(const wire::LeaseKey& key, bool cools) {
  const auto found = held_.find(key);
  const Holders holders = std::move(found->second);
  held_.erase(found);
  if (cools) {
    any_cooling_ = true;
    cooling_of(key) = {.key = key, .asked = false};
  }
  if (gathering_ == nullptr) gathering_ = std::make_shared<Recall>();
  gathering_->keys.push_back(key);
  gathering_->missing += static_cast<std::uint32_t>(holders.size());
  recalling_.emplace(key, gathering_);
  for (const std::uint32_t number : holders) {
    Host& holder = host(number);
    holder.queue.push_back(key);
    if (!std::exchange(holder.recalled_from, true) && on_recall) on_recall(number);
  }
}

void Leases::recall_oldest() {
  while (!order_.empty()) {
    const wire::LeaseKey key = order_.front();
    order_.pop_front();
    if (!held_.contains(key)) continue;
    recall(key);
    return;
  }
}

bool Leases::give(const wire::LeaseKey& key, std::uint32_t number) {
  if (recalling(key)) return false;
  if (any_cooling_) {
    Cooling& cooling = cooling_of(key);
    if (cooling.key == key && !std::exchange(cooling.asked, true)) return false;
  }
  const auto found = held_.find(key);
  if (found != held_.end()) {
    Holders& holders = found->second;
    if (std::ranges::find(holders, number) == holders.end()) holders.push_back(number);
    return true;
  }
  if (held_.size() >= keys_max) recall_oldest();
  held_.emplace(key, Holders{number});
  order_.push_back(key);
  if (order_.size() > 2 * keys_max)
    std::erase_if(order_, [this](const wire::LeaseKey& old) { return !held_.contains(old); });
  return true;
}

Leases::Host& Leases::host(std::uint32_t number) {
  Host& host = hosts_[number];
  // Larger than any of an earlier life of this rank.
  if (host.epoch == 0) host.epoch = static_cast<std::uint64_t>(sys::now_ns(CLOCK_REALTIME));
  return host;
}

std::vector<wire::LeaseKey> Leases::take(std::uint32_t number, std::size_t max) {
  gathering_.reset();
  Host& holder = host(number);
  const std::size_t count = std::min(max, holder.queue.size());
  const auto end = holder.queue.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<wire::LeaseKey> keys(holder.queue.begin(), end);
  holder.queue.erase(holder.queue.begin(), end);
  if (keys.empty()) holder.recalled_from = false;
  return keys;
}

void Leases::drop(const wire::LeaseKey& key) {
  const auto found = recalling_.find(key);
  if (found == recalling_.end() || --found->second->missing != 0) return;
  const auto recall = found->second;
  for (const wire::LeaseKey& done : recall->keys) recalling_.erase(done);
  if (recall == gathering_) gathering_.reset();
  for (Completion* const waiter : std::exchange(recall->waiters, {})) waiter->finish(0);
}

void Leases::dropped(const std::vector<wire::LeaseKey>& keys) {
  for (const wire::LeaseKey& key : keys) drop(key);
}

void Leases::end_everything() {
  const auto done = std::exchange(everything_, nullptr);
  done->missing = 0;
  for (Completion* const waiter : std::exchange(done->waiters, {})) waiter->finish(0);
}

void Leases::host_died(std::uint32_t number) {
  Host& dead = host(number);
  dead.epoch = std::max(dead.epoch + 1, static_cast<std::uint64_t>(sys::now_ns(CLOCK_REALTIME)));
  for (auto it = held_.begin(); it != held_.end();) {
    Holders& holders = it->second;
    holders.erase(std::remove(holders.begin(), holders.end(), number), holders.end());
    if (holders.empty()) {
      held_.erase(it++);
    } else {
      ++it;
    }
  }
  for (const wire::LeaseKey& key : std::exchange(dead.queue, {})) drop(key);
}

Task<int> Leases::settled(EventLoop& loop, Recalls recalls) {
  for (const auto& recall : recalls) {
    if (recall->missing == 0) continue;
    Completion done(loop);
    recall->waiters.push_back(&done);
    co_await done;
  }
  co_return 0;
}

Task<int> Leases::settled(EventLoop& loop, wire::LeaseKey key) {
  for (auto found = recalling_.find(key); found != recalling_.end(); found = recalling_.find(key)) {
    Recalls one{found->second};
    co_await settled(loop, std::move(one));
  }
  co_return 0;
}

}  // namespace benchfs
