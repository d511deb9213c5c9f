// benchfs stop: ends an instance, and waits for its end.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "cli/bounded.h"
#include "cli/child.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/instance.h"
#include "client-preload/fs/file_system.h"
#include "common/fd.h"
#include "common/process.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t order_patience_ns = 10'000 * ms;
constexpr std::int64_t end_patience_ns = 10'000 * ms;

// Ranks of other hosts take their records out of the registry, and nobody tells us when.
std::string wait_for_records(const StopOptions& options, std::int64_t deadline_ns) {
  for (;;) {
    const Instance instance = read_instance(options.registry, exit_code::no_answer);
    std::string left;
    for (std::size_t rank = 0; rank < instance.ranks.size(); ++rank)
      if (const auto& record = instance.ranks[rank])
        left += (left.empty() ? "rank " : ", rank ") + std::to_string(rank) + " on " +
                record->host_name;
    if (left.empty() || sys::now_ns() >= deadline_ns) return left;
    const timespec pause{.tv_sec = 0, .tv_nsec = 20 * ms};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int stop(const StopOptions& options) {
  const Instance instance = read_instance(options.registry, exit_code::no_answer);
  const NodeRecord& server = reachable_here(instance, exit_code::no_answer);
  std::vector<Fd> supervisors;
  for (const auto& record : instance.ranks) {
    if (!record || !instance.lives(*record)) continue;
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_of(record->supervisor), 0)));
    if (pidfd) supervisors.push_back(std::move(pidfd));
  }

  const auto order = [&]() -> Result<std::vector<std::byte>> {
    const auto files =
        FileSystem::make({.mount_point = server.mount_point, .local_dir = server.data_dir});
    TRY_OK(files->stop_servers());
    return std::vector<std::byte>();
  };
  const auto told = run_bounded(order, sys::now_ns() + order_patience_ns);
  if (!told.ok())
    throw Failure(exit_code::no_answer, "The servers of " + instance.registry +
                                            " cannot be told to stop: " + describe(told.error()) +
                                            ": end their mpirun or srun");
  const std::int64_t deadline_ns = sys::now_ns() + end_patience_ns;
  for (const Fd& supervisor : supervisors) wait_readable(supervisor.get(), deadline_ns);
  if (const std::string left = wait_for_records(options, deadline_ns); !left.empty())
    throw Failure(exit_code::no_answer, "Servers were told to stop and are still there: " + left +
                                            ": end their mpirun or srun");
  return 0;
}

}  // namespace benchfs::cli
