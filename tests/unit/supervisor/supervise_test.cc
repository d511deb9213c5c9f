// Whole supervisors as processes, with a worker that only speaks the control protocol.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <span>

#include "common/fd.h"
#include "common/sys.h"
#include "registry/host_record.h"
#include "registry/record.h"
#include "registry/start_failure.h"
#include "tests/unit/registry/scratch.h"

namespace benchfs {
namespace {

using Strings = std::vector<std::string>;
constexpr int wait_ms_max = 20'000;

// Polls what has no event to wait for: files that other processes make.
bool eventually(const std::function<bool()>& condition) {
  for (int waited = 0; waited < wait_ms_max; waited += 2) {
    if (condition()) return true;
    ::poll(nullptr, 0, 2);
  }
  return false;
}

class Server {
 public:
  Server(const Strings& arguments, const Strings& environment, const std::string& log) {
    Strings all = {FAKE_BENCHFSD};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& text : all) argv.push_back(text.data());
    argv.push_back(nullptr);
    Strings variables = environment;
    variables.emplace_back("PATH=/usr/bin:/bin");
    std::vector<char*> envp;
    for (std::string& text : variables) envp.push_back(text.data());
    envp.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(126);
  }
  Server(Server&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Server& operator=(Server&&) = delete;
  ~Server() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  // The exit code; -1: did not end in time, -2: by a signal.
  int end() {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, wait_ms_max) != 1) return -1;
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
  }
  bool runs() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }

 private:
  pid_t pid_ = -1;
};

class Supervise : public testing::Test {
 protected:
  Supervise() {
    std::filesystem::create_directory(registry());
    std::filesystem::create_directory(scratch_ / "data");
  }

  std::string registry() const { return scratch_ / "registry"; }
  std::string data() const { return scratch_ / "data"; }
  std::string log() const { return read_text(scratch_ / "log"); }
  bool logged(const std::string& part) const { return log().find(part) != std::string::npos; }
  int lines(const std::string& part) const {
    int count = 0;
    const std::string text = log();
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
      ++count;
    return count;
  }

  Server start(const Strings& environment = {}, const Strings& settings = {}) {
    Strings arguments = {registry(), "--set", "storage.data_dir=" + data()};
    for (const std::string& setting : settings) {
      arguments.emplace_back("--set");
      arguments.push_back(setting);
    }
    return Server(arguments, environment, scratch_ / "log");
  }
  // As a task of a Slurm step without PMIx.
  Server start_rank(std::uint32_t rank, std::uint32_t size, Strings environment = {},
                    const Strings& settings = {}) {
    for (const std::string& variable :
         {"SLURM_PROCID=" + std::to_string(rank), "SLURM_NTASKS=" + std::to_string(size),
          "SLURM_LOCALID=" + std::to_string(rank), std::string("SLURM_JOB_ID=7"),
          std::string("SLURM_STEP_ID=0")})
      environment.push_back(variable);
    return start(environment, settings);
  }
  // `ready` is written before its writer has noticed that it is up itself.
  bool ready() {
    return eventually([&] { return ::access((registry() + "/ready").c_str(), F_OK) == 0; }) &&
           eventually([&] { return logged(": ready: "); });
  }
  void expect_nothing_left() const {
    EXPECT_EQ(names_in(registry()), Strings{});
    EXPECT_EQ(names_in(data()), Strings{});
  }
  // Asks the fake worker of rank 0 for what its mode says.
  void connect() const {
    const Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = data() + "/rank_0/socket";
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  const Scratch scratch_;
};

TEST_F(Supervise, ServesUntilItIsInterrupted) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Server server = start();
    ASSERT_TRUE(ready()) << log();
    const auto host = read_host_record(data().c_str());
    ASSERT_TRUE(host.ok());
    EXPECT_EQ(host->mount_point, "/benchfs");
    EXPECT_EQ(host->size, 1U);
    EXPECT_EQ(host->local_ranks, std::vector<std::uint32_t>{0});
    const std::int64_t began = sys::now_ns();
    server.signal(signal);
    EXPECT_EQ(server.end(), exit_code::orderly);
    EXPECT_LT(sys::now_ns() - began, 2'000'000'000);
    expect_nothing_left();
  }
}

TEST_F(Supervise, SaysOnceThatItIsReady) {
  Server server = start();
  ASSERT_TRUE(ready());
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), 0);
  EXPECT_TRUE(logged("ready: 1 rank on 1 host serve /benchfs; data in " + data() +
                     ", transport none (fake), "))
      << log();
}

