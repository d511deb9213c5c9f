#include "spank-plugin/environment.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace benchfs::spank {
namespace {

constexpr const char* ours = "/opt/lib/libbenchfs_preload.so";

Settings settings() {
  Settings result;
  result.registry = "/shared";
  result.data = "/local/benchfs";
  result.preload = ours;
  result.timeout_s = 42;
  return result;
}

const TaskView view{
    .mount_point = "/benchfs", .local = "/local/benchfs/5", .registry = "/shared/1/5.0"};

std::optional<std::string> value_of(const std::vector<Change>& changes, const std::string& name) {
  for (const Change& change : changes)
    if (change.name == name) return change.value;
  return "(unchanged)";
}

TEST(Preload, ComesFirstAndKeepsTheOthersInOrder) {
  EXPECT_EQ(add_preload("", ours), ours);
  EXPECT_EQ(add_preload("/a.so:/b.so", ours), std::string(ours) + ":/a.so:/b.so");
  EXPECT_EQ(add_preload("/a.so /b.so", ours), std::string(ours) + ":/a.so:/b.so");
}

TEST(Preload, IsThereOnce) {
  const std::string once = add_preload("/a.so", ours);
  EXPECT_EQ(add_preload(once, ours), once);
  EXPECT_EQ(add_preload(std::string("/a.so: :") + ours + ":", ours), once);
  // Another build of ours: two in one process would fight.
  EXPECT_EQ(add_preload("/old/libbenchfs_preload.so:/a.so", ours), once);
}

TEST(Preload, IsRemovedWithoutATrace) {
  EXPECT_EQ(remove_preload(ours, ours), "");
  EXPECT_EQ(remove_preload(add_preload("/a.so:/b.so", ours), ours), "/a.so:/b.so");
  EXPECT_EQ(remove_preload("/a.so", ours), "/a.so");
  EXPECT_EQ(remove_preload("/libbenchfs_preload.so.d/a.so", ours), "/libbenchfs_preload.so.d/a.so");
}

TEST(TaskEnvironment, GetsTheFilesystem) {
  const auto changes = changes_on("/a.so", settings(), view);
  EXPECT_EQ(value_of(changes, "LD_PRELOAD"), std::string(ours) + ":/a.so");
  EXPECT_EQ(value_of(changes, "BENCHFS_MOUNT"), "/benchfs");
  EXPECT_EQ(value_of(changes, "BENCHFS_LOCAL"), "/local/benchfs/5");
  EXPECT_EQ(value_of(changes, "BENCHFS_REGISTRY"), "/shared/1/5.0");
  EXPECT_EQ(value_of(changes_on(nullptr, settings(), view), "LD_PRELOAD"), ours);
}

TEST(TaskEnvironment, LosesItWhenSwitchedOff) {
  auto changes = changes_off((std::string(ours) + ":/a.so").c_str(), settings());
  EXPECT_EQ(value_of(changes, "LD_PRELOAD"), "/a.so");
  EXPECT_EQ(value_of(changes, "BENCHFS_MOUNT"), std::nullopt);
  EXPECT_EQ(value_of(changes, "BENCHFS_LOCAL"), std::nullopt);
  EXPECT_EQ(value_of(changes, "BENCHFS_REGISTRY"), std::nullopt);
  EXPECT_EQ(value_of(changes_off(ours, settings()), "LD_PRELOAD"), std::nullopt);
  EXPECT_EQ(value_of(changes_off(nullptr, settings()), "LD_PRELOAD"), "(unchanged)");
}

std::vector<std::string> service(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  const Job job{.id = 5, .restarts = 1, .uid = 1000, .nodes = 4};
  return service_environment(environment.data(), settings(), job, 25);
}

std::size_t count(const std::vector<std::string>& variables, const std::string& wanted) {
  return static_cast<std::size_t>(std::count(variables.begin(), variables.end(), wanted));
}

TEST(ServiceEnvironment, InheritsNothingOfTheApplication) {
  const auto variables = service(
      {"SLURM_NTASKS=9", "SLURM_EXPORT_ENV=NONE", "SPANK_X=1", "_SLURM_SPANK_OPTION_x=1",
       "PMIX_RANK=1", "PMI_FD=3", "OMPI_MCA_pml=ob1", "LD_PRELOAD=/a.so", "LD_LIBRARY_PATH=/x",
       "UCX_TLS=rc", "TMPDIR=/benchfs/tmp", "BASH_ENV=/x", "ASAN_OPTIONS=x", "garbage"});
  for (const std::string& variable : variables)
    EXPECT_TRUE(variable.starts_with("BENCHFS_")) << variable;
}

TEST(ServiceEnvironment, KeepsTheUsersSettings) {
  const auto variables =
      service({"PATH=/bin", "HOME=/home/u", "LC_ALL=C", "SLURM_CONF=/etc/s.conf",
               "BENCHFS_STORAGE_CHUNK_SIZE=1m", "BENCHFS_LOG=debug", "BENCHFS_UCX_TLS=tcp"});
  for (const char* kept :
       {"PATH=/bin", "HOME=/home/u", "LC_ALL=C", "SLURM_CONF=/etc/s.conf",
        "BENCHFS_STORAGE_CHUNK_SIZE=1m", "BENCHFS_LOG=debug", "BENCHFS_UCX_TLS=tcp"})
    EXPECT_EQ(count(variables, kept), 1u) << kept;
}

TEST(ServiceEnvironment, DecidesWhatIsTheJobs) {
  const auto variables =
      service({"BENCHFS_STORAGE_DATA_DIR=/mine", "BENCHFS_REGISTRY=/mine", "BENCHFS_LOCAL=/mine",
               "BENCHFS_NODE_DRAIN_TIMEOUT_S=1", "BENCHFS_NODE_START_TIMEOUT_S=1",
               "BENCHFS_NODE_KEEP_DATA=true", "BENCHFS_SERVICE_STEP=0", "BENCHFS_MOUNT=/x"});
  EXPECT_EQ(variables.size(), 5u);
  EXPECT_EQ(count(variables, "BENCHFS_SERVICE_STEP=1"), 1u);
  EXPECT_EQ(count(variables, "BENCHFS_REGISTRY=/shared/1000/5.1"), 1u);
  EXPECT_EQ(count(variables, "BENCHFS_STORAGE_DATA_DIR=/local/benchfs/5"), 1u);
  EXPECT_EQ(count(variables, "BENCHFS_NODE_START_TIMEOUT_S=42"), 1u);
  EXPECT_EQ(count(variables, "BENCHFS_NODE_DRAIN_TIMEOUT_S=25"), 1u);
}

TEST(Drain, LeavesTimeForTheRemoval) {
  EXPECT_EQ(drain_timeout_s(30), 25u);
  EXPECT_EQ(drain_timeout_s(6), 1u);
  EXPECT_EQ(drain_timeout_s(5), 1u);
  EXPECT_EQ(drain_timeout_s(0), 1u);
}

TEST(Variable, IsFoundByItsWholeName) {
  const char* const environment[] = {"BENCH=1", "BENCHFS_SERVICE_STEPS=2", "A=", nullptr};
  EXPECT_EQ(find_variable(environment, service_variable), nullptr);
  EXPECT_STREQ(find_variable(environment, "BENCH"), "1");
  EXPECT_STREQ(find_variable(environment, "A"), "");
  EXPECT_EQ(find_variable(nullptr, "A"), nullptr);
}

}  // namespace
}  // namespace benchfs::spank
