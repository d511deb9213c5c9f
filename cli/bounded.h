// Work that may hang, done by a process of its own that is killed at a deadline: a suspended server
// is waited for without end by whoever uses the file system, but not by who administers it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "common/result.h"

namespace benchfs::cli {

// What `work` returned in the other process. ETIMEDOUT: it did not return until `deadline_ns`
// (CLOCK_MONOTONIC). EIO: it crashed.
Result<std::vector<std::byte>> run_bounded(
    const std::function<Result<std::vector<std::byte>>()>& work, std::int64_t deadline_ns);

}  // namespace benchfs::cli
