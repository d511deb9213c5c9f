// UCX status to errno: the one place where UCX's vocabulary ends.
#pragma once

#include <ucp/api/ucp.h>

#include <cerrno>

#include "common/result.h"

namespace benchfs::peer {

// The log line where the failure is first seen names the status itself; applications only need an
// errno that read(2) and friends may return.
inline int errno_of(ucs_status_t status) {
  switch (status) {
    case UCS_OK:
      return 0;
    case UCS_ERR_NO_MEMORY:
      return ENOMEM;
    case UCS_ERR_TIMED_OUT:
      return ETIMEDOUT;
    case UCS_ERR_CANCELED:
      return ECANCELED;
    default:
      return EIO;
  }
}

inline Error error_of(ucs_status_t status) { return Error(errno_of(status)); }

}  // namespace benchfs::peer
