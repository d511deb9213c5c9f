// What a registry directory tells of the servers that meet there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "registry/record.h"

namespace benchfs::cli {

struct Instance {
  std::string registry;                          // absolute
  bool ready = false;                            // all ranks are, and clients may come
  std::string failure;                           // of a start; empty: none
  std::vector<std::optional<NodeRecord>> ranks;  // of one start; none: no record
  std::uint64_t host_id = 0;                     // of this host

  bool empty() const { return ranks.empty(); }
  // Any of them; null: none.
  const NodeRecord* any() const;
  // Whether the process that serves it is there; only for ranks on this host.
  bool is_here(const NodeRecord& record) const { return record.host_id == host_id; }
  bool lives(const NodeRecord& record) const;
  // The lowest living rank of this host; null: none.
  const NodeRecord* living_here() const;
  std::string hosts() const;  // "a, b"
};

// Throws Failure with `code` if the directory is not there, not readable or damaged.
Instance read_instance(const std::string& registry, int code);

// The living rank of this host through which the instance can be reached. Throws Failure with
// `code` and a line that says why there is none.
const NodeRecord& reachable_here(const Instance& instance, int code);

}  // namespace benchfs::cli
