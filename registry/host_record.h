// The host record, <data_dir>/host_<hostid>: what the programs on one host must know to reach the
// servers there. The leader (lowest rank of the host) writes it when all ranks of the instance are
// ready; that it exists means "ready here". Clients read this and never the registry, which may
// lie on a slow shared filesystem.
//
// The preloaded library uses it: system calls only, no exceptions of its own, no logger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "registry/identity.h"

namespace benchfs {

struct HostRecord {
  InstanceId instance{};
  std::string mount_point;
  std::uint32_t size = 0;                  // ranks of the instance
  std::vector<std::uint32_t> local_ranks;  // ascending; [0] is the leader
  friend bool operator==(const HostRecord&, const HostRecord&) = default;
};

std::vector<std::byte> encode(const HostRecord& record);
// EBADMSG: not a host record, another format version, or damaged.
Result<HostRecord> decode_host_record(std::span<const std::byte> bytes);

// <local_dir>/host_<hostid of this process>.
Result<std::string> host_record_path(const char* local_dir);

// ENOENT: no servers are ready on this host. EPERM: the file is another user's.
Result<HostRecord> read_host_record(const char* local_dir);
// Written under a temporary name, synced and renamed; 0600.
Status write_host_record(const char* local_dir, const HostRecord& record);

}  // namespace benchfs
