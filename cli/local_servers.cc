#include "cli/local_servers.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "cli/bounded.h"
#include "cli/failure.h"
#include "cli/instance.h"
#include "cli/places.h"
#include "client-preload/fs/file_system.h"
#include "common/process.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
// Beyond what the servers themselves take for their start before they say what is missing.
constexpr std::int64_t start_grace_ns = 10 * second_ns;
constexpr std::int64_t order_patience_ns = 5 * second_ns;
constexpr std::int64_t end_patience_ns = 5 * second_ns;
// mpirun gives its ranks two seconds after SIGTERM.
constexpr std::int64_t kill_patience_ns = 5 * second_ns;
constexpr std::streamoff log_bytes_max = 64 << 10;
constexpr std::size_t tail_lines_max = 10;

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto result = std::filesystem::absolute(path, error).lexically_normal();
  std::string text = error ? path : result.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// mpirun takes these for its own job's, or for a batch system whose nodes it should use.
constexpr std::string_view foreign_prefixes[] = {"OMPI_",  "PMIX_", "PMI_",  "ORTE_",
                                                 "PRTE_",  "SLURM", "PBS_",  "LSB_",
                                                 "LOADL_", "PE_HO", "COBALT"};

EnvironmentBlock launcher_environment(std::string_view library, const std::string& session_dir) {
  EnvironmentBlock environment(environ);
  remove_view(environment, library);
  for (const std::string_view prefix : foreign_prefixes) environment.unset_all(prefix);
  environment.unset("BENCHFS_SERVICE_STEP");
  if (::geteuid() == 0) {
    environment.set("OMPI_ALLOW_RUN_AS_ROOT", "1");
    environment.set("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  // One machine: no remote shell, no other interface than the loopback.
  environment.set("OMPI_MCA_plm", "isolated");
  environment.set("OMPI_MCA_oob_tcp_if_include", "lo");
  environment.set("OMPI_MCA_pml", "ob1");
  environment.set("OMPI_MCA_btl", "self,vader");
  environment.set("OMPI_MCA_orte_tmpdir_base", session_dir);
  const bool asked = environment.get("UCX_TLS") || environment.get("BENCHFS_UCX_TLS") ||
                     environment.get("UCX_NET_DEVICES");
  if (!asked) environment.set_default("BENCHFS_UCX_NET_DEVICES", "lo");
  return environment;
}

std::vector<std::string> last_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(0, size - log_bytes_max));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line.find_first_not_of('-') != std::string::npos)
      lines.push_back(one_line(line));
  return lines;
}

// A server's own log line: "<time> <level> rank <n> <host>: <text>".
std::optional<std::string> text_of_error(std::string_view line) {
  const std::size_t at = line.find(" error rank ");
  const std::size_t text = line.find(": ", at == std::string_view::npos ? 0 : at);
  if (at == std::string_view::npos || text == std::string_view::npos) return std::nullopt;
  return std::string(line.substr(text + 2));
}

}  // namespace

LocalServers::LocalServers(const RunOptions& options, const Signals& signals)
    : count_(options.servers),
      library_(preload_library()),
      server_(server_program()),
      directory_(temporary_base()) {
  // The programs that servers run in do not look into this working directory.
  config_file_ = options.config_file;
  if (!config_file_ && exists("benchfs.conf")) config_file_ = "benchfs.conf";
  if (config_file_) config_file_ = absolute(*config_file_);
  if (options.mount_point) settings_.push_back("client.mount_point=" + *options.mount_point);
  if (options.data_dir) settings_.push_back("storage.data_dir=" + absolute(*options.data_dir));
  try {
    config_ = load_config(config_file_, settings_, environ);
  } catch (const ConfigError& error) {
    throw Failure(exit_code::no_servers, error.what());
  }

  data_dir_ = config_.storage.data_dir;
  if (!options.data_dir && data_dir_ == default_data_dir()) {
    own_data_.emplace(memory_base());
    data_dir_ = own_data_->path();
    settings_.push_back("storage.data_dir=" + data_dir_);
  } else if (!exists(data_dir_)) {
    made_data_dir_ = data_dir_;
  }
  launch(signals);
}

