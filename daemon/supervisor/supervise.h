// The supervisor: what mpirun or srun starts, one per rank. It finds the other ranks, runs the
// worker, keeps what must outlive it, and ends both in good order.
#pragma once

namespace benchfs {

// The whole program but for `--worker`. Returns the exit code (benchfsd_mpi(8)).
int run_supervisor(int argc, char** argv);

}  // namespace benchfs
