#include "daemon/supervisor/bootstrap.h"

#include <gtest/gtest.h>

#include "daemon/supervisor/file_rendezvous.h"
#include "registry/start_failure.h"
#include "tests/unit/registry/scratch.h"

namespace benchfs {
namespace {

// An environment that is nothing but what the test says.
class Variables {
 public:
  Variables(std::initializer_list<const char*> variables) {
    for (const char* const variable : variables) pointers_.push_back(const_cast<char*>(variable));
    pointers_.push_back(nullptr);
  }
  Environment environment() { return Environment(pointers_.data()); }

 private:
  std::vector<char*> pointers_;
};

Place place_in(std::initializer_list<const char*> variables,
               Bootstrap wanted = Bootstrap::automatic) {
  Variables all(variables);
  return find_place(wanted, all.environment());
}

int code_in(std::initializer_list<const char*> variables, Bootstrap wanted) {
  try {
    place_in(variables, wanted);
  } catch (const StartFailure& failure) {
    return failure.code();
  }
  return 0;
}

TEST(Environment, KnowsNamesAsAWhole) {
  Variables variables{"RANKS=7", "RANK=3", "EMPTY=", "WORD=x", "NEGATIVE=-1"};
  const Environment environment = variables.environment();
  EXPECT_EQ(environment.number("RANK"), 3U);
  EXPECT_EQ(environment.text("EMPTY"), "");
  EXPECT_FALSE(environment.has("RAN"));
  EXPECT_FALSE(environment.number("WORD"));
  EXPECT_FALSE(environment.number("NEGATIVE"));
  EXPECT_FALSE(environment.number("EMPTY"));
}

TEST(FindPlace, IsSingleWithoutALauncher) {
  const Place place = place_in({"PATH=/bin"});
  EXPECT_EQ(place.kind, Bootstrap::single);
  EXPECT_EQ(place.rank, 0U);
  EXPECT_EQ(place.size, 1U);
  EXPECT_TRUE(place.first_on_host);
  EXPECT_FALSE(place.under_mpirun);
}

TEST(FindPlace, TakesPmixWhereItIs) {
  const Place place = place_in({"PMIX_NAMESPACE=77", "PMIX_RANK=3", "OMPI_COMM_WORLD_RANK=3",
                                "OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_LOCAL_RANK=1"});
  EXPECT_EQ(place.kind, Bootstrap::pmix);
  EXPECT_EQ(place.rank, 3U);
  EXPECT_EQ(place.size, 4U);
  EXPECT_FALSE(place.first_on_host);
  EXPECT_TRUE(place.under_mpirun);
  EXPECT_NE(place.launch_id, 0U);
}

TEST(FindPlace, TakesPmixUnderSrun) {
  const Place place = place_in({"PMIX_NAMESPACE=slurm.pmix.7.0", "PMIX_RANK=0", "SLURM_PROCID=0",
                                "SLURM_NTASKS=4", "SLURM_STEP_ID=0", "SLURM_LOCALID=0"});
  EXPECT_EQ(place.kind, Bootstrap::pmix);
  EXPECT_EQ(place.size, 4U);
  EXPECT_FALSE(place.under_mpirun);
}

TEST(FindPlace, TakesMpiWithoutPmix) {
  EXPECT_EQ(place_in({"OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2"}).kind, Bootstrap::mpi);
  const Place place = place_in({"PMI_RANK=1", "PMI_SIZE=2"});
  EXPECT_EQ(place.kind, Bootstrap::mpi);
  EXPECT_EQ(place.rank, 1U);
  EXPECT_EQ(place.size, 2U);
  EXPECT_FALSE(place.under_mpirun);
}

TEST(FindPlace, TakesSlurmsEnvironmentInAStep) {
  const Place place = place_in({"SLURM_PROCID=2", "SLURM_NTASKS=4", "SLURM_JOB_ID=77",
                                "SLURM_STEP_ID=0", "SLURM_LOCALID=1"});
  EXPECT_EQ(place.kind, Bootstrap::slurm);
  EXPECT_EQ(place.rank, 2U);
  EXPECT_EQ(place.size, 4U);
  EXPECT_FALSE(place.first_on_host);
}

// In a batch script SLURM_PROCID and SLURM_NTASKS are those of the job, and nobody else will come.
TEST(FindPlace, DoesNotTakeABatchScriptForAStep) {
  EXPECT_EQ(place_in({"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=77"}).kind,
            Bootstrap::single);
  EXPECT_EQ(
      place_in({"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=77", "SLURM_STEP_ID=4294967291"})
          .kind,
      Bootstrap::single);
}

TEST(FindPlace, IsForcedBySetting) {
  const std::initializer_list<const char*> under_mpirun = {
      "PMIX_NAMESPACE=77", "PMIX_RANK=3", "OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4"};
  EXPECT_EQ(place_in(under_mpirun, Bootstrap::mpi).kind, Bootstrap::mpi);
  EXPECT_EQ(place_in(under_mpirun, Bootstrap::single).size, 1U);
  EXPECT_EQ(place_in({}, Bootstrap::mpi).kind, Bootstrap::mpi);
}

TEST(FindPlace, RefusesWhatTheEnvironmentDoesNotHave) {
  EXPECT_EQ(code_in({}, Bootstrap::pmix), exit_code::configuration);
  EXPECT_EQ(code_in({"SLURM_JOB_ID=7"}, Bootstrap::slurm), exit_code::configuration);
}

TEST(FindPlace, RefusesARankBeyondTheSize) {
  EXPECT_EQ(code_in({"PMI_RANK=2", "PMI_SIZE=2"}, Bootstrap::automatic), exit_code::configuration);
  EXPECT_EQ(code_in({"PMIX_NAMESPACE=7", "PMIX_RANK=4294967294"}, Bootstrap::automatic),
            exit_code::configuration);
}

TEST(FindPlace, TellsStartsApart) {
  const auto launch = [](const char* job, const char* step, const char* restart) {
    return place_in({"SLURM_PROCID=0", "SLURM_NTASKS=1", job, step, restart}).launch_id;
  };
  const std::uint64_t one = launch("SLURM_JOB_ID=7", "SLURM_STEP_ID=0", "SLURM_RESTART_COUNT=0");
  EXPECT_EQ(one, launch("SLURM_JOB_ID=7", "SLURM_STEP_ID=0", "SLURM_RESTART_COUNT=0"));
  EXPECT_NE(one, launch("SLURM_JOB_ID=8", "SLURM_STEP_ID=0", "SLURM_RESTART_COUNT=0"));
  EXPECT_NE(one, launch("SLURM_JOB_ID=7", "SLURM_STEP_ID=1", "SLURM_RESTART_COUNT=0"));
  EXPECT_NE(one, launch("SLURM_JOB_ID=7", "SLURM_STEP_ID=0", "SLURM_RESTART_COUNT=1"));
}

using Names = std::vector<std::string>;

TEST(ExpandNodes, ReadsSlurmsLists) {
  EXPECT_EQ(expand_nodes("bn1"), Names({"bn1"}));
  EXPECT_EQ(expand_nodes("bn1,ctl"), Names({"bn1", "ctl"}));
  EXPECT_EQ(expand_nodes("bn[1-3,7],x"), Names({"bn1", "bn2", "bn3", "bn7", "x"}));
  EXPECT_EQ(expand_nodes("r[08-10]-ib"), Names({"r08-ib", "r09-ib", "r10-ib"}));
  for (const char* const bad :
       {"", ",", "bn[", "bn[]", "bn[2-1]", "bn[x]", "bn[1-]", "a[1]b[2]", "bn[0-4294967295]"})
    EXPECT_FALSE(expand_nodes(bad) && !expand_nodes(bad)->empty()) << bad;
}

TEST(ExpandCounts, ReadsSlurmsLists) {
  EXPECT_EQ(expand_counts("2"), std::vector<std::uint32_t>({2}));
  EXPECT_EQ(expand_counts("2(x3),1"), std::vector<std::uint32_t>({2, 2, 2, 1}));
  for (const char* const bad : {"", "x", "2(x", "2(x)", "2(xx)", "(x2)", "2(x4294967295)", "-1"})
    EXPECT_FALSE(expand_counts(bad)) << bad;
}

TEST(SlurmRendezvous, KnowsWhereRanksAre) {
  const Scratch scratch;
  Registry registry(scratch.path());
  const auto host = [&](const char* distribution, std::uint32_t rank) {
    Variables all{"SLURM_STEP_NODELIST=bn[1-2]", "SLURM_STEP_TASKS_PER_NODE=2(x2)", distribution};
    Place place;
    place.size = 4;
    return make_slurm_rendezvous(place, registry, all.environment())->host_of(rank);
  };
  EXPECT_EQ(host("SLURM_DISTRIBUTION=block", 1), "bn1");
  EXPECT_EQ(host("SLURM_DISTRIBUTION=block:cyclic", 2), "bn2");
  EXPECT_EQ(host("SLURM_DISTRIBUTION=cyclic", 1), "bn2");
  EXPECT_EQ(host("SLURM_DISTRIBUTION=cyclic", 2), "bn1");
  EXPECT_EQ(host("SLURM_DISTRIBUTION=plane", 1), "");
  EXPECT_EQ(host("SLURM_DISTRIBUTION=block", 4), "");
}

}  // namespace
}  // namespace benchfs
