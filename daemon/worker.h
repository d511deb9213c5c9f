// The worker: serves one rank. A child of the supervisor, run as `benchfsd_mpi --worker <fd>`.
#pragma once

#include "common/fd.h"

namespace benchfs {

// Runs until the supervisor says stop or is gone; `control` is its end of the control channel
// (daemon/supervisor/control.h). Returns the process's exit code.
int run_worker(Fd control);

}  // namespace benchfs
