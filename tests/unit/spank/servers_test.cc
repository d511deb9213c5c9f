// The servers' start, with a small script in the place of srun.
#include "spank-plugin/servers.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>
#include <vector>

#include "common/process.h"
#include "common/sys.h"
#include "tests/unit/spank/temporary_directory.h"

namespace benchfs::spank {
namespace {

namespace fs = std::filesystem;

class Servers : public testing::Test {
 protected:
  Servers() {
    settings_.registry = root_ / "registry";
    settings_.server = "/no/server";
    settings_.timeout_s = 20;
    fs::create_directory(settings_.registry);
    job_ = {.id = 5, .restarts = 0, .uid = ::geteuid(), .nodes = 2};
  }
  ~Servers() override {
    // What a test left running ends when it finds this file.
    root_.write("end", "");
    for (const pid_t pid : service_pids()) await_end(pid);
  }

  // `script` runs in the place of srun; $registry is its job's registry directory. It may call
  // `ready`, `give_up WHY` and `serve`; as the servers do, it renames its files into place.
  void service(const std::string& script) {
    const std::string path = root_ / "srun";
    std::ofstream(path) << "#!/bin/bash\n"
                        << "registry=" << registry() << " root=" << root_.path() << "\n"
                        << "echo $$ >> $root/pids\n"
                        << "ready() { : > $registry/.new; mv $registry/.new $registry/ready; }\n"
                        << "give_up() { echo \"$1\" > $registry/.new;"
                        << " mv $registry/.new $registry/failed; }\n"
                        << "serve() { until [ -e $root/end ]; do sleep 0.02; done; }\n"
                        << script << "\n";
    fs::permissions(path, fs::perms(0700));
  }

  std::string registry() const { return job_registry(settings_, job_); }

  Request request() const {
    return {.settings = settings_, .job = job_, .environment = environment_, .facts = [this] {
              return SlurmFacts{.srun = root_ / "srun", .mpi = "none"};
            }};
  }
  Outcome ensure() const { return ensure_servers(request()); }

  std::vector<pid_t> service_pids() const {
    std::ifstream file(root_ / "pids");
    std::vector<pid_t> pids;
    for (pid_t pid = 0; file >> pid;) pids.push_back(pid);
    return pids;
  }
  static bool await_end(pid_t pid) {
    for (int tries = 0; tries < 500 && is_alive(process_id(pid)); ++tries) ::usleep(10000);
    return !is_alive(process_id(pid));
  }

