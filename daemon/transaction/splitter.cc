#include "daemon/transaction/splitter.h"

#include "common/log.h"
#include "common/placement.h"
#include "daemon/handlers/common.h"
#include "daemon/rpc/server.h"

namespace benchfs {
namespace {

constexpr std::size_t batch_bytes_max = 15 << 10;
constexpr std::int64_t draft_ns_max = 60'000'000'000;  // then whoever sends it is gone
constexpr std::size_t drafts_max = 64;
constexpr std::int64_t pause_ns = 1'000'000'000;  // after a split that failed

}  // namespace

void Splitter::start(const std::vector<std::uint64_t>& directories) {
  const std::int64_t now = sys::now_ns();
  for (const std::uint64_t number : directories) {
    std::int64_t& not_before = not_before_[number];
    if (not_before > now) continue;
    not_before = INT64_MAX;
    server_.loop.spawn(split(number));
  }
}

Task<int> Splitter::split(std::uint64_t number) {
  co_await server_.loop.later();  // who made the entry is answered first
  const Status done = co_await try_to_split(number);
  if (done.ok() || done.error().code() == ENOENT) {
    not_before_.erase(number);
    co_return 0;
  }
  not_before_[number] = sys::now_ns() + pause_ns;
  if (done.error().code() != EAGAIN)
    log::warn("directory {} could not be split, and is tried again as it grows: {}", number,
              done.error());
  co_return 0;
}

Task<Status> Splitter::try_to_split(std::uint64_t number) {
  const Inode* const inode = server_.names.find(number);
  if (inode == nullptr || !inode->is_directory()) co_return Error(ENOENT);
  const Partition unsplit;
  const Partition& now = inode->is_split() ? *inode->directory->partition : unsplit;
  if (!now.can_split(server_.topology.size)) co_return Done{};
  const std::uint64_t whole = inode->directory->whole(number);
  const std::uint32_t rank = (home_rank(whole) + now.next_index()) % server_.topology.size;
  wire::FillPart head{.part = 0,
                      .directory = whole,
                      .low = now.middle(),
                      .high = now.high,
                      .mode = inode->mode,
                      .uid = inode->uid,
                      .gid = inode->gid,
                      .index = now.next_index(),
                      .depth = now.depth + 1,
                      .entries = 0};
  const auto reserved = co_await server_.ask(rank, head);  // before anybody has to wait
  if (!reserved.ok()) co_return reserved.error();
  head.part = reserved->part;
  if (!valid_inode(head.part, server_.topology.size) || home_rank(head.part) != rank)
    co_return Error(EIO);

  const Partition::Later part{
      .low = head.low, .inode = head.part, .depth = head.depth, .reserved = 0};
  Transaction change;
  change.kind = wire::TransactionKind::split;
  change.steps.push_back(benchfs::split_off(number, part));
  if (whole != number) change.steps.push_back(benchfs::add_part(whole, part));
  change.steps.push_back(benchfs::make_part(head.part, whole));
  change.when_locked = [this, number, head] { return send_entries(number, head); };
  const Status agreed = co_await server_.coordinator.prepare(change);
  if (!agreed.ok()) co_return agreed.error();
  server_.coordinator.commit(change, benchfs::now());
  server_.names.show_changes();
  server_.commit();
  co_return Done{};
}

// Nothing is added to or removed from that half meanwhile, and its mode and owner stay.
Task<Status> Splitter::send_entries(std::uint64_t number, wire::FillPart head) {
  EntryKey next{.cookie = head.low, .name = {}};
  for (bool last = false; !last;) {
    const Inode* const inode = server_.names.find(number);
    if (inode == nullptr) co_return Error(ENOENT);
    head.mode = inode->mode;
    head.uid = inode->uid;
    head.gid = inode->gid;
    head.entries = 0;
    std::string batch;
    const auto& entries = inode->directory->entries;
    auto it = entries.lower_bound(EntryKeyView{next.cookie, next.name});
    for (; it != entries.end() && batch.size() < batch_bytes_max; ++it) {
      const wire::PartEntry row{.inode = it->second.inode,
                                .type = it->second.type,
                                .name_bytes = static_cast<std::uint32_t>(it->first.name.size())};
      batch.append(reinterpret_cast<const char*>(&row), sizeof row).append(it->first.name);
      ++head.entries;
    }
    last = it == entries.end();
    if (!last) next = it->first;
    const auto filled = co_await server_.ask(home_rank(head.part), head, std::move(batch));
    if (!filled.ok()) co_return filled.error();
  }
  co_return Done{};
}

Result<std::uint64_t> Splitter::fill(const wire::FillPart& request,
                                     std::span<const std::byte> entries) {
  const std::int64_t now = sys::now_ns();
  if (request.part == 0) {
    absl::erase_if(drafts_,
                   [&](const auto& draft) { return now - draft.second.begun_ns > draft_ns_max; });
    if (drafts_.size() >= drafts_max) return Error(EAGAIN);
    const std::uint64_t part = server_.names.reserve_number();
    drafts_[part] = {.head = request, .entries = {}, .begun_ns = now};
    return part;
  }
  const auto found = drafts_.find(request.part);
  if (found == drafts_.end()) return Error(ESTALE);
  Draft& draft = found->second;
  if (request.directory != draft.head.directory || request.low != draft.head.low)
    return Error(EBADMSG);
  draft.head = request;
  for (std::uint32_t i = 0; i < request.entries; ++i) {
    TRY(const auto row, wire::parse<wire::PartEntry>(entries));
    entries = entries.subspan(sizeof row);
    TRY(const auto name, wire::text(entries, 0, row.name_bytes));
    entries = entries.subspan(name.size());
    const std::uint64_t cookie = entry_cookie(request.directory, name);
    if (name.empty() || name.size() > wire::name_bytes_max || cookie < request.low ||
        cookie >= request.high || !valid_inode(row.inode, server_.topology.size))
      return Error(EBADMSG);
    draft.entries.push_back(
        {.name = std::string(name), .entry = {.inode = row.inode, .type = row.type}});
  }
  return request.part;
}

Status Splitter::make_part(std::uint64_t part) {
  const auto found = drafts_.find(part);
  if (found == drafts_.end()) return Error(ESTALE);
  const Draft draft = std::move(found->second);
  drafts_.erase(found);
  Partition partition;
  partition.of = draft.head.directory;
  partition.low = draft.head.low;
  partition.high = partition.limit = draft.head.high;
  partition.index = draft.head.index;
  partition.depth = draft.head.depth;
  Inode like{};
  like.mode = draft.head.mode;
  like.uid = draft.head.uid;
  like.gid = draft.head.gid;
  TRY(const Inode* const made, server_.names.make_part(part, like, std::move(partition)));
  for (const DraftEntry& entry : draft.entries)
    server_.names.take_in(*made, entry.name, entry.entry);
  return Done{};
}

}  // namespace benchfs
