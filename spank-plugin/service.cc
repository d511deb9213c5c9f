#include "spank-plugin/service.h"

#include <algorithm>

namespace benchfs::spank {
namespace {

constexpr std::size_t message_bytes_max = 500;

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view{} : path.substr(0, slash);
}

// "node3: task 2: Segmentation fault" or "node[1-2]: tasks 0-1: Exited with exit code 7".
std::optional<EndedServer> parse_ended(std::string_view line) {
  constexpr std::string_view prefix = "srun: error: ";
  if (!line.starts_with(prefix)) return std::nullopt;
  line.remove_prefix(prefix.size());
  for (const std::string_view word : {": task ", ": tasks "}) {
    const std::size_t at = line.find(word);
    if (at == line.npos) continue;
    const std::string_view rest = line.substr(at + word.size());
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const auto task = parse_number(rest.substr(0, digits), UINT32_MAX);
    if (!task || rest.find(": ") == rest.npos) continue;
    return EndedServer{static_cast<std::uint32_t>(*task), last_line(line)};
  }
  return std::nullopt;
}

}  // namespace

std::string choose_mpi(const Settings& settings, std::string_view mpi_default,
                       std::string_view plugin_dirs, const Exists& exists) {
  if (!settings.mpi.empty()) return settings.mpi;
  if (mpi_default.starts_with("pmix")) return std::string(mpi_default);
  while (!plugin_dirs.empty()) {
    const std::size_t length = std::min(plugin_dirs.find(':'), plugin_dirs.size());
    if (exists(std::string(plugin_dirs.substr(0, length)) + "/mpi_pmix.so")) return "pmix";
    plugin_dirs.remove_prefix(std::min(length + 1, plugin_dirs.size()));
  }
  return "none";
}

std::string choose_srun(const Settings& settings, std::string_view self, const Exists& exists) {
  if (!settings.srun.empty()) return settings.srun;
  if (self.ends_with("/srun")) return std::string(self);
  // slurmstepd lies in PREFIX/sbin, srun in PREFIX/bin.
  const std::string beside = std::string(directory_of(directory_of(self))) + "/bin/srun";
  return exists(beside) ? beside : "/usr/bin/srun";
}

std::vector<std::string> service_command(const Settings& settings, const Job& job,
                                         const SlurmFacts& facts) {
  const std::string nodes = std::to_string(job.nodes);
  const std::string registry = job_registry(settings, job);
  std::vector<std::string> command{
      facts.srun,
      "--jobid=" + std::to_string(job.id),
      "--job-name=" + std::string(service_step_name),
      "--nodes=" + nodes,
      "--ntasks=" + nodes,
      "--ntasks-per-node=1",
      "--overlap",  // without it the application's steps would wait for the end of the servers
      "--mem=0",
      "--mpi=" + facts.mpi,
      // One lost server must not end the others, at once or after a while.
      "--kill-on-bad-exit=0",
      "--no-kill",
      "--wait=0",
      "--propagate=NONE",  // the user's shell limits are not meant for the servers
      "--chdir=/",
      "--input=none",
      // Written by the nodes: no pipe back to srun that could fill up.
      "--output=" + registry + "/server.%t.log",
  };
  if (facts.binds_to_cpus) command.push_back("--cpu-bind=none");
  command.push_back(settings.server);
  command.push_back(registry);
  if (!settings.config.empty()) command.push_back(settings.config);
  return command;
}

std::string server_log(const std::string& registry, std::uint32_t task) {
  return registry + "/server." + std::to_string(task) + ".log";
}

std::optional<EndedServer> find_ended_server(std::string_view srun_log) {
  while (!srun_log.empty()) {
    const std::size_t length = srun_log.find('\n');
    if (length == srun_log.npos) return std::nullopt;  // still being written
    if (auto ended = parse_ended(srun_log.substr(0, length))) return ended;
    srun_log.remove_prefix(length + 1);
  }
  return std::nullopt;
}

std::string find_own_message(std::string_view log) {
  constexpr std::string_view mark = "error: benchfs: ";
  const std::size_t at = log.find(mark);
  if (at == log.npos) return {};
  log.remove_prefix(at + mark.size());
  return last_line(log.substr(0, log.find('\n')));
}

std::string last_line(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == text.npos) return {};
  text = text.substr(0, end + 1);
  text = text.substr(text.rfind('\n') + 1);
  std::string line(text.substr(0, message_bytes_max));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return line;
}

}  // namespace benchfs::spank
