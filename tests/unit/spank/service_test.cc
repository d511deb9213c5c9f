#include "spank-plugin/service.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace benchfs::spank {
namespace {

Settings settings() {
  Settings result;
  result.server = "/bin/benchfsd_mpi";
  result.registry = "/shared";
  return result;
}
const Job job{.id = 5, .restarts = 1, .uid = 1000, .nodes = 4};

Exists only(const std::string& path) {
  return [path](const std::string& asked) { return asked == path; };
}

bool has(const std::vector<std::string>& command, const std::string& word) {
  return std::find(command.begin(), command.end(), word) != command.end();
}

TEST(ServiceCommand, StartsOneServerOnEachNodeBesideTheApplication) {
  const auto command = service_command(settings(), job, {.srun = "/usr/bin/srun", .mpi = "pmix"});
  EXPECT_EQ(command.front(), "/usr/bin/srun");
  for (const char* word : {"--jobid=5", "--nodes=4", "--ntasks=4", "--ntasks-per-node=1",
                           "--overlap", "--mpi=pmix", "--kill-on-bad-exit=0", "--no-kill",
                           "--wait=0", "--input=none", "--output=/shared/1000/5.1/server.%t.log"})
    EXPECT_TRUE(has(command, word)) << word;
  EXPECT_FALSE(has(command, "--cpu-bind=none"));
}

TEST(ServiceCommand, EndsWithTheServerAndItsArguments) {
  auto command = service_command(settings(), job, {});
  ASSERT_GE(command.size(), 2u);
  EXPECT_EQ(command[command.size() - 2], "/bin/benchfsd_mpi");
  EXPECT_EQ(command.back(), "/shared/1000/5.1");

  Settings configured = settings();
  configured.config = "/etc/benchfs.conf";
  command =
      service_command(configured, job, {.srun = "srun", .mpi = "none", .binds_to_cpus = true});
  EXPECT_EQ(command[command.size() - 3], "/bin/benchfsd_mpi");
  EXPECT_EQ(command.back(), "/etc/benchfs.conf");
  EXPECT_TRUE(has(command, "--cpu-bind=none"));
}

TEST(Mpi, IsPmixWhereSlurmHasIt) {
  const Exists nothing = only("");
  EXPECT_EQ(choose_mpi(settings(), "pmix_v4", "", nothing), "pmix_v4");
  EXPECT_EQ(choose_mpi(settings(), "none", "/a:/b", only("/b/mpi_pmix.so")), "pmix");
  EXPECT_EQ(choose_mpi(settings(), "pmi2", "/a:/b:", only("/c/mpi_pmix.so")), "none");
  Settings set = settings();
  set.mpi = "none";
  EXPECT_EQ(choose_mpi(set, "pmix", "/a", only("/a/mpi_pmix.so")), "none");
}

TEST(Srun, IsTheOneThatBelongsToUs) {
  EXPECT_EQ(choose_srun(settings(), "/opt/slurm/bin/srun", only("")), "/opt/slurm/bin/srun");
  EXPECT_EQ(choose_srun(settings(), "/opt/slurm/sbin/slurmstepd", only("/opt/slurm/bin/srun")),
            "/opt/slurm/bin/srun");
  EXPECT_EQ(choose_srun(settings(), "/usr/sbin/slurmstepd", only("")), "/usr/bin/srun");
  EXPECT_EQ(choose_srun(settings(), "", only("")), "/usr/bin/srun");
  Settings set = settings();
  set.srun = "/x/srun";
  EXPECT_EQ(choose_srun(set, "/opt/slurm/bin/srun", only("")), "/x/srun");
}

TEST(EndedServer, IsFoundAmongSrunsMessages) {
  const auto ended = find_ended_server(
      "srun: Job 5 step creation temporarily disabled, retrying\n"
      "srun: error: node3: task 2: Segmentation fault\n"
      "srun: error: node4: task 3: Killed\n");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->task, 2u);
  EXPECT_EQ(ended->what, "node3: task 2: Segmentation fault");

  const auto several =
      find_ended_server("srun: error: n[1-2]: tasks 1,3-4: Exited with exit code 7\n");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->task, 1u);
}

TEST(EndedServer, IsNotFoundInAnythingElse) {
  for (const char* log :
       {"", "\n", "srun: error: node3: task 2: Segm", "srun: error: Unable to create step: task \n",
        "srun: error: x: task 99999999999: y\n", "srun: error: x: task 2\n", "task 1: Killed\n"})
    EXPECT_FALSE(find_ended_server(log)) << log;
}

TEST(OwnMessage, IsFoundBeforeItsConsequences) {
  EXPECT_EQ(find_own_message("slurmstepd-n1: error: benchfs: n1: /x is full\n"
                             "slurmstepd-n1: error: spank: required plugin failed\n"),
            "n1: /x is full");
  EXPECT_EQ(find_own_message("slurmstepd-n1: error: other\n"), "");
}

TEST(LastLine, IsOnePrintableLine) {
  EXPECT_EQ(last_line(""), "");
  EXPECT_EQ(last_line("\n \n"), "");
  EXPECT_EQ(last_line("a\nb\n\n"), "b");
  EXPECT_EQ(last_line("a\033[1mb\r\n"), "a [1mb");
  EXPECT_EQ(last_line(std::string(2000, 'x')).size(), 500u);
}

}  // namespace
}  // namespace benchfs::spank
