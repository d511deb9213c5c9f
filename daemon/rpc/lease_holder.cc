#include "daemon/rpc/lease_holder.h"

#include <algorithm>
#include <cstring>

#include "common/sys.h"

namespace benchfs {
namespace {

constexpr std::size_t recent_max = 2 * wire::recall_keys_max;
constexpr std::size_t page_slots = 64;
constexpr std::size_t view_slots = HostView::inode_slots + HostView::entry_slots;
static_assert(sizeof(HostView::inodes) + sizeof(HostView::entries) ==
              view_slots * sizeof(ViewSlot));

}  // namespace

LeaseHolder::LeaseHolder(LeasedView& view, std::uint32_t ranks)
    : view_(view), homes_(ranks), pages_(view_slots / page_slots) {
  view_.view.magic = HostView::magic_value;
}

void LeaseHolder::note(const ViewSlot* slot) {
  if (slot != nullptr)
    pages_[static_cast<std::size_t>(slot - view_.view.inodes.data()) / page_slots] = true;
}

// The clients stop using what is there before it goes.
void LeaseHolder::drop_all(std::uint32_t home) {
  view_.good_until[home].store(0, std::memory_order_seq_cst);
  ViewSlot* const slots = view_.view.inodes.data();
  for (std::size_t page = 0; page < pages_.size(); ++page) {
    if (!pages_[page]) continue;
    for (std::size_t i = page * page_slots; i < (page + 1) * page_slots; ++i) {
      ViewSlot& slot =
          i < HostView::inode_slots ? slots[i] : view_.view.entries[i - HostView::inode_slots];
      if (slot.word(0) != 0 && home_rank(slot.word(0)) == home) slot.write({});
    }
  }
  homes_[home].shown = false;
  if (on_all_dropped) on_all_dropped(home);
}

bool LeaseHolder::shows(std::uint64_t inode) const {
  const auto shown = view_.view.inode(inode);
  return shown.has_value() && shown->links != 0;
}

void LeaseHolder::note_access(std::uint64_t inode, std::int64_t accessed) {
  auto shown = view_.view.inode(inode);
  if (!shown.has_value() || shown->accessed >= accessed) return;
  shown->accessed = accessed;
  view_.view.publish(*shown);
}

// False: it speaks of a time before it forgot what we hold.
bool LeaseHolder::enter(std::uint32_t number, std::uint64_t epoch) {
  Home& home = homes_[number];
  if (epoch <= home.epoch) return epoch == home.epoch;
  if (home.shown) drop_all(number);
  home = Home{};
  home.epoch = epoch;
  return true;
}

bool LeaseHolder::was_recalled(const Home& home, std::uint64_t number,
                               const wire::LeaseKey& key) const {
  for (auto it = home.recent.rbegin(); it != home.recent.rend() && it->number > number; ++it)
    if (it->key == key) return true;
  return false;
}

Status LeaseHolder::show(Home& home, const wire::LeaseList& list,
                         std::span<const std::byte> records) {
  while (!records.empty()) {
    TRY(const auto lease, wire::parse<wire::Lease>(records));
    records = records.subspan(sizeof lease);
    if (lease.directory == 0) {
      TRY(const auto shown, wire::parse<ViewInode>(records));
      if (shown.inode != lease.inode) return Error(EBADMSG);
      records = records.subspan(sizeof shown);
      if (!was_recalled(home, list.number, wire::lease_key(shown.inode)))
        note(view_.view.publish(shown));
      continue;
    }
    TRY(const auto name, wire::text(records, 0, lease.name_bytes));
    if (name.empty() || name.size() > wire::name_bytes_max) return Error(EBADMSG);
    records = records.subspan(name.size());
    if (!was_recalled(home, list.number, wire::lease_key(lease.directory, name)))
      note(view_.view.publish(lease.directory, name, lease.inode, lease.type));
  }
  return Done{};
}

Status LeaseHolder::take(std::uint32_t number, std::int64_t asked_ns,
                         std::vector<std::byte>& reply) {
  wire::LeaseList list;
  if (reply.size() < sizeof list) return Error(EBADMSG);
  const std::size_t end = reply.size() - sizeof list;
  std::memcpy(&list, reply.data() + end, sizeof list);
  if (list.bytes > end || list.bytes > wire::lease_list_bytes_max) return Error(EBADMSG);
  const std::size_t begin = end - list.bytes;
  if (enter(number, list.epoch)) {
    Home& home = homes_[number];
    if (list.bytes != 0 && list.number >= home.forgotten) {
      home.shown = true;
      TRY_OK(show(home, list, std::span(reply).subspan(begin, list.bytes)));
    }
    const std::int64_t good = asked_ns + std::int64_t{list.good_ms} * 1'000'000;
    auto& until = view_.good_until[number];
    if (until.load(std::memory_order_relaxed) < good) until.store(good, std::memory_order_seq_cst);
  }
  reply.resize(begin);
  return Done{};
}

void LeaseHolder::recall(std::uint32_t number, const wire::RecallLeases& recall,
                         std::span<const wire::LeaseKey> keys) {
  if (!enter(number, recall.epoch)) return;  // dropped already, all of them
  Home& home = homes_[number];
  if (recall.all != 0 && home.shown) drop_all(number);
  if (recall.all != 0) home.forgotten = std::max(home.forgotten, recall.number);
  for (const wire::LeaseKey& key : keys) {
    if (key.name == 0) {
      view_.view.forget(key.inode);
      if (on_dropped) on_dropped(key.inode);
    } else {
      view_.view.forget_entry(key.inode, key.name);
    }
    home.recent.push_back({.number = recall.number, .key = key});
  }
  while (home.recent.size() > recent_max) {
    home.forgotten = std::max(home.forgotten, home.recent.front().number);
    home.recent.pop_front();
  }
}

}  // namespace benchfs
