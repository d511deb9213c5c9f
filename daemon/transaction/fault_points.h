// Fault points: the moments of a change on several servers at which a test may have a server die.
//
// Off, and a look at one word, unless the worker starts with BENCHFS_FAULT, the path of a
// directory: then it kills itself at a point that a file there is named after. It removes the file
// first, so that of all workers, and of those that are started in their place, one dies once.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/wire.h"
#include "daemon/loop/event_loop.h"

namespace benchfs {

enum class Moment : std::uint32_t {
  before_prepared,  // another server has the locks, and agrees
  after_prepared,   // its agreement is logged
  before_committed,
  after_committed,  // the coordinator's decision and its answer are logged, nobody was told
  before_decided,   // another server was told
  after_decided,    // and has logged it
};
inline constexpr std::uint32_t moments = 6;

// All of them, by name: "rename_file.after_prepared".
std::vector<std::string> fault_points();

// Reads BENCHFS_FAULT.
void arm_fault_points();
// For tests in one process: `act` is called at every point.
void arm_fault_points(std::function<void(wire::TransactionKind, Moment)> act);

extern bool fault_points_armed;
void reached(wire::TransactionKind kind, Moment moment);
Task<int> reached_later(EventLoop& loop, wire::TransactionKind kind, Moment moment);

inline void reach(wire::TransactionKind kind, Moment moment) {
  if (fault_points_armed) reached(kind, moment);
}
// From the top of the loop, when what was changed before is logged.
inline void reach_later(EventLoop& loop, wire::TransactionKind kind, Moment moment) {
  if (fault_points_armed) loop.spawn(reached_later(loop, kind, moment));
}

}  // namespace benchfs
