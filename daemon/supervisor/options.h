// The command line of benchfsd_mpi.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace benchfs {

struct Options {
  std::string registry_dir;
  std::optional<std::string> config_file;  // given, or ./benchfs.conf if that is there
  std::vector<std::string> settings;       // section.key=value
};

// Text to print and the exit code to end with: --help and the like, or a usage error.
struct EndNow {
  int exit_code = 0;
  std::string text;
};

std::variant<Options, EndNow> parse_options(int argc, const char* const* argv);

}  // namespace benchfs