TEST_F(Supervise, KeepsTheDataWhenAsked) {
  Server server = start({}, {"node.keep_data=true"});
  ASSERT_TRUE(ready());
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), 0);
  EXPECT_EQ(names_in(data() + "/rank_0/chunks"), Strings{"inode_2_chunk_0"});
}

TEST_F(Supervise, StartsOverWhatAKillLeft) {
  {
    Server killed = start();
    ASSERT_TRUE(ready());
    killed.signal(SIGKILL);
    EXPECT_EQ(killed.end(), -2);
  }
  EXPECT_FALSE(names_in(registry()).empty());
  // The worker dies with its supervisor, in its own time.
  ASSERT_TRUE(eventually([&] {
    std::filesystem::remove(scratch_ / "log");
    Server next = start();
    const bool up = eventually([&] { return logged("ready: ") || !next.runs(); }) && next.runs();
    next.signal(SIGTERM);
    return next.end() == 0 && up;
  }));
  expect_nothing_left();
}

TEST_F(Supervise, StopsWhenItsWorkerIsAskedTo) {
  Server server = start();
  ASSERT_TRUE(ready());
  connect();
  EXPECT_EQ(server.end(), 0);
  expect_nothing_left();
}

TEST_F(Supervise, OutlivesItsWorkerUntilItIsStopped) {
  Server server = start({"FAKE_WORKER=die_on_client"});
  ASSERT_TRUE(ready());
  connect();
  ASSERT_TRUE(eventually([&] { return logged("worker of rank 0 on host "); }));
  EXPECT_TRUE(logged(" died (signal 9 (Killed)); what it held is lost")) << log();
  EXPECT_TRUE(server.runs());
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), exit_code::worker);
  expect_nothing_left();
}

TEST_F(Supervise, StartsAWorkerThatRecoversAgain) {
  Server server = start({"FAKE_WORKER=recover_2"});
  ASSERT_TRUE(ready());
  for (int deaths = 1; deaths <= 2; ++deaths) {
    connect();
    ASSERT_TRUE(eventually([&] { return lines("; it serves again after ") == deaths; })) << log();
    EXPECT_EQ(lines(" died (signal 9 (Killed)); it serves again after "), deaths) << log();
    std::string why;
    const std::string bytes = read_text(registry() + "/node_0.addr");
    const auto record = decode_node_record(std::as_bytes(std::span(bytes)), why);
    ASSERT_TRUE(record.ok()) << why;
    EXPECT_EQ(record->incarnation, static_cast<std::uint32_t>(deaths));
    const std::string address = "address of rank 0 as " + std::to_string(deaths);
    EXPECT_TRUE(std::ranges::equal(record->address, std::as_bytes(std::span(address))));
  }
  EXPECT_EQ(lines("worker of rank 0 on host "), 2) << log();
  connect();
  EXPECT_EQ(server.end(), 0) << log();
  expect_nothing_left();
}

TEST_F(Supervise, GivesAWorkerUpThatKeepsDying) {
  Server server = start({"FAKE_WORKER=recover_100"});
  ASSERT_TRUE(ready());
  for (int deaths = 1; deaths <= 4; ++deaths) {
    connect();
    ASSERT_TRUE(eventually([&] { return lines("; it serves again after ") == deaths; })) << log();
  }
  connect();
  ASSERT_TRUE(eventually([&] { return logged(", the 5th time within 60 s, and is not started"); }))
      << log();
  EXPECT_EQ(lines("error"), 1) << log();
  EXPECT_TRUE(server.runs());
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), exit_code::worker);
  expect_nothing_left();
}

TEST_F(Supervise, GivesAWorkerUpThatRefuses) {
  Server server = start({"FAKE_WORKER=refuse_again"});
  ASSERT_TRUE(ready());
  connect();
  ASSERT_TRUE(eventually([&] { return logged("requests to rank 0 fail with EIO"); })) << log();
  EXPECT_TRUE(
      logged(" died (signal 9 (Killed)) and does not serve again: Failed to create UCX "
             "context: on purpose; requests to rank 0 fail with EIO"))
      << log();
  EXPECT_EQ(lines("on purpose"), 1) << log();
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), exit_code::network);
  expect_nothing_left();
}

