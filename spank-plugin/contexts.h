// What BenchFS does in each kind of Slurm process that loads the plugin. One file per kind:
// submit.cc (srun, sbatch, salloc), step.cc (slurmstepd), job_script.cc (prolog and epilog).
//
// All return what Slurm is to be told: `go_on` or `refuse`. Not ESPANK_ERROR: it is positive, and
// Slurm takes only negative values for failures.
#pragma once

#include <optional>

extern "C" {
#include <slurm/spank.h>
}

#include "spank-plugin/options.h"

namespace benchfs::spank {

inline constexpr int go_on = 0;
inline constexpr int refuse = -1;

// srun, sbatch, salloc, as the user: before anything is submitted.
int check_submission(const Settings& settings, Choice choice);
// srun, as the user: the step exists and nothing of it runs yet.
int before_launch(spank_t spank, const Settings& settings, Choice choice);

// slurmstepd, root, in the child that becomes a task.
int before_task_as_root(spank_t spank, const Settings& settings);
// The same child, which has become the user, just before it executes the task.
int before_task(spank_t spank, const Settings& settings, Choice choice);
// slurmstepd, root, after a task has ended and before its step is cleaned up.
int after_task(spank_t spank, const Settings& settings);

// As root, outside of the job's control group, once per node. Whatever happens these go on: Slurm
// drains a node whose prolog or epilog fails.
int before_job(spank_t spank, const Settings& settings, bool enabled);
int after_job(spank_t spank, const Settings& settings, bool enabled);

// Starts or joins the servers of the job and tells the user if that fails. `environment` is the
// user's.
int provide_servers(const Settings& settings, std::uint32_t job_id, const char* const* environment);

// The mount point the job's settings give, or nothing after telling the user what is wrong with
// them.
std::optional<std::string> find_mount_point(const Settings& settings, char** environment);

}  // namespace benchfs::spank
