// The node record, <registry_dir>/node_<rank>.addr: who serves a rank and how to reach it. With
// PMIx the same bytes travel by put, fence and get.
//
// Layout: a fixed header (magic, format version, length, xxHash64 of all that follows it), then the
// numbers, then counted fields, as written by encode(). Little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/process.h"
#include "common/result.h"
#include "registry/host_record.h"

namespace benchfs {

inline constexpr std::size_t node_record_bytes_max = 1U << 20;

// How far a rank has come. Only grows.
enum class NodeState : std::uint32_t {
  starting = 1,  // exists; nothing else is known of it
  joined = 2,    // address and instance are valid
  ready = 3,     // its worker serves
  open = 4,      // the host record is written; clients may come
  failed = 5,    // gave up: before it was open, and the file `failed` says why; or later, when its
                 // worker could not be started again
};

struct NodeRecord {
  NodeState state = NodeState::starting;
  std::uint64_t launch_id = 0;  // hash of what names this start (PMIx namespace, Slurm job.step, …)
  InstanceId instance{};        // zero until known
  std::uint32_t rank = 0;
  std::uint32_t size = 0;
  std::uint64_t host_id = 0;
  ProcessId supervisor = 0;
  std::uint32_t exit_code = 0;    // of a rank that failed
  std::uint64_t fingerprint = 0;  // of the settings that must agree
  std::string host_name;
  std::string data_dir;  // the node-local job directory; its rank_<rank>/socket is the listener
  std::string mount_point;
  std::string settings;            // the text behind the fingerprint: key=value key=value …
  std::vector<std::byte> address;  // of the UCX worker
  std::uint32_t incarnation = 0;   // how often the worker was started again
  friend bool operator==(const NodeRecord&, const NodeRecord&) = default;
};

std::vector<std::byte> encode(const NodeRecord& record);
// EBADMSG; `why` then says at which offset and what is wrong, without the file's name.
Result<NodeRecord> decode_node_record(std::span<const std::byte> bytes, std::string& why);

std::string node_record_name(std::uint32_t rank);  // node_<rank>.addr

}  // namespace benchfs
