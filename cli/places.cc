#include "cli/places.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>
#include <string_view>

#include "cli/failure.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

constexpr const char* server_name = "benchfsd_mpi";
constexpr const char* preload_name = "libbenchfs_preload.so";

std::string program_directory() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == static_cast<ssize_t>(sizeof path)) return ".";
  const std::string_view text(path, static_cast<std::size_t>(n));
  return std::string(text.substr(0, text.rfind('/')));
}

std::string find_part(const char* name, std::initializer_list<const char*> directories) {
  const std::string base = program_directory();
  for (const char* const directory : directories) {
    const std::string candidate = base + "/" + directory + name;
    char resolved[PATH_MAX];
    if (::access(candidate.c_str(), R_OK) == 0 && ::realpath(candidate.c_str(), resolved))
      return resolved;
  }
  throw Failure(exit_code::no_servers,
                std::string(name) + " is not where this program expects it (" + base + "/" +
                    *directories.begin() + "): build or install BenchFS completely");
}

bool is_file(const std::string& path, bool& executable) {
  struct stat there {};
  if (::stat(path.c_str(), &there) != 0) return false;
  executable = S_ISREG(there.st_mode) && ::access(path.c_str(), X_OK) == 0;
  return true;
}

}  // namespace

std::string server_program() { return find_part(server_name, {"", BENCHFS_BIN_TO_SBIN "/"}); }

std::string preload_library() {
  return find_part(preload_name, {"../lib/", BENCHFS_BIN_TO_LIB "/"});
}

std::string find_in_path(const std::string& name) {
  const char* const variable = ::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  std::string not_executable;
  for (;;) {
    const std::string_view directory = path.substr(0, path.find(':'));
    const std::string candidate =
        (directory.empty() ? std::string(".") : std::string(directory)) + "/" + name;
    bool executable = false;
    if (is_file(candidate, executable)) {
      if (executable) return candidate;
      if (not_executable.empty()) not_executable = candidate;
    }
    if (directory.size() == path.size()) return not_executable;
    path.remove_prefix(directory.size() + 1);
  }
}

std::string find_command(const std::string& name) {
  const bool has_slash = name.find('/') != std::string::npos;
  const std::string path = has_slash ? name : name.empty() ? std::string() : find_in_path(name);
  bool executable = false;
  if (path.empty() || !is_file(path, executable))
    throw Failure(exit_code::not_found,
                  "Command not found: " + quoted(name) +
                      (has_slash ? ": check the path" : ": check its name and PATH"));
  if (!executable)
    throw Failure(exit_code::not_executable, "Command is not executable: " + quoted(path) +
                                                 ": it must be a file with x rights");
  return path;
}

}  // namespace benchfs::cli
