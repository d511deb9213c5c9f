#include "daemon/supervisor/bootstrap.h"

#include <cstring>
#include <initializer_list>
#include <string_view>

#include "common/placement.h"
#include "common/text.h"
#include "daemon/supervisor/file_rendezvous.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

// Slurm numbers its batch, interactive and extern steps from here on; none is a parallel step.
constexpr std::uint32_t slurm_special_steps = 0xfffffff0;

StartFailure not_given(Bootstrap kind, const std::string& variables, const std::string& cure) {
  return StartFailure(exit_code::configuration, std::string("node.bootstrap=") + name_of(kind) +
                                                    ", but " + variables +
                                                    " are not in the environment: " + cure);
}

std::optional<std::uint32_t> first_number(const Environment& environment,
                                          std::initializer_list<const char*> names) {
  for (const char* const name : names)
    if (const auto value = environment.number(name)) return value;
  return std::nullopt;
}

// Equal in all ranks of a start and, as far as the launcher allows, in no other.
std::uint64_t hash_of(const Environment& environment, std::initializer_list<const char*> names) {
  std::string token;
  bool any = false;
  for (const char* const name : names) {
    const auto value = environment.text(name);
    any = any || value;
    token += value.value_or("");
    token += '\n';
  }
  return any ? hash_bytes(token) : 0;
}

bool in_slurm_step(const Environment& environment) {
  const auto step = first_number(environment, {"SLURM_STEP_ID", "SLURM_STEPID"});
  return step && *step < slurm_special_steps && environment.number("SLURM_PROCID");
}

bool in_pmix(const Environment& environment) {
  return environment.has("PMIX_NAMESPACE") && environment.number("PMIX_RANK");
}

constexpr auto mpi_ranks = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"};
constexpr auto mpi_sizes = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"};

// mpirun's, then srun's: of the step, so that a step smaller than its job counts right.
constexpr auto pmix_sizes = {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"};

Bootstrap choose(const Environment& environment) {
  if (in_pmix(environment)) return Bootstrap::pmix;
  if (first_number(environment, mpi_ranks)) return Bootstrap::mpi;
  if (in_slurm_step(environment)) return Bootstrap::slurm;
  return Bootstrap::single;
}

}  // namespace

std::optional<std::string> Environment::text(const char* name) const {
  const std::size_t length = std::strlen(name);
  for (char** variable = variables_; variable != nullptr && *variable != nullptr; ++variable)
    if (std::strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
      return std::string(*variable + length + 1);
  return std::nullopt;
}

std::optional<std::uint32_t> Environment::number(const char* name) const {
  const auto value = text(name);
  return value ? parse_number<std::uint32_t>(*value) : std::nullopt;
}

const char* name_of(Bootstrap kind) {
  switch (kind) {
    case Bootstrap::automatic:
      return "auto";
    case Bootstrap::pmix:
      return "pmix";
    case Bootstrap::mpi:
      return "mpi";
    case Bootstrap::slurm:
      return "slurm";
    case Bootstrap::single:
      return "single";
  }
  return "?";
}

bool is_first_on_host(const Environment& environment) {
  return first_number(environment,
                      {"OMPI_COMM_WORLD_LOCAL_RANK", "PMIX_LOCAL_RANK", "SLURM_LOCALID",
                       "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK"})
             .value_or(0) == 0;
}

Place find_place(Bootstrap wanted, const Environment& environment) {
  Place place;
  place.kind = wanted == Bootstrap::automatic ? choose(environment) : wanted;
  place.under_mpirun = environment.has("OMPI_COMM_WORLD_RANK");
  switch (place.kind) {
    case Bootstrap::pmix:
      if (!in_pmix(environment))
        throw not_given(place.kind, "PMIX_NAMESPACE and PMIX_RANK",
                        "start with mpirun or srun --mpi=pmix, or set node.bootstrap=auto");
      place.rank = *environment.number("PMIX_RANK");
      // PMIx itself says it later; the records written before want it too.
      place.size = first_number(environment, pmix_sizes).value_or(0);
      // The namespace is a number that mpirun uses again; the transports key is random.
      place.launch_id =
          hash_of(environment, {"PMIX_NAMESPACE", "OMPI_MCA_orte_precondition_transports",
                                "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT"});
      break;
    case Bootstrap::mpi:
      place.rank = first_number(environment, mpi_ranks).value_or(0);
      place.size = first_number(environment, mpi_sizes).value_or(0);
      place.launch_id = hash_of(environment, {"OMPI_MCA_orte_precondition_transports",
                                              "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"});
      break;
    case Bootstrap::slurm: {
      const auto rank = environment.number("SLURM_PROCID");
      const auto size = first_number(environment, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
      if (!rank || !size || !in_slurm_step(environment))
        throw not_given(place.kind, "SLURM_PROCID, SLURM_NTASKS and SLURM_STEP_ID of a step",
                        "start with srun, or set node.bootstrap=auto");
      place.rank = *rank;
      place.size = *size;
      place.launch_id =
          hash_of(environment, {"SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_RESTART_COUNT",
                                "SLURM_STEP_ID", "SLURM_STEPID", "SLURM_SRUN_COMM_PORT"});
      break;
    }
    case Bootstrap::single:
    case Bootstrap::automatic:
      place.size = 1;
      break;
  }
  if (place.rank >= ranks_max || place.size > ranks_max ||
      (place.size != 0 && place.rank >= place.size))
    throw StartFailure(exit_code::configuration,
                       "Rank " + std::to_string(place.rank) + " of " + std::to_string(place.size) +
                           ", as the environment says, cannot be: start all ranks by one mpirun "
                           "or srun, or set node.bootstrap");
  if (place.kind != Bootstrap::single) place.first_on_host = is_first_on_host(environment);
  return place;
}

std::unique_ptr<Rendezvous> make_rendezvous(const Place& place, Registry& registry,
                                            const Environment& environment) {
  switch (place.kind) {
    case Bootstrap::pmix:
      return make_pmix_rendezvous(place, registry);
    case Bootstrap::mpi:
      return make_mpi_rendezvous(place, registry);
    case Bootstrap::slurm:
      return make_slurm_rendezvous(place, registry, environment);
    case Bootstrap::single:
    case Bootstrap::automatic:
      break;
  }
  return make_single_rendezvous(registry);
}

}  // namespace benchfs
