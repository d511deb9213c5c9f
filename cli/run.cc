// benchfs run: servers for one command.
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "cli/child.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/local_servers.h"
#include "cli/places.h"
#include "cli/signals.h"
#include "common/sys.h"
#include "common/text.h"

namespace benchfs::cli {
namespace {

void warn(const std::string& line) { std::fprintf(stderr, "benchfs: %s\n", line.c_str()); }

// Until COMMAND has ended. Signals to us are for it; those of the terminal it has had already.
int await(Child& command, LocalServers& servers, Signals& signals) {
  bool servers_there = true;
  while (!command.ended()) {
    pollfd watched[] = {
        {.fd = command.pidfd(), .events = POLLIN, .revents = 0},
        {.fd = signals.fd(), .events = POLLIN, .revents = 0},
        {.fd = servers_there ? servers.pidfd() : -1, .events = POLLIN, .revents = 0}};
    if (::poll(watched, std::size(watched), -1) < 0) continue;  // EINTR
    while (const auto received = signals.next())
      if (!received->from_terminal) command.send(received->number);
    if (watched[2].revents != 0) servers_there = false;
  }
  if (!servers_there) warn("The servers ended before the command did");
  return shell_code(*command.wait(0));
}

}  // namespace

int run(const RunOptions& options) {
  const std::string file = find_command(options.command.front());
  Signals signals;
  LocalServers servers(options, signals);
  servers.await_ready(signals);

  EnvironmentBlock environment(environ);
  View view = servers.view();
  view.read_only = options.read_only;
  add_view(environment, view);
  auto command = Child::start({.file = file,
                               .arguments = options.command,
                               .environment = std::move(environment),
                               .signal_mask = signals.original_mask(),
                               .working_directory = {}});
  if (!command.ok()) {
    const Error error = command.error();
    throw Failure(error == Error(ENOENT) ? exit_code::not_found : exit_code::not_executable,
                  "Command cannot be run: " + quoted(file) + ": " + describe(error));
  }
  const int code = await(*command, servers, signals);
  if (const auto problem = servers.stop()) warn(*problem);
  return code;
}

}  // namespace benchfs::cli