void LocalServers::launch(const Signals& signals) {
  const std::string mpirun = find_in_path("mpirun");
  if (mpirun.empty())
    throw Failure(exit_code::no_servers,
                  "mpirun is not found in PATH: install Open MPI (Debian: openmpi-bin)");
  if (::mkdir(registry().c_str(), 0700) != 0)
    throw Failure(exit_code::no_servers,
                  registry() + " cannot be made: " + describe(Error::last()));
  const Fd log(::open(log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log)
    throw Failure(exit_code::no_servers,
                  log_file() + " cannot be made: " + describe(Error::last()));

  ChildPlan plan{.file = mpirun,
                 .arguments = {"mpirun", "--oversubscribe", "--bind-to", "none", "-n",
                               std::to_string(count_), server_, registry()},
                 .environment = launcher_environment(library_, directory_.path()),
                 .signal_mask = signals.original_mask(),
                 .detached = true,
                 .output = log.get(),
                 .working_directory = directory_.path()};
  if (config_file_) plan.arguments.push_back(*config_file_);
  for (const std::string& setting : settings_) {
    plan.arguments.emplace_back("--set");
    plan.arguments.push_back(setting);
  }
  auto started = Child::start(std::move(plan));
  if (!started.ok())
    throw Failure(exit_code::no_servers,
                  mpirun + " cannot be started: " + describe(started.error()));
  launcher_.emplace(*std::move(started));
}

void LocalServers::await_ready(Signals& signals) {
  // Watching begins before the first look, so no change falls between the two.
  const Fd changes(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!changes || ::inotify_add_watch(changes.get(), registry().c_str(), IN_MOVED_TO) < 0)
    throw Failure(exit_code::no_servers,
                  registry() + " cannot be watched: " + describe(Error::last()));
  const std::int64_t deadline_ns =
      sys::now_ns() + config_.node.start_timeout_s * second_ns + start_grace_ns;
  while (!exists(registry() + "/ready")) {
    if (launcher_->ended() || exists(registry() + "/failed")) {
      // The others end too, and the log is complete then.
      launcher_->wait(sys::now_ns() + kill_patience_ns);
      throw Failure(exit_code::no_servers, "The servers did not start: " + reason());
    }
    pollfd watched[] = {{.fd = changes.get(), .events = POLLIN, .revents = 0},
                        {.fd = launcher_->pidfd(), .events = POLLIN, .revents = 0},
                        {.fd = signals.fd(), .events = POLLIN, .revents = 0}};
    const int ready = ::poll(watched, std::size(watched), milliseconds_until(deadline_ns));
    if (ready == 0)
      throw Failure(exit_code::no_servers, "The servers were not ready in time: " + reason());
    if (const auto received = signals.next())
      throw Failure(
          exit_code::killed + received->number,
          "Ended by signal " + std::to_string(received->number) + " before the servers were ready");
    char events[4096];
    while (sys::read(changes.get(), events, sizeof events) > 0) {
    }
  }
  ready_ = true;
}

View LocalServers::view() const {
  return {.library = library_,
          .mount_point = config_.client.mount_point,
          .local_dir = data_dir_,
          .registry = registry()};
}

std::string LocalServers::reason() {
  const std::vector<std::string> lines = last_lines(log_file());
  std::ifstream failed(registry() + "/failed");
  std::string line;
  if (std::getline(failed, line) && !line.empty()) return one_line(line);
  for (const std::string& logged : lines)
    if (const auto text = text_of_error(logged)) return *text;
  line = launcher_->ended() ? "mpirun ended with " + describe_end(*launcher_->wait(0))
                            : std::string("no reason is known");
  if (lines.empty()) return line;
  line += "; its last lines:";
  const std::size_t first = lines.size() - std::min(lines.size(), tail_lines_max);
  for (std::size_t i = first; i < lines.size(); ++i) line += "\n  " + lines[i];
  return line;
}

std::optional<std::string> LocalServers::stop() {
  if (!launcher_) return std::nullopt;
  if (!launcher_->ended() && ready_) {
    const auto order = [&]() -> Result<std::vector<std::byte>> {
      const auto files =
          FileSystem::make({.mount_point = config_.client.mount_point, .local_dir = data_dir_});
      TRY_OK(files->stop_servers());
      return std::vector<std::byte>();
    };
    if (run_bounded(order, sys::now_ns() + order_patience_ns).ok())
      launcher_->wait(sys::now_ns() + end_patience_ns);
  }
  const bool orderly = launcher_->ended();
  end_launcher(kill_patience_ns);
  const auto status = launcher_->wait(0);
  std::optional<std::string> problem;
  if (!orderly)
    problem = "The servers did not end when told to, and were killed";
  else if (status && *status != 0)
    problem = "The servers did not end well: " + reason();
  launcher_.reset();
  return problem;
}

// SIGTERM, then whatever ends them.
void LocalServers::end_launcher(std::int64_t patience_ns) {
  if (launcher_->ended()) return;
  launcher_->send(SIGTERM);
  if (launcher_->wait(sys::now_ns() + patience_ns)) return;
  kill_servers();
  launcher_->send(SIGKILL);
  launcher_->wait(sys::now_ns() + patience_ns);
}

// A worker ends with its supervisor.
void LocalServers::kill_servers() {
  try {
    const Instance instance = read_instance(registry(), exit_code::no_servers);
    for (const auto& record : instance.ranks)
      if (record && instance.lives(*record)) ::kill(pid_of(record->supervisor), SIGKILL);
  } catch (const Failure&) {
    // A registry that cannot be read names nobody; the servers watch their parent themselves.
  }
}

LocalServers::~LocalServers() {
  if (launcher_) {
    end_launcher(kill_patience_ns);
    launcher_.reset();
  }
  if (config_.node.keep_data) {
    if (own_data_) own_data_->keep();
    return;
  }
  if (own_data_) return;
  if (ready_) remove_dead_ranks(data_dir_, count_);
  if (!made_data_dir_.empty()) ::rmdir(made_data_dir_.c_str());
}

}  // namespace benchfs::cli
