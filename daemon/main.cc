// benchfsd_mpi: the supervisor of one rank or, started by a supervisor, its worker.
#include <cstring>

#include "common/text.h"
#include "daemon/supervisor/supervise.h"
#include "daemon/worker.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--worker") == 0)
    if (const auto control = benchfs::parse_number<std::uint32_t>(argv[2]))
      return benchfs::run_worker(benchfs::Fd(static_cast<int>(*control)));
  return benchfs::run_supervisor(argc, argv);
}
