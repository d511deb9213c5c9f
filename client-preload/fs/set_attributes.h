// The requests that change an inode's mode, owner or times, by path or by number.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>

#include "client-preload/fs/file_system.h"
#include "common/result.h"
#include "common/wire.h"

namespace benchfs {

struct Core;

wire::SetAttributes mode_request(mode_t mode);
// -1: leave.
wire::SetAttributes owner_request(uid_t uid, gid_t gid);
// Null: both now. EINVAL: nanoseconds out of range.
Result<wire::SetAttributes> times_request(const struct timespec* times);

Status set_attributes(Core& core, std::uint64_t inode, const wire::SetAttributes& request);
Status set_attributes(Core& core, const Path& path, bool follow,
                      const wire::SetAttributes& request);

}  // namespace benchfs
