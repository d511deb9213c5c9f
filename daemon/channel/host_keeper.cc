#include "daemon/channel/host_keeper.h"

#include <sys/syscall.h>

#include <optional>
#include <utility>

#include "common/placement.h"
#include "daemon/channel/lock_release.h"
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

HostKeeper::HostKeeper(Server& server, bool followed) : server_(server) {
  if (server_.held != nullptr) {
    server_.held->on_dropped = [this](std::uint64_t inode) {
      server_.table.give_up(server_.self, inode);
    };
    server_.held->on_all_dropped = [this](std::uint32_t home) {
      server_.table.give_up_all(server_.self, home);
    };
  }
  if (!followed) return;
  events_seen_ = server_.table.process_events.load();
  watch_new_processes();  // drops the records of those that died meanwhile
  server_.table.recover(server_.self);
  // What was taken for contents of other hosts' files by servers or clients that died before use.
  const Topology& topology = server_.topology;
  std::vector<bool> foreign(topology.size);
  for (std::uint32_t rank = 0; rank < topology.size; ++rank)
    foreign[rank] = topology.host_of[rank] != topology.host();
  server_.table.reclaim_cells(server_.self, foreign);
}

bool HostKeeper::has_work() const {
  return server_.table.release_head.load() != 0 ||
         server_.table.process_events.load() != events_seen_ ||
         server_.table.locks.orphans.load() != orphans_seen_;
}

bool HostKeeper::poll() {
  if (!has_work()) return false;
  if (server_.table.process_events.load() != events_seen_) {
    events_seen_ = server_.table.process_events.load();
    watch_new_processes();
  }
  if (server_.table.locks.orphans.load() != orphans_seen_) {  // before the release of their files
    orphans_seen_ = server_.table.locks.orphans.load();
    release_orphaned_locks(server_);
  }
  release_all();
  return true;
}

Released HostKeeper::begin_release(std::uint32_t entry) {
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

// What lies at home here is released at once, with one commit.
void HostKeeper::release_all() {
  const bool waits_for_device = server_.journal != nullptr && server_.journal->syncs();
  bool any = false;
  std::uint32_t entry = server_.table.take_releases();
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
    any = true;
    if (reply->opens == 0) ended_.push_back({index, released});
  }
  if (!any) return;
  server_.names.show_changes();
  server_.commit();
  for (const Ended& one : ended_) server_.table.end_release(server_.self, one.entry, one.told);
  ended_.clear();
}

Task<int> HostKeeper::release(Server& server, std::uint32_t entry, Released told,
                              std::string content) {
  const auto reply =
      co_await server.ask(home_rank(told.inode), message_of(told), std::move(content));
  if (!reply.ok() || reply->opens == 0)  // a home that is gone knows nothing
    server.table.end_release(server.self, entry, told);
  co_return 0;
}

// Forked children that never connect: their parent rang when it made their record.
void HostKeeper::watch_new_processes() {
  HostTable& table = server_.table;
  const std::uint32_t high = table.process_high.load();
  for (std::uint32_t i = 0; i < high && i < process_records; ++i) {
    const ProcessId process = table.processes[i].process.load();
    if (process == 0 || (process & embryo) != 0 || watched_.contains(i)) continue;
    const long fd = ::syscall(SYS_pidfd_open, pid_of(process), 0);
    const bool started = process >> 32 != 0;  // else just forked, and known by its pid alone
    if (fd < 0 || (started && !is_alive(process))) {  // the number may be another's by now
      if (fd >= 0) sys::close(static_cast<int>(fd));
      reap(i, process);
      continue;
    }
    watched_[i] = Fd(static_cast<int>(fd));
    server_.loop.watch(static_cast<int>(fd), EPOLLIN, [this, i, process](std::uint32_t) {
      server_.loop.unwatch(watched_[i].get());
      watched_.erase(i);
      reap(i, process);
    });
  }
}

void HostKeeper::reap(std::uint32_t index, ProcessId process) {
  ProcessRecord& record = server_.table.processes[index];
  if (pid_of(record.process.load()) != pid_of(process)) return;  // given up and taken by another
  server_.table.drop_record(server_.self, record);
  release_orphaned_locks(server_);
}

void HostKeeper::process_ended(ProcessId process) {
  const std::uint32_t high = server_.table.process_high.load();
  for (std::uint32_t i = 0; i < high && i < process_records; ++i)
    if (server_.table.processes[i].process.load() == process) reap(i, process);
}

}  // namespace benchfs
