// Core: what the parts of the library share, in the order in which they depend on each other.
#pragma once

#include <atomic>
#include <optional>
#include <string_view>

#include "client-preload/fs/chunk_cache.h"
#include "client-preload/fs/chunk_io.h"
#include "client-preload/fs/creation_mask.h"
#include "client-preload/fs/descriptor_table.h"
#include "client-preload/fs/file_system.h"
#include "client-preload/fs/host.h"
#include "client-preload/fs/mount.h"
#include "client-preload/fs/part_cache.h"
#include "client-preload/fs/private_descriptors.h"
#include "client-preload/fs/working_directory.h"
#include "common/placement.h"

namespace benchfs {

struct Core {
  explicit Core(const Settings& settings);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  bool off() const { return !on_; }
  // Connects on first use, and learns what exec or an unannounced fork left behind. EIO: no
  // servers.
  Status ready() {
    if (connected_.load(std::memory_order_acquire) && *fork_mark_ != 0) [[likely]]
      return Done{};
    return get_ready();
  }
  // Connected, and changes are allowed: EROFS.
  Status ready_to_change() {
    TRY_OK(ready());
    if (read_only()) return Error(EROFS);
    return Done{};
  }
  bool read_only() const { return read_only_ || host.read_only(); }
  bool connected() const { return connected_.load(std::memory_order_acquire); }

  // Around fork.
  void before_fork();
  void after_fork_parent(pid_t child);
  void after_fork_child();

  // What follows the mount point in an absolute name; empty: it lies elsewhere.
  std::optional<std::string_view> locate_absolute(const char* name) const;

  // One request without a path, at the home of `inode` or at `rank`.
  template <wire::Message M>
  Result<typename M::Reply> ask(std::uint32_t rank, const M& message) {
    Request request;
    return ask(request, rank, message);
  }
  template <wire::Message M>
  Result<typename M::Reply> ask(Request& request, std::uint32_t rank, const M& message) {
    TRY(Channel* const channel, host.channel(rank));
    request.begin(*channel);
    request.add(wire::bytes_of(message));
    request.post(M::op, rank);
    TRY_OK(request.wait());
    if (request.redirected()) return Error(EIO);
    return wire::parse<typename M::Reply>(request.body());
  }

  const Mount mount;

 private:
  Status get_ready();
  void forked_unannounced();
  void share_nothing_with_parent(ProcessRecord* record);

  const bool on_;
  const bool read_only_;
  std::atomic<bool> connected_{false};
  std::atomic<std::uint32_t>* fork_mark_;  // the kernel zeroes it in every child
  ProcessRecord* child_record_ = nullptr;  // between before_fork and after

 public:
  PrivateDescriptors privates;
  Host host;
  ChunkCache cache;
  ChunkIo io;
  PartCache parts;
  DescriptorTable descriptors;
  WorkingDirectory working_directory;
  CreationMask creation_mask;
};

}  // namespace benchfs
