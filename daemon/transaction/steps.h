// What a server does with the steps of a change that are its own: look whether they can be done,
// then do them all in one stretch, or none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/transaction/transaction.h"

namespace benchfs {

class Server;

// EAGAIN: the name of steps[step] holds `found`, which is not what was expected.
struct Objection {
  int error = 0;
  std::size_t step = 0;
  Entry found{};
};

// Takes the locks one after the other; `taken` has them then. A negative errno: none is kept.
// Impatient: -somebody_waits rather than to wait for who has one of them, or waits for it.
enum class Patience : std::uint8_t { patient, impatient };
inline constexpr int somebody_waits = EINPROGRESS;  // no client gets it
Task<int> lock_all(Server& server, std::vector<LockKey> keys, std::vector<LockKey>* taken,
                   Patience patience = Patience::patient);
void unlock_all(Server& server, std::vector<LockKey>& taken);

// Whether a caller with `uid` may do those of `steps` that are for this rank, and can.
std::optional<Objection> object(Server& server, std::span<const Step> steps, std::uint32_t uid);

// Between the agreement and the decision no inode that gets or loses a name is erased, and new
// directories exist, as yet without a name: their numbers are put into the steps.
Status hold(Server& server, std::span<Step> steps);
// Does the steps, at `time`. Nothing is held any more.
void apply(Server& server, std::span<const Step> steps, std::int64_t time);
// The opposite of hold().
void let_go(Server& server, std::span<const Step> steps);

// Of the inode that the steps make, or give or take a name; zeros if there is none.
wire::Attributes concerned(const Server& server, std::span<const Step> steps);

}  // namespace benchfs
