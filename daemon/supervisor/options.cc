#include "daemon/supervisor/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "common/config.h"
#include "common/text.h"
#include "common/version.h"
#include "registry/start_failure.h"

namespace benchfs {

std::variant<Options, EndNow> parse_options(int argc, const char* const* argv) {
  CLI::App app{"Serves one rank of a BenchFS file system. Start one per rank with mpirun or srun."};
  app.name("benchfsd_mpi");
  app.set_version_flag("--version", "benchfsd_mpi " + std::string(version()),
                       "Print the version and exit");
  app.footer("Settings are described by --help-config and in benchfs.conf(5).");

  Options options;
  bool help_config = false;
  std::string config_file;
  CLI::Option* const registry =
      app.add_option("REGISTRY_DIR", options.registry_dir,
                     "Directory, yours alone and seen by all hosts, where the ranks meet");
  app.add_option("CONFIG_FILE", config_file,
                 "Configuration file; default: benchfs.conf in the working directory, if there");
  app.add_option("--set", options.settings, "Set one setting; may be repeated")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--help-config", help_config, "Print all settings with their defaults and exit");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return EndNow{exit_code::orderly, app.help()};
  } catch (const CLI::CallForVersion& call) {
    return EndNow{exit_code::orderly, std::string(call.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    return EndNow{exit_code::usage, "benchfsd_mpi: " + one_line(error.what()) +
                                        " (benchfsd_mpi --help tells more)\n"};
  }
  if (help_config) return EndNow{exit_code::orderly, benchfs::help_config()};
  if (registry->count() == 0 || options.registry_dir.empty())
    return EndNow{exit_code::usage,
                  "benchfsd_mpi: REGISTRY_DIR is missing (benchfsd_mpi --help tells more)\n"};
  if (!config_file.empty())
    options.config_file = config_file;
  else if (::access("benchfs.conf", F_OK) == 0)
    options.config_file = "benchfs.conf";
  return options;
}

}  // namespace benchfs
