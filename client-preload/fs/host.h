// Host: the servers of this host as this process knows them, and the tables shared with everybody
// here. Connected lazily, the leader first; survives fork with its mappings and directories.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client-preload/fs/channel.h"
#include "client-preload/fs/greeting.h"
#include "client-preload/fs/lock.h"
#include "client-preload/fs/private_fd.h"
#include "client-preload/fs/wait_policy.h"
#include "common/host_table.h"
#include "common/host_view.h"
#include "common/ring.h"
#include "registry/host_record.h"

namespace benchfs {

class Host;

// One rank of this host.
struct LocalServer {
  LocalServer(Host& owner, std::uint32_t number, PrivateDescriptors& privates);

  Host& host;
  const std::uint32_t rank;
  std::atomic<Channel*> channel{nullptr};          // null: not connected
  std::vector<std::unique_ptr<Channel>> channels;  // the ended ones too: threads may still look
  Bell bell;
  PrivateFd chunks;  // its chunk directory
  PrivateFd waits;   // its control page as a file, to wait for locks in
  Mapping view_mapping;
  std::atomic<const HostView*> view{nullptr};  // null: not connected yet
};

class Host {
 public:
  Host(std::string local_dir, PrivateDescriptors& privates)
      : local_dir_(std::move(local_dir)),
        privates_(privates),
        placeholder(privates),
        common_opening(privates),
        memory(privates) {}

  // Reads the host record and connects to the leader. Under lock(), once.
  Status connect();
  // Where requests for `rank` go: to itself when it is on this host, else to the leader.
  Result<Channel*> channel(std::uint32_t rank);
  // The rank that takes requests for `rank`.
  std::uint32_t server_for(std::uint32_t rank) {
    return local(rank) != nullptr ? rank : leader_rank();
  }
  // Null: it is on another host.
  LocalServer* local(std::uint32_t rank);
  // What `look(view)` finds (an optional) in what may be read of `rank` without asking: what it
  // shows itself, or what it has leased to this host. None also while it is not connected.
  template <class Look>
  auto in_view(std::uint32_t rank, Look look) -> decltype(look(std::declval<const HostView&>())) {
    LocalServer* server = local(rank);
    const bool here = server != nullptr;
    if (!here) server = &leader();
    const Channel* const channel = server->channel.load(std::memory_order_acquire);
    if (channel != nullptr && channel->dead()) return {};
    if (!here) return leased_->read(rank, look);
    const HostView* const view = server->view.load(std::memory_order_acquire);
    if (view == nullptr) return {};
    return look(*view);
  }
  // To open chunk files in.
  Result<int> chunk_directory(LocalServer& server);
  // To wait for locks in, at the server that `rank`'s requests go to.
  Result<int> wait_file(std::uint32_t rank);
  // Its descriptor was closed behind our back.
  void lost(LocalServer& server);
  // The common opening's descriptor was: opens another.
  Status open_common();
  void ring_leader() { leader().bell.ring(); }
  // Entries were put on release lists: whoever takes them is to look.
  void ring_for_releases();

  // This process's record in the table, made on first need. Null: all are in use. Whoever may have
  // made it rings the leader, which then watches the process whatever becomes of its sockets.
  ProcessRecord* record();
  ProcessRecord* known_record() { return record_.load(std::memory_order_acquire); }
  HostTable& table() { return *table_; }
  PoolHeader& pool() { return *pool_; }
  std::byte* pool_buffer(std::uint32_t index) { return pool_mapping_.data() + pool_offset(index); }
  ProcessId self() const { return self_; }
  std::uint32_t uid() const { return uid_; }  // who connected
  bool read_only() const { return read_only_; }

  std::uint32_t ranks() const { return ranks_; }
  std::uint32_t leader_rank() const { return servers_.front()->rank; }
  const InstanceId& instance() const { return instance_; }
  std::uint64_t chunk_bytes() const { return std::uint64_t{1} << chunk_shift_; }
  int chunk_shift() const { return chunk_shift_; }
  std::uint64_t requests_sent() const;
  bool is_placeholder(std::uint64_t device, std::uint64_t inode) const {
    return device == device_ && inode == inode_;
  }

  void forked(ProcessRecord* record);  // in the child
  void disconnect();
  void leave(int fd);  // the application wants this number
  Lock& lock() { return lock_; }

 private:
  friend struct LocalServer;
  LocalServer& leader() { return *servers_.front(); }
  // With the region of `channel`, or for a new channel.
  Status greet_locked(LocalServer& server, Channel* channel = nullptr);
  Status open_common_locked();
  static bool repair(void* server);
  static Status attach(void* server, Channel& channel);
  void complain(Error why);

  const std::string local_dir_;
  PrivateDescriptors& privates_;
  Lock lock_;
  WaitPolicy policy_;
  std::vector<std::unique_ptr<LocalServer>> servers_;  // ascending; [0] leads
  InstanceId instance_{};
  std::uint32_t ranks_ = 0;
  int chunk_shift_ = 0;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
  Mapping table_mapping_;
  Mapping pool_mapping_;
  Mapping leased_mapping_;
  HostTable* table_ = nullptr;
  const LeasedView* leased_ = nullptr;
  PoolHeader* pool_ = nullptr;
  ProcessId self_ = 0;
  std::uint32_t uid_ = 0;
  bool read_only_ = false;
  std::atomic<ProcessRecord*> record_{nullptr};
  bool complained_ = false;

 public:
  PrivateFd placeholder;     // what the descriptors of open files are openings of
  PrivateFd common_opening;  // the one that they share while they have not left the process
  PrivateFd memory;          // the host's table as a file
};

}  // namespace benchfs
