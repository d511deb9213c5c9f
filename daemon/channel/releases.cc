#include "daemon/channel/releases.h"

#include <optional>
#include <utility>

#include "common/placement.h"
#include "daemon/handlers/handlers.h"

namespace benchfs {
namespace {

wire::Release message_of(const Released& released) {
  return {.inode = released.inode,
          .session = released.reached.session,
          .tenure = released.tenure,
          .end = released.reached.size,
          .modified = released.reached.modified,
          .accessed = released.reached.accessed,
          .opens = released.opens,
          .undone = 0,
          .flags = released.reached.sparse ? std::uint32_t{wire::HostFlag::sparse} : 0,
          .stored = released.reached.stored};
}

}  // namespace

Releases::Releases(Server& server, bool followed)
    : server_(server), list_(HostTable::release_list(server.topology.rank)) {
  if (server_.held != nullptr) {
    server_.held->on_dropped = [this](std::uint64_t inode) {
      server_.table.give_up(server_.self, inode);
    };
    server_.held->on_all_dropped = [this](std::uint32_t home) {
      server_.table.give_up_all(server_.self, home);
    };
  }
  if (!followed) return;
  if (leads())
    server_.table.recover(server_.self);
  else
    server_.table.recover(server_.self, list_);
}

bool Releases::has_work() const {
  const HostTable& table = server_.table;
  if (table.has_releases(list_)) return true;
  return leads() && (table.has_releases(HostTable::leaders_list) || table.release_help.load() != 0);
}

// What lies at home here is released at once, with one commit.
bool Releases::poll() {
  if (!has_work()) return false;
  if (leads() && server_.table.release_help.exchange(0) != 0) {
    for (std::uint32_t list = 0; list < HostTable::release_lists; ++list) take(list);
  } else {
    take(list_);
    if (leads()) take(HostTable::leaders_list);
  }
  if (!std::exchange(any_, false)) return true;
  server_.names.show_changes();
  server_.commit();
  for (const Ended& one : ended_) server_.table.end_release(server_.self, one.entry, one.told);
  ended_.clear();
  return true;
}

Released Releases::begin_release(std::uint32_t entry) {
  const std::uint64_t inode = server_.table.entries[entry].inode;
  const bool keep = server_.held != nullptr && server_.held->shows(inode);
  const Released told = server_.table.begin_release(server_.self, entry, keep);
  if (keep && told.inode != 0 && told.tenure == 0)
    server_.held->note_access(inode, told.reached.accessed);
  if (!told.kept) return told;
  kept_.push_back(inode);
  if (kept_.size() > kept_max) {
    server_.table.give_up(server_.self, kept_.front());
    kept_.pop_front();
  }
  return told;
}

void Releases::take(std::uint32_t list) {
  const bool waits_for_device = server_.journal != nullptr && server_.journal->syncs();
  std::uint32_t entry = server_.table.take_releases(list);
  while (entry != 0 && entry < size_entries) {
    const std::uint32_t index = std::exchange(entry, server_.table.entries[entry].next_release);
    const Released released = begin_release(index);
    if (released.inode == 0) continue;
    const wire::Release message = message_of(released);
    const auto bytes = server_.table.written_content(index);  // what the home cannot look at itself
    std::optional<wire::ReleaseReply> reply;
    if (home_rank(message.inode) == server_.topology.rank && bytes.empty() && !waits_for_device)
      reply = release_at_once(server_, server_.topology.host(), message);
    if (!reply) {
      std::string content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      server_.loop.spawn(release(server_, index, released, std::move(content)));
      continue;
    }
    any_ = true;
    if (reply->opens == 0) ended_.push_back({index, released});
  }
}

Task<int> Releases::release(Server& server, std::uint32_t entry, Released told,
                            std::string content) {
  const auto reply =
      co_await server.ask(home_rank(told.inode), message_of(told), std::move(content));
  if (!reply.ok() || reply->opens == 0)  // a home that is gone knows nothing
    server.table.end_release(server.self, entry, told);
  co_return 0;
}

}  // namespace benchfs
