#include "daemon/channel/host_keeper.h"

#include <sys/syscall.h>

#include "daemon/channel/lock_release.h"

namespace benchfs {

HostKeeper::HostKeeper(Server& server, bool followed) : server_(server) {
  if (!followed) return;
  events_seen_ = server_.table.process_events.load();
  watch_new_processes();  // drops the records of those that died meanwhile
  // What was taken for contents of other hosts' files by servers or clients that died before use.
  server_.table.reclaim_cells(server_.self, [&](std::uint64_t inode, Stored) {
    const Topology& topology = server_.topology;
    const std::uint32_t home = home_rank(inode);
    return home < topology.size && topology.host_of[home] != topology.host();
  });
}

bool HostKeeper::has_work() const {
  return server_.table.process_events.load() != events_seen_ ||
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
  return true;
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
  if (server_.table.drop_record(server_.self, record)) server_.table.release_help.store(1);
  release_orphaned_locks(server_);
}

void HostKeeper::process_ended(ProcessId process) {
  const std::uint32_t high = server_.table.process_high.load();
  for (std::uint32_t i = 0; i < high && i < process_records; ++i)
    if (server_.table.processes[i].process.load() == process) reap(i, process);
}

}  // namespace benchfs
