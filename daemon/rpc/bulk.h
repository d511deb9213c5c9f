// What travels beside a request: chunk data, values and lists of extended attributes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/result.h"
#include "common/wire.h"

namespace benchfs {

struct Bulk {
  std::uint32_t buffer = 0;  // of the transfer pool of the client's host
  std::uint32_t bytes = 0;
  bool sent = true;  // with the request; else the answer brings it
};

// No bytes for operations without. EINVAL: more than a buffer holds. EBADMSG: no such request.
Result<Bulk> bulk_of(wire::Op op, std::span<const std::byte> body);

}  // namespace benchfs