TEST_F(Supervise, KillsAWorkerThatDoesNotStop) {
  Server server = start({"FAKE_WORKER=deaf"});
  ASSERT_TRUE(ready());
  const std::int64_t began = sys::now_ns();
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), exit_code::worker);
  EXPECT_GE(sys::now_ns() - began, 400'000'000);
  expect_nothing_left();
}

TEST_F(Supervise, PassesOnWhyTheWorkerFailed) {
  Server server = start({"FAKE_WORKER=fail"});
  EXPECT_EQ(server.end(), exit_code::network);
  EXPECT_EQ(lines("Failed to create UCX context: on purpose"), 1) << log();
  EXPECT_NE(read_text(registry() + "/failed").find(": Failed to create UCX context: on purpose\n"),
            std::string::npos);
  EXPECT_EQ(names_in(registry()), (Strings{"failed", "node_0.addr"}));
  EXPECT_EQ(names_in(data()), Strings{});
}

TEST_F(Supervise, FailsWithAWorkerThatDiesBeforeItIsReady) {
  Server server = start({"FAKE_WORKER=die"});
  EXPECT_EQ(server.end(), exit_code::worker);
  EXPECT_TRUE(logged("died (signal 9 (Killed)) before all ranks were ready")) << log();
}

TEST_F(Supervise, BringsAllRanksUpTogetherFromSlurmsEnvironment) {
  std::vector<Server> servers;
  for (std::uint32_t rank = 0; rank < 3; ++rank) servers.push_back(start_rank(rank, 4));
  ::poll(nullptr, 0, 200);
  EXPECT_EQ(read_host_record(data().c_str()).error(), Error(ENOENT));
  EXPECT_NE(::access((registry() + "/ready").c_str(), F_OK), 0);
  servers.push_back(start_rank(3, 4));
  ASSERT_TRUE(ready()) << log();
  const auto host = read_host_record(data().c_str());
  ASSERT_TRUE(host.ok());
  EXPECT_EQ(host->local_ranks, (std::vector<std::uint32_t>{0, 1, 2, 3}));
  // What the loop of a rank hears before it knows that it is up would end the start.
  ::poll(nullptr, 0, 200);
  for (const Server& server : servers) server.signal(SIGTERM);
  for (Server& server : servers) EXPECT_EQ(server.end(), 0) << log();
  expect_nothing_left();
}

TEST_F(Supervise, NamesTheRanksThatDidNotCome) {
  const Strings where = {"SLURM_STEP_NODELIST=bn[1-4]", "SLURM_STEP_TASKS_PER_NODE=1(x4)"};
  std::vector<Server> servers;
  for (const std::uint32_t rank : {0U, 2U})
    servers.push_back(start_rank(rank, 4, where, {"node.start_timeout_s=1"}));
  for (Server& server : servers) EXPECT_EQ(server.end(), exit_code::peers);
  EXPECT_EQ(lines("Timeout waiting for nodes: "), 1) << log();
  EXPECT_TRUE(
      logged("ranks 1, 3 (hosts bn2, bn4) did not register in " + registry() + " within 1 s: "))
      << log();
  EXPECT_EQ(names_in(data()), Strings{});
}

TEST_F(Supervise, EndsAllRanksWhenOneFails) {
  std::vector<Server> servers;
  for (std::uint32_t rank = 0; rank < 3; ++rank)
    servers.push_back(start_rank(rank, 3, {"FAKE_WORKER=die_on_start"}));
  for (Server& server : servers) EXPECT_EQ(server.end(), exit_code::worker);
  EXPECT_EQ(lines("error"), 1) << log();
  EXPECT_EQ(names_in(data()), Strings{});
}

TEST_F(Supervise, EndsAllRanksWhenSettingsDiffer) {
  std::vector<Server> servers;
  servers.push_back(start_rank(0, 2));
  servers.push_back(start_rank(1, 2, {}, {"storage.chunk_size=8m"}));
  for (Server& server : servers) EXPECT_EQ(server.end(), exit_code::configuration);
  EXPECT_EQ(lines("settings differ: 'storage.chunk_size=4194304' at rank 0, "
                  "'storage.chunk_size=8388608' at rank 1"),
            1)
      << log();
}

