#include "daemon/supervisor/supervise.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <variant>

#include "common/config.h"
#include "common/log.h"
#include "daemon/supervisor/bootstrap.h"
#include "daemon/supervisor/options.h"
#include "daemon/supervisor/signals.h"
#include "daemon/supervisor/supervisor.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

// Each client brings several descriptors, and the worker inherits the limit.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int supervise(const Options& options, const Environment& environment) {
  Supervisor::Settings settings;
  settings.registry_dir = options.registry_dir;
  settings.config = load_config(options.config_file, options.settings, environ);
  settings.log_level_forced = log_level_forced(environ);
  settings.service_step = environment.text("BENCHFS_SERVICE_STEP") == "1";

  const Place place = find_place(settings.config.node.bootstrap, environment);
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  init_log({.level = settings.config.log.level,
            .every_rank = settings.log_level_forced,
            .rank = place.rank,
            .host = host,
            .file = settings.config.log.file});
  Signals signals({.service_step = settings.service_step, .under_mpirun = place.under_mpirun});
  Supervisor supervisor(settings, place, environment, signals);
  const int code = supervisor.run();
  // The thread of a start that was cut short may hang in PMIx or MPI for good.
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace

int run_supervisor(int argc, char** argv) {
  ::umask(077);
  const Environment environment(environ);
  const bool tells = is_first_on_host(environment);
  const auto parsed = parse_options(argc, argv);
  if (const auto* const now = std::get_if<EndNow>(&parsed)) {
    if (tells) std::fputs(now->text.c_str(), now->exit_code == 0 ? stdout : stderr);
    return now->exit_code;
  }
  raise_descriptor_limit();
  try {
    return supervise(std::get<Options>(parsed), environment);
  } catch (const ConfigError& error) {
    if (tells) log::error("{}", error.what());
    return exit_code::configuration;
  } catch (const StartFailure& failure) {
    if (tells || failure.teller() == Teller::self) log::error("{}", failure.what());
    return failure.code();
  }
}

}  // namespace benchfs
