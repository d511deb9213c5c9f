// benchfs: runs programs with a BenchFS mount, and looks after servers.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/failure.h"
#include "common/text.h"
#include "common/version.h"

namespace benchfs::cli {
namespace {

constexpr const char* exit_codes =
    "Exit codes: COMMAND's own, or 128 and the signal's number; 2 usage; 125 the servers did not\n"
    "start or are not there; 126 COMMAND is not executable; 127 COMMAND not found.";

// CLI11 does not show what it leaves to us.
class LauncherHelp final : public CLI::Formatter {
 public:
  explicit LauncherHelp(std::string name) : name_(std::move(name)) {}
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: benchfs " + name_ + " [OPTIONS] -- COMMAND [ARGUMENT...]\n";
  }

 private:
  std::string name_;
};

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* const command = app.add_subcommand(name, help);
  command->set_version_flag("--version", "benchfs " + std::string(version()),
                            "Print the version and exit");
  return command;
}

CLI::App* add_launcher(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* const command = add_command(app, name, help);
  command->prefix_command();
  command->formatter(std::make_shared<LauncherHelp>(name));
  command->footer(exit_codes);
  return command;
}

CLI::Option* add_registry(CLI::App* command, std::string& registry) {
  return command
      ->add_option("--registry", registry, "Registry directory of the servers (benchfsd_mpi DIR)")
      ->type_name("DIR")
      ->required();
}

std::string check_path(const std::string& path) {
  if (is_normal_absolute(path)) return {};
  return benchfs::quoted(path) +
         " is not an absolute path without '.', '..', double or trailing slashes";
}

// The help text says it in words.
CLI::Validator without_name(CLI::Validator validator) { return validator.description(""); }

// What CLI11 did not take, or what stood behind "--".
std::vector<std::string> command_of(const CLI::App* app, std::vector<std::string> after) {
  std::vector<std::string> command = app->remaining();
  if (!command.empty() && command.front().starts_with('-'))
    throw Failure(exit_code::usage, "Unknown option " + benchfs::quoted(command.front()) +
                                        " (benchfs " + app->get_name() + " --help tells more)");
  command.insert(command.end(), after.begin(), after.end());
  if (command.empty())
    throw Failure(exit_code::usage, "COMMAND is missing: benchfs " + app->get_name() +
                                        " [OPTIONS] -- COMMAND [ARGUMENT...]");
  return command;
}

int dispatch(int argc, char** argv) {
  CLI::App app{"BenchFS: a parallel file system for the life of one job."};
  app.name("benchfs");
  app.set_version_flag("--version", "benchfs " + std::string(version()),
                       "Print the version and exit");
  app.require_subcommand(1);
  app.footer("benchfs COMMAND --help tells more; see also benchfs(1).");

  RunOptions run_options;
  CLI::App* const runs = add_launcher(
      app, "run", "Start servers on this machine, run COMMAND with the mount, end the servers");
  runs->add_option("-n,--servers", run_options.servers, "Number of servers, at most 1024")
      ->type_name("N")
      ->check(without_name(CLI::Range(1U, 1024U)))
      ->capture_default_str();
  runs->add_option("--mount", run_options.mount_point,
                   "Path below which COMMAND sees the file system (default: /benchfs)")
      ->type_name("DIR")
      ->check(CLI::Validator(check_path, ""));
  runs->add_option("--data-dir", run_options.data_dir,
                   "Directory for the contents of files (default: storage.data_dir of the\n"
                   "configuration, else a new directory in /dev/shm, which is memory, or\n"
                   "in $TMPDIR where there is no /dev/shm); it is emptied at the end")
      ->type_name("DIR");
  runs->add_option("--config", run_options.config_file,
                   "Configuration file (default: benchfs.conf in the working directory, if\n"
                   "there)")
      ->type_name("FILE")
      ->check(without_name(CLI::ExistingFile));

  constexpr const char* read_only = "COMMAND may change nothing in the mount: EROFS";
  runs->add_flag("--read-only", run_options.read_only, read_only);

  ExecOptions exec_options;
  CLI::App* const execs =
      add_launcher(app, "exec", "Run COMMAND with the mount of running servers");
  add_registry(execs, exec_options.registry);
  execs->add_option("--wait", exec_options.wait_s, "How long to wait for servers that are starting")
      ->type_name("SECONDS")
      ->check(without_name(CLI::Range(0.0, 86400.0)))
      ->capture_default_str();
  execs->add_flag("--read-only", exec_options.read_only, read_only);

  StatusOptions status_options;
  CLI::App* const statuses = add_command(app, "status", "Show ranks, hosts, files and space");
  add_registry(statuses, status_options.registry);
  statuses->add_flag("--json", status_options.json, "Print JSON");
  statuses->footer("Exit codes: 0 all ranks are up; 1 not all, or none; 2 usage.");

  FsckOptions fsck_options;
  CLI::App* const fscks =
      add_command(app, "fsck", "Check that names, inodes and contents of all ranks fit together");
  add_registry(fscks, fsck_options.registry);
  fscks->add_flag("--json", fsck_options.json, "Print JSON");
  fscks->footer(
      "Exit codes: 0 no damage; 1 damage; 2 usage; 3 programs changed files all the while;\n"
      "125 the servers are not there, or not all of them.");

  StopOptions stop_options;
  CLI::App* const stops = add_command(app, "stop", "End the servers of all hosts, and their data");
  add_registry(stops, stop_options.registry);
  stops->footer("Exit codes: 0 they have ended; 1 they cannot be reached, or go on; 2 usage.");

  // COMMAND's options are not ours: nothing behind "--" is shown to the parser.
  const std::vector<std::string> all(argv + std::min(argc, 1), argv + argc);
  const auto dashes = std::find(all.begin(), all.end(), "--");
  std::vector<std::string> ours(all.begin(), dashes);
  const std::vector<std::string> command(dashes == all.end() ? dashes : dashes + 1, all.end());
  try {
    std::reverse(ours.begin(), ours.end());
    app.parse(ours);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    throw Failure(exit_code::usage, one_line(error.what()) + " (benchfs --help tells more)");
  }
  if (runs->parsed()) {
    run_options.command = command_of(runs, command);
    return run(run_options);
  }
  if (execs->parsed()) {
    exec_options.command = command_of(execs, command);
    return exec(exec_options);
  }
  if (!command.empty()) throw Failure(exit_code::usage, "Nothing is expected behind '--'");
  if (statuses->parsed()) return status(status_options);
  return fscks->parsed() ? fsck(fsck_options) : stop(stop_options);
}

}  // namespace
}  // namespace benchfs::cli

int main(int argc, char** argv) {
  try {
    return benchfs::cli::dispatch(argc, argv);
  } catch (const benchfs::cli::Failure& failure) {
    std::fprintf(stderr, "benchfs: %s\n", failure.what());
    return failure.code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "benchfs: %s\n", error.what());
    return benchfs::cli::exit_code::no_servers;
  }
}
