#include "daemon/channel/lock_release.h"

#include <bit>

#include "common/placement.h"

namespace benchfs {
namespace {

bool is_owned(HostTable& table, const HeldBy& by) {
  if (by.owner_kind == wire::LockOwnerKind::description) return table.slot_at(by.owner) != 0;
  const ProcessRecord* const record = table.record_of(by.owner, false);
  if (record == nullptr) return false;
  for (std::uint32_t word = 0; word < record->slots.size(); ++word) {
    for (std::uint64_t bits = record->slots[word].load(); bits != 0; bits &= bits - 1) {
      const auto slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      if (table.slots[slot].inode.load() == by.inode) return true;
    }
  }
  return false;
}

// From the table first: nobody else finds it there, and should its home be restarted meanwhile it
// is not told of it. A home that is gone knows nothing.
Task<int> release(Server& server, HeldBy by) {
  const LockRange all{.start = 0, .last = wire::lock_last_max, .kind = wire::LockKind::unlocked};
  const Status forgotten = server.table.locks.set(server.self, by, all);
  if (!forgotten.ok()) co_return forgotten.error().code();
  const wire::Lock message{
      .inode = by.inode,
      .start = all.start,
      .last = all.last,
      .slot = 0,
      .owner = {.id = by.owner, .host = server.topology.host(), .kind = by.owner_kind},
      .ticket = 0,
      .rank = server.topology.rank,
      .space = by.space,
      .kind = all.kind,
      .flags = 0};
  const auto done = co_await server.ask(home_rank(by.inode), message);
  co_return done.ok() ? 0 : done.error().code();
}

}  // namespace

void release_orphaned_locks(Server& server) {
  for (const HeldBy& by : server.table.locks.holders(server.self))
    if (!is_owned(server.table, by)) server.loop.spawn(release(server, by));
}

}  // namespace benchfs
