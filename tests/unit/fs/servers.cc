#include "tests/unit/fs/servers.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "registry/host_record.h"

namespace benchfs {
namespace {

constexpr auto start_limit = std::chrono::seconds(60);

void run_servers(int ranks, const std::string& top) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // a test that crashes stops nothing itself
  setenv("BENCHFS_STORAGE_DATA_DIR", (top + "/data").c_str(), 1);
  setenv("BENCHFS_STORAGE_CHUNK_SIZE", "64k", 1);
  setenv("BENCHFS_METADATA_DIRECTORY_SPLIT_ENTRIES", "50", 1);
  setenv("BENCHFS_LOG", "warn", 1);
  setenv("BENCHFS_NODE_BOOTSTRAP", ranks == 1 ? "single" : "mpi", 1);
  const std::string registry = top + "/registry";
  if (ranks == 1) {
    execl(BENCHFSD_MPI, BENCHFSD_MPI, registry.c_str(), nullptr);
  } else {
    execlp("mpirun", "mpirun", "--allow-run-as-root", "--oversubscribe", "-n",
           std::to_string(ranks).c_str(), BENCHFSD_MPI, registry.c_str(), nullptr);
  }
  _exit(127);
}

}  // namespace

Servers::Servers(int ranks) {
  std::string name = testing::TempDir() + "benchfs_fs_XXXXXX";
  if (mkdtemp(name.data()) == nullptr) return;
  top_ = name;
  mkdir((top_ + "/data").c_str(), 0700);
  mkdir((top_ + "/registry").c_str(), 0700);
  child_ = fork();
  if (child_ == 0) run_servers(ranks, top_);
  const auto end = std::chrono::steady_clock::now() + start_limit;
  while (!ready_ && std::chrono::steady_clock::now() < end) {
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) == child_) {
      child_ = -1;
      return;
    }
    ready_ = read_host_record(local_dir().c_str()).ok();
    if (!ready_) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Servers::~Servers() {
  if (child_ > 0) {
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
  }
  std::error_code ignored;
  if (!top_.empty()) std::filesystem::remove_all(top_, ignored);
}

std::string Servers::dir_with_one_local_rank() const {
  const std::string other = top_ + "/one";
  auto record = read_host_record(local_dir().c_str());
  if (!record.ok()) return {};
  record->local_ranks = {0};
  if (mkdir(other.c_str(), 0700) != 0) return other;  // made before
  if (symlink((local_dir() + "/rank_0").c_str(), (other + "/rank_0").c_str()) != 0) return {};
  return write_host_record(other.c_str(), *record).ok() ? other : std::string();
}

std::vector<pid_t> Servers::processes() const {
  std::vector<pid_t> found{child_};
  const std::string pid = std::to_string(child_);
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; children >> child;) found.push_back(child);
  return found;
}

void Servers::signal_all(int number) const {
  for (const pid_t process : processes()) kill(process, number);
}

}  // namespace benchfs
