// One reading of all ranks for `benchfs fsck`, whatever carries the questions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/consistency.h"
#include "common/result.h"
#include "common/wire.h"

namespace benchfs::cli {

// Body of the answer of `rank` to a request with this body.
using AskRank = std::function<Result<std::vector<std::byte>>(std::uint32_t rank, wire::Op op,
                                                             std::span<const std::byte> body)>;

struct CheckReport {
  bool quiet = false;  // nothing changed meanwhile, and what is wrong was so twice
  std::vector<Damage> damage;
  Checked checked;
};

// Reads until it has seen one state of the whole, at most three times; a damage counts when it is
// seen by two readings in a row. Waits for what is under way for up to two seconds before each.
// An error is that of a rank that does not answer, and `rank` says which.
Result<CheckReport> check_all(const AskRank& ask, std::uint32_t ranks, std::uint32_t& rank);

}  // namespace benchfs::cli
