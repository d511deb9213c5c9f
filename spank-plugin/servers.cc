#include "spank-plugin/servers.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "common/process.h"
#include "common/result.h"
#include "common/sys.h"
#include "spank-plugin/directories.h"
#include "spank-plugin/environment.h"
#include "spank-plugin/launch.h"
#include "spank-plugin/service.h"

namespace benchfs::spank {
namespace {

constexpr std::string_view starter_name = "starter";
constexpr std::string_view takeover_prefix = "takeover.";
// `ready` may appear by any node's hand on a shared filesystem: there is no event to wait for.
constexpr int look_ms_first = 10;
constexpr int look_ms_later = 50;
constexpr std::int64_t look_often_ns = 3'000'000'000;
constexpr int reason_wait_ms = 500;  // for the reason of an end that srun has reported already
constexpr std::int64_t joiner_extra_ns =
    10'000'000'000;  // the starter fails first, with the reason
constexpr std::size_t log_bytes_max = 64 << 10;
constexpr int attempts_max = 5;

std::string error_text(Error error) { return std::strerror(error.code()); }

// Another node's change to a directory is seen only after the directory was opened again:
// filesystems like NFS otherwise go on answering "no such file" from what they remember.
void look_again(const std::string& directory) {
  const Fd opened(sys::openat(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

bool exists(const std::string& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0;
}

// The end of a file, as much as is worth a message.
std::string read_tail(const std::string& path) {
  const Fd file(sys::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode)) return {};
  const auto size = static_cast<std::size_t>(found.st_size);
  std::string text(std::min(size, log_bytes_max), '\0');
  const ssize_t got =
      sys::pread(file.get(), text.data(), text.size(), static_cast<off_t>(size - text.size()));
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

std::vector<std::string> last_lines(std::string_view text, std::size_t count) {
  std::vector<std::string> lines;
  while (lines.size() < count) {
    const std::string line = last_line(text);
    if (line.empty()) break;
    text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
    text = text.substr(0, text.rfind('\n') == text.npos ? 0 : text.rfind('\n'));
    lines.push_back(line);
  }
  std::reverse(lines.begin(), lines.end());
  return lines;
}

// A process, for those who find its name on a shared filesystem.
struct Starter {
  std::string host;
  ProcessId process = 0;

  static Starter self() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    return {host.data(), process_id(::getpid())};
  }
  static std::optional<Starter> read(const std::string& link) {
    std::array<char, 512> target{};
    const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
    if (length <= 0) return std::nullopt;
    const std::string_view text(target.data(), static_cast<std::size_t>(length));
    const std::size_t colon = text.find(':');
    const auto process = parse_number(text.substr(std::min(colon + 1, text.size())), UINT64_MAX);
    if (colon == text.npos || !process) return Starter{};
    return Starter{std::string(text.substr(0, colon)), *process};
  }
  std::string text() const { return host + ":" + std::to_string(process); }
  // Of a process on another host nothing can be known.
  bool is_dead() const { return host == self().host && !is_alive(process); }
  friend bool operator==(const Starter&, const Starter&) = default;
};

// While it exists, the signals that are meant to end us interrupt our waiting. srun has a thread of
// its own that waits for them and ends the step, which would leave us waiting here; the kernel
// gives a signal for the process to the main thread first, when that waits for it, too.
class Interrupts {
 public:
  Interrupts() {
    ::sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaddset(&signals_, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  // Sleeps. False once one of them has come.
  bool sleep(int milliseconds) {
    const timespec timeout{.tv_sec = milliseconds / 1000,
                           .tv_nsec = (milliseconds % 1000) * 1000000L};
    came_ = came_ || ::sigtimedwait(&signals_, nullptr, &timeout) > 0;
    return !came_;
  }

 private:
  sigset_t signals_;
  sigset_t before_;
  bool came_ = false;
};

class Meeting {
 public:
  Meeting(const Request& request, std::string registry)
      : request_(request), registry_(std::move(registry)), begin_ns_(sys::now_ns()) {}

  Outcome run();

 private:
  std::string path(std::string_view name) const { return registry_ + "/" + std::string(name); }
  bool ready() const { return exists(path("ready")); }
  std::int64_t elapsed_ns() const { return sys::now_ns() - begin_ns_; }
  std::int64_t timeout_ns() const { return request_.settings.timeout_s * std::int64_t{1000000000}; }
  int look_ms() const { return elapsed_ns() < look_often_ns ? look_ms_first : look_ms_later; }

  enum class Role { starter, successor, waiter };
  Result<Role> become_starter();
  void report_failure(Outcome& outcome) const;
  void resign();
  void start(Outcome& outcome);
  void await(Launch& service, const std::string& srun, Outcome& outcome);
  void explain(Outcome& outcome, const std::string& reason, const std::string& log) const;

  const Request& request_;
  const std::string registry_;
  const std::int64_t begin_ns_;
  Interrupts interrupts_;
};

// The starter if nobody is, the successor of one that died, or a waiter for another process.
Result<Meeting::Role> Meeting::become_starter() {
  const std::string link = path(starter_name);
  const std::string self = Starter::self().text();
  if (::symlink(self.c_str(), link.c_str()) == 0) return Role::starter;
  if (errno != EEXIST) return Error::last();
  const auto other = Starter::read(link);
  if (!other || !other->is_dead()) return Role::waiter;
  // One of those who find it dead takes its place: it is the one that makes the directory.
  const std::string takeover = path(std::string(takeover_prefix) + std::to_string(other->process));
  if (::mkdir(takeover.c_str(), 0700) != 0) return Role::waiter;
  const std::string fresh = takeover + "/" + std::string(starter_name);
  if (::symlink(self.c_str(), fresh.c_str()) != 0 || ::rename(fresh.c_str(), link.c_str()) != 0)
    return Error::last();
  return Role::successor;
}

// The one who was starting servers has given up: its reason is ours.
void Meeting::report_failure(Outcome& outcome) const {
  const std::string line = last_line(read_tail(path("failed")));
  outcome.problem = "the servers of this job did not start" + (line.empty() ? "" : ": " + line);
}

void Meeting::resign() {
  const std::string link = path(starter_name);
  if (Starter::read(link) == Starter::self()) ::unlink(link.c_str());
}

Outcome Meeting::run() {
  Outcome outcome;
  bool waited = false;
  while (elapsed_ns() < timeout_ns() + joiner_extra_ns) {
    look_again(registry_);
    if (ready()) {
      outcome.ready = true;
      break;
    }
    if (waited && !exists(path(starter_name))) {
      report_failure(outcome);
      return outcome;
    }
    const auto role = become_starter();
    if (!role.ok()) {
      outcome.problem = "cannot write to the registry " + registry_ + ": " +
                        error_text(role.error()) + "; free space there or tell your administrator";
      return outcome;
    }
    if (*role != Role::waiter) {
      look_again(registry_);
      // They may have become ready, or failed, and their starter left, between our look and our
      // link.
      if (ready())
        outcome.ready = true;
      else if (waited && *role == Role::starter)
        report_failure(outcome);
      else
        start(outcome);
      resign();
      break;
    }
    waited = true;
    if (!interrupts_.sleep(look_ms())) {
      outcome.problem = "interrupted while the servers were starting";
      return outcome;
    }
  }
  if (!outcome.ready && outcome.problem.empty())
    outcome.problem = "waited " + std::to_string(elapsed_ns() / 1'000'000'000) +
                      " s in vain for the servers that another step of this job is starting";
  outcome.seconds = static_cast<double>(elapsed_ns()) / 1e9;
  return outcome;
}

// Empties the registry of what an earlier attempt, or servers that are gone, left there.
void clear_registry(const std::string& registry) {
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir(registry.c_str()), close);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || name == starter_name || name.starts_with(takeover_prefix))
      continue;
    ::unlinkat(::dirfd(directory.get()), entry->d_name, 0);
  }
}

void Meeting::start(Outcome& outcome) {
  clear_registry(registry_);
  const Settings& settings = request_.settings;
  const SlurmFacts facts = request_.facts();
  const std::string log_path = path("service.log");
  const Fd log(sys::openat(AT_FDCWD, log_path.c_str(),
                           O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!log) {
    outcome.problem = "cannot write " + log_path + ": " + error_text(Error(-log.get())) +
                      "; free space there or tell your administrator";
    return;
  }
  auto service = Launch::start(service_command(settings, request_.job, facts),
                               service_environment(request_.environment, settings, request_.job,
                                                   drain_timeout_s(facts.kill_wait_s)),
                               log.get());
  if (!service.ok()) {
    outcome.problem = "cannot start " + facts.srun + ": " + error_text(service.error());
    return;
  }
  outcome.started_here = true;
  await(*service, facts.srun, outcome);
  if (outcome.ready) service->let_go();
}

void Meeting::await(Launch& service, const std::string& srun, Outcome& outcome) {
  const std::string log_path = path("service.log");
  while (true) {
    const bool interrupted = !interrupts_.sleep(look_ms());
    const bool ended = service.wait(0);
    look_again(registry_);
    if (ready()) {
      outcome.ready = true;
      return;
    }
    const std::string log = read_tail(log_path);
    if (exists(path("failed"))) return explain(outcome, "a server gave up", log);
    if (const auto server = find_ended_server(log)) {
      // The server that wrote the reason may sit on another node: its file comes a moment later.
      const std::int64_t until = sys::now_ns() + reason_wait_ms * std::int64_t{1000000};
      do {
        look_again(registry_);
      } while (!exists(path("failed")) && sys::now_ns() < until &&
               interrupts_.sleep(look_ms_first));
      return explain(outcome, server->what, read_tail(log_path));
    }
    if (ended)
      return explain(outcome,
                     srun + " ended with exit code " + std::to_string(service.exit_code()) +
                         " before they were ready",
                     log);
    if (interrupted) {
      outcome.problem = "interrupted while the servers were starting";
      return;
    }
    if (elapsed_ns() > timeout_ns())
      return explain(outcome,
                     "not ready after " + std::to_string(request_.settings.timeout_s) +
                         " s (timeout= in plugstack.conf)",
                     log);
  }
}

void Meeting::explain(Outcome& outcome, const std::string& reason, const std::string& log) const {
  const auto server = find_ended_server(log);
  const std::string server_text = read_tail(server_log(registry_, server ? server->task : 0));
  std::string line = last_line(read_tail(path("failed")));
  if (line.empty()) line = find_own_message(server_text);
  outcome.problem = "the servers of this job did not start: " + (line.empty() ? reason : line);
  // Their own line says it all. Without it the logs have to, and they go with the job.
  if (!line.empty()) return;
  outcome.problem += "; the application was not run; tell your administrator, or use --benchfs=off";
  if (!server) outcome.details = last_lines(log, 2);
  for (std::string& own : last_lines(server_text, 3)) outcome.details.push_back(std::move(own));
}

}  // namespace

Outcome ensure_servers(const Request& request) {
  const std::string of_user = user_registry(request.settings, request.job.uid);
  const std::string of_job = job_registry(request.settings, request.job);
  for (int attempt = 0;; ++attempt) {
    auto made = make_private_directory(of_user);
    const std::string& path = made.ok() ? of_job : of_user;
    if (made.ok()) made = make_private_directory(of_job);
    if (made.ok()) break;
    // The end of another job of ours may remove the user's directory under our feet, when empty.
    if (made.error() == Error(ENOENT) && &path == &of_job && attempt < attempts_max) continue;
    Outcome outcome;
    outcome.problem = "cannot make the registry directory " + path + ": " +
                      (made.error() == Error(EPERM)
                           ? "something else is there, not a directory of yours with mode 0700; "
                             "remove it"
                           : error_text(made.error()) + "; " + request.settings.registry +
                                 " has to be a directory of mode 1777 that all nodes share "
                                 "(registry= in plugstack.conf)");
    return outcome;
  }
  return Meeting(request, of_job).run();
}

}  // namespace benchfs::spank