TEST_F(Supervise, RefusesTheRegistryAndTheDataOfALiveInstance) {
  Server live = start();
  ASSERT_TRUE(ready());
  Server second = start();
  EXPECT_EQ(second.end(), exit_code::other_instance);
  EXPECT_TRUE(logged("belongs to a live instance (rank 0 on host "));
  std::filesystem::create_directory(scratch_ / "other");
  Server third({scratch_ / "other", "--set", "storage.data_dir=" + data()}, {}, scratch_ / "log");
  EXPECT_EQ(third.end(), exit_code::storage);
  EXPECT_TRUE(logged("Data directory is in use by a live instance: " + data() + "/rank_0"));
  EXPECT_TRUE(live.runs());
  live.signal(SIGTERM);
  EXPECT_EQ(live.end(), 0);
  expect_nothing_left();
}

TEST_F(Supervise, EndsAtOnceWhenItIsStoppedBeforeAllAreReady) {
  Server alone = start_rank(0, 2);
  ASSERT_TRUE(
      eventually([&] { return ::access((registry() + "/node_0.addr").c_str(), F_OK) == 0; }));
  const std::int64_t began = sys::now_ns();
  alone.signal(SIGTERM);
  EXPECT_EQ(alone.end(), exit_code::other);
  EXPECT_LT(sys::now_ns() - began, 2'000'000'000);
  expect_nothing_left();
}

TEST_F(Supervise, DrainsAsAServiceStepAndIgnoresTheRest) {
  Server server = start({"BENCHFS_SERVICE_STEP=1"});
  ASSERT_TRUE(ready());
  for (const int signal : {SIGUSR1, SIGUSR2, SIGHUP, SIGCONT}) server.signal(signal);
  server.signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return logged("draining on TERM"); })) << log();
  // Its clients still find it.
  EXPECT_TRUE(read_host_record(data().c_str()).ok());
  EXPECT_TRUE(server.runs());
  write_text(data() + "/rank_0/drained", "");
  EXPECT_EQ(server.end(), 0);
  EXPECT_FALSE(logged("stopping")) << log();
  expect_nothing_left();
}

// mpirun's way to say "end": SIGCONT from the parent.
TEST_F(Supervise, TakesMpirunsSigcontForItsEnd) {
  Server server =
      start({"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=1"}, {"node.bootstrap=single"});
  ASSERT_TRUE(ready());
  server.signal(SIGUSR1);
  server.signal(SIGUSR2);
  const pid_t stranger = ::fork();
  if (stranger == 0) ::_exit(::kill(server.pid(), SIGCONT));
  ASSERT_EQ(::waitpid(stranger, nullptr, 0), stranger);
  ::poll(nullptr, 0, 100);
  EXPECT_TRUE(server.runs());
  EXPECT_FALSE(logged("stopping"));
  server.signal(SIGCONT);
  EXPECT_EQ(server.end(), 0);
  expect_nothing_left();
}

TEST_F(Supervise, GoesOnAfterASuspensionByHand) {
  Server server = start();
  ASSERT_TRUE(ready());
  server.signal(SIGSTOP);
  server.signal(SIGCONT);
  ::poll(nullptr, 0, 100);
  EXPECT_TRUE(server.runs());
  server.signal(SIGTERM);
  EXPECT_EQ(server.end(), 0);
}

TEST_F(Supervise, EndsWithItsParent) {
  const pid_t parent = ::fork();
  if (parent == 0) {
    Server server = start();
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(ready()) << log();
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  EXPECT_TRUE(eventually([&] { return names_in(registry()).empty() && names_in(data()).empty(); }))
      << log();
  EXPECT_TRUE(logged("stopping on the end of the parent process")) << log();
}

TEST_F(Supervise, SaysWhatIsWrongWithWhatItWasGiven) {
  Server no_registry({scratch_ / "none"}, {}, scratch_ / "log");
  EXPECT_EQ(no_registry.end(), exit_code::registry);
  EXPECT_TRUE(logged("Registry directory does not exist: " + (scratch_ / "none") +
                     ": create it first (mkdir -p " + (scratch_ / "none") + ")"))
      << log();
  Server no_arguments({}, {}, scratch_ / "log");
  EXPECT_EQ(no_arguments.end(), exit_code::usage);
  EXPECT_EQ(start({}, {"storage.data_dri=/x"}).end(), exit_code::configuration);
  EXPECT_EQ(start({}, {"node.bootstrap=pmix"}).end(), exit_code::configuration);
  EXPECT_EQ(start({}, {"storage.data_dir=/proc/nowhere"}).end(), exit_code::storage);
  EXPECT_EQ(lines("\n"), 5) << log();
}

}  // namespace
}  // namespace benchfs