  TemporaryDirectory root_;
  Settings settings_;
  Job job_;
  const char* const environment_[2] = {"PATH=/usr/bin:/bin", nullptr};
};

TEST_F(Servers, AreStartedOnceAndJoinedAfter) {
  service("ready; serve");
  const Outcome first = ensure();
  EXPECT_TRUE(first.ready) << first.problem;
  EXPECT_TRUE(first.started_here);
  const Outcome second = ensure();
  EXPECT_TRUE(second.ready);
  EXPECT_FALSE(second.started_here);
  EXPECT_EQ(service_pids().size(), 1u);
  EXPECT_FALSE(fs::exists(fs::symlink_status(registry() + "/starter")));
}

TEST_F(Servers, AreNobodysChildrenAndHaveASessionOfTheirOwn) {
  service("ready; serve");
  ASSERT_TRUE(ensure().ready);
  const pid_t pid = service_pids().at(0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  EXPECT_NE(::getsid(pid), ::getsid(0));
}

TEST_F(Servers, GetNoSignalMaskAndNoDescriptorOfTheirStarter) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int kept = ::dup(2);
  service(
      "ls -l /proc/self/fd > $root/fds; grep SigBlk /proc/self/status > $root/mask; ready; serve");
  const bool ready = ensure().ready;
  ::close(kept);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(ready);
  std::ifstream mask_file(root_ / "mask");
  std::string name;
  std::string mask;
  mask_file >> name >> mask;
  EXPECT_EQ(mask.find_first_not_of('0'), std::string::npos) << mask;
  std::ifstream descriptors(root_ / "fds");
  std::vector<std::string> open;
  for (std::string line; std::getline(descriptors, line);)
    if (line.find(" -> ") != line.npos) open.push_back(line);
  EXPECT_EQ(open.size(), 4u);  // three, and that of ls itself
}

TEST_F(Servers, AreStartedOnceByMany) {
  service("sleep 0.3; ready; serve");
  std::vector<std::future<Outcome>> outcomes;
  for (int i = 0; i < 8; ++i)
    outcomes.push_back(std::async(std::launch::async, [this] { return ensure(); }));
  int starters = 0;
  for (auto& outcome : outcomes) {
    const Outcome result = outcome.get();
    EXPECT_TRUE(result.ready) << result.problem;
    starters += result.started_here ? 1 : 0;
  }
  EXPECT_EQ(starters, 1);
  EXPECT_EQ(service_pids().size(), 1u);
}

TEST_F(Servers, OfAnEarlierRunAreNotThoseOfThisOne) {
  service("ready; serve");
  ASSERT_TRUE(ensure().ready);
  job_.restarts = 1;
  service("ready; serve");
  EXPECT_TRUE(ensure().started_here);
}

TEST_F(Servers, SayThemselvesWhyTheyDidNotStart) {
  service("give_up 'rank 1 on node2: the data directory is full'; serve");
  const Outcome outcome = ensure();
  EXPECT_FALSE(outcome.ready);
  EXPECT_EQ(outcome.problem,
            "the servers of this job did not start: rank 1 on node2: the data directory is full");
  EXPECT_TRUE(outcome.details.empty());
  EXPECT_TRUE(await_end(service_pids().at(0)));
}

TEST_F(Servers, ThatCrashAreNamedWithTheirLastWords) {
  service(
      "echo 'what the server wrote' > $registry/server.1.log\n"
      "echo 'srun: error: node2: task 1: Segmentation fault' >&2; serve");
  const Outcome outcome = ensure();
  EXPECT_FALSE(outcome.ready);
  EXPECT_NE(outcome.problem.find("node2: task 1: Segmentation fault"), std::string::npos);
  ASSERT_EQ(outcome.details.size(), 1u);
  EXPECT_EQ(outcome.details[0], "what the server wrote");
  EXPECT_LT(outcome.seconds, 10);
  EXPECT_TRUE(await_end(service_pids().at(0)));
}

TEST_F(Servers, WhoseStepEndsEarlyAreReported) {
  service("echo 'srun: error: Unable to create step' >&2; exit 3");
  const Outcome outcome = ensure();
  EXPECT_FALSE(outcome.ready);
  EXPECT_NE(outcome.problem.find("exit code 3"), std::string::npos) << outcome.problem;
  ASSERT_EQ(outcome.details.size(), 1u);
  EXPECT_EQ(outcome.details[0], "srun: error: Unable to create step");
}

TEST_F(Servers, CannotBeStartedWithoutSrun) {
  const Outcome outcome = ensure();
  EXPECT_FALSE(outcome.ready);
  EXPECT_NE(outcome.problem.find(root_ / "srun"), std::string::npos) << outcome.problem;
}

TEST_F(Servers, ThatAreNeverReadyRunIntoTheTimeout) {
  settings_.timeout_s = 1;
  service("serve");
  const Outcome outcome = ensure();
  EXPECT_FALSE(outcome.ready);
  EXPECT_NE(outcome.problem.find("not ready after 1 s"), std::string::npos) << outcome.problem;
  EXPECT_TRUE(await_end(service_pids().at(0)));
}

TEST_F(Servers, ThatFailedOnceAreStartedAgainByTheNext) {
  service("give_up 'no luck'; : > $registry/node_0.addr; exit 5");
  ASSERT_FALSE(ensure().ready);
  service("[ ! -e $registry/failed ] && [ ! -e $registry/node_0.addr ] && ready; serve");
  const Outcome outcome = ensure();
  EXPECT_TRUE(outcome.ready) << outcome.problem;
  EXPECT_TRUE(outcome.started_here);
}

TEST_F(Servers, ThatFailAreReportedByThoseWhoWaited) {
  service("sleep 0.5; give_up 'no luck'; serve");
  auto first = std::async(std::launch::async, [this] { return ensure(); });
  while (!fs::exists(fs::symlink_status(registry() + "/starter"))) ::usleep(1000);
  const Outcome second = ensure();
  EXPECT_FALSE(first.get().ready);
  EXPECT_FALSE(second.ready);
  EXPECT_FALSE(second.started_here);
  EXPECT_NE(second.problem.find("no luck"), std::string::npos) << second.problem;
  EXPECT_EQ(service_pids().size(), 1u);
}

TEST_F(Servers, EndWithAStarterThatDiesAndAreStartedByTheNext) {
  service("serve");
  const pid_t starter = ::fork();
  if (starter == 0) {
    ensure();
    ::_exit(0);
  }
  while (service_pids().empty()) ::usleep(1000);
  ::kill(starter, SIGKILL);
  ::waitpid(starter, nullptr, 0);
  EXPECT_TRUE(await_end(service_pids().at(0)));
  service("ready; serve");
  const Outcome outcome = ensure();
  EXPECT_TRUE(outcome.ready) << outcome.problem;
  EXPECT_TRUE(outcome.started_here);
}

TEST_F(Servers, StopStartingWhenTheUserInterrupts) {
  service("serve");
  const pid_t starter = ::fork();
  if (starter == 0) {
    const Outcome outcome = ensure();
    ::_exit(outcome.problem.find("interrupted") != std::string::npos ? 42 : 1);
  }
  while (service_pids().empty()) ::usleep(1000);
  ::kill(starter, SIGINT);
  int status = 0;
  ::waitpid(starter, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42) << status;
  EXPECT_TRUE(await_end(service_pids().at(0)));
}

TEST_F(Servers, NeedARegistryThatIsTheUsers) {
  service("ready; serve");
  settings_.registry = root_ / "none";
  EXPECT_NE(ensure().problem.find("mode 1777"), std::string::npos);

  fs::create_directories(settings_.registry + "/" + std::to_string(::geteuid()));
  fs::permissions(settings_.registry + "/" + std::to_string(::geteuid()), fs::perms(0755));
  EXPECT_NE(ensure().problem.find("mode 0700"), std::string::npos);
  EXPECT_TRUE(service_pids().empty());
}

}  // namespace
}  // namespace benchfs::spank
