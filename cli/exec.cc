// benchfs exec: a command that uses servers which are up.
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/environment.h"
#include "cli/failure.h"
#include "cli/instance.h"
#include "cli/places.h"
#include "common/sys.h"
#include "common/text.h"
#include "registry/host_record.h"

namespace benchfs::cli {
namespace {

constexpr std::int64_t ms = 1'000'000;

// The registry may lie on a filesystem that tells nobody of a change, so this looks again.
Instance await_ready(const ExecOptions& options) {
  const std::int64_t deadline_ns =
      sys::now_ns() + static_cast<std::int64_t>(options.wait_s * 1000) * ms;
  std::int64_t pause_ns = 1 * ms;
  for (;;) {
    Instance instance = read_instance(options.registry, exit_code::no_servers);
    const std::int64_t rest_ns = deadline_ns - sys::now_ns();
    if (instance.ready || rest_ns <= 0) return instance;
    pause_ns = std::min({2 * pause_ns, 50 * ms, rest_ns});
    const timespec pause{.tv_sec = 0, .tv_nsec = pause_ns};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int exec(const ExecOptions& options) {
  const std::string file = find_command(options.command.front());
  const std::string library = preload_library();
  const Instance instance = await_ready(options);
  const NodeRecord& server = reachable_here(instance, exit_code::no_servers);
  if (!instance.ready)
    throw Failure(exit_code::no_servers, "The servers of " + instance.registry +
                                             " are not ready: see what they print, or wait longer "
                                             "(--wait SECONDS)");
  const auto here = read_host_record(server.data_dir.c_str());
  if (!here.ok())
    throw Failure(exit_code::no_servers,
                  "The servers' record in " + server.data_dir +
                      " cannot be read: " + describe(here.error()) +
                      ": only the user who started the servers can use them, on their host");

  EnvironmentBlock environment(environ);
  add_view(environment, {.library = library,
                         .mount_point = server.mount_point,
                         .local_dir = server.data_dir,
                         .registry = instance.registry,
                         .read_only = options.read_only});
  std::vector<std::string> command = options.command;
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::execvpe(file.c_str(), arguments.data(), environment.pointers().data());
  const Error error = Error::last();
  throw Failure(error == Error(ENOENT) ? exit_code::not_found : exit_code::not_executable,
                "Command cannot be run: " + quoted(file) + ": " + describe(error));
}

}  // namespace benchfs::cli
