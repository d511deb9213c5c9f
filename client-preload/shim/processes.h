// What processes made by libc itself would miss: posix_spawn, system and popen clone without a
// fork's bookkeeping, so that an inherited file would lose its place in the open-file table.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace benchfs::shim {

// Finds what an exec left this process, in case it has not touched any of it yet. Once.
void look_at_inherited();
// Whether a new process inherits anything of ours: a descriptor, or the working directory.
bool inherits_ours();

struct SpawnAction {
  enum class Kind { open, close, duplicate, change_directory, use_directory, close_from, terminal };
  Kind kind;
  int fd = -1;      // what the action is about
  int new_fd = -1;  // duplicate
  std::string name;
  int flags = 0;
  mode_t mode = 0;
};

// What was added to `actions` through the shims, in order; empty when they were not seen.
std::optional<std::vector<SpawnAction>> recorded_actions(const posix_spawn_file_actions_t* actions);

// posix_spawn by fork and exec. The errno, or 0 and *child.
int spawn_by_fork(pid_t* child, const char* name, bool search_path,
                  const std::vector<SpawnAction>& actions, const posix_spawnattr_t* attributes,
                  char* const arguments[], char* const environment[]);

// execvpe(3) without its way out for files of unknown format, which posix_spawnp does not take.
int run_by_path(const char* name, char* const arguments[], char* const environment[]);

}  // namespace benchfs::shim
