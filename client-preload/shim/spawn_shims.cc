// posix_spawn. libc's own is used when the new process has nothing of ours to inherit, open or run;
// otherwise fork and exec do the same, so that the child is accounted for before it exists.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "client-preload/shim/descriptors.h"
#include "client-preload/shim/environment.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/processes.h"
#include "client-preload/shim/route.h"
#include "common/sys.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

using Kind = SpawnAction::Kind;

// glibc keeps the actions in a structure of its own that has no readers, so they are noted as they
// are added. Leaked, so that it outlives every destructor.
std::map<const posix_spawn_file_actions_t*, std::vector<SpawnAction>>& records() {
  static auto* const map =
      new std::map<const posix_spawn_file_actions_t*, std::vector<SpawnAction>>;
  return *map;
}

int note(int result, const posix_spawn_file_actions_t* actions, SpawnAction action) {
  if (result != 0 || active() == nullptr) return result;
  const std::lock_guard lock(registries());
  if (const auto found = records().find(actions); found != records().end())
    found->second.push_back(std::move(action));
  return result;
}

bool is_ours(const char* name) {
  FileSystem* fs = active();
  return fs != nullptr && locate(*fs, AT_FDCWD, name, Links::follow).has_value();
}

bool path_has_ours() {
  const std::string path = search_path();
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    if (is_ours(path.substr(at, end - at).c_str())) return true;
    at = end + 1;
  }
  return false;
}

bool names_ours(const std::vector<SpawnAction>& actions) {
  return std::ranges::any_of(actions, [](const SpawnAction& action) {
    return (action.kind == Kind::open || action.kind == Kind::change_directory) &&
           is_ours(action.name.c_str());
  });
}

// errno of the first that fails, else 0. `report` is the child's end of the error pipe, which
// close_from must leave.
int perform(const SpawnAction& action, int report) {
  switch (action.kind) {
    case Kind::open: {
      ::close(action.fd);
      const int fd = descriptors::open(action.name.c_str(), action.flags, action.mode);
      if (fd < 0) return errno;
      if (fd == action.fd) return 0;
      if (descriptors::replace(fd, action.fd, 0) < 0) return errno;
      ::close(fd);
      return 0;
    }
    case Kind::close:
      ::close(action.fd);
      return 0;
    case Kind::duplicate:
      if (action.fd == action.new_fd)  // asks for no close-on-exec
        return ::fcntl(action.fd, F_SETFD, 0) < 0 ? errno : 0;
      return ::dup2(action.fd, action.new_fd) < 0 ? errno : 0;
    case Kind::change_directory:
      return ::chdir(action.name.c_str()) != 0 ? errno : 0;
    case Kind::use_directory:
      return ::fchdir(action.fd) != 0 ? errno : 0;
    case Kind::close_from: {
      const auto from = static_cast<unsigned>(action.fd);
      const auto keep = static_cast<unsigned>(report);
      if (from < keep) descriptors::close_range(from, keep - 1, 0);
      descriptors::close_range(std::max(from, keep + 1), ~0U, 0);
      return 0;
    }
    case Kind::terminal:
      return ::tcsetpgrp(action.fd, ::getpgrp()) != 0 ? errno : 0;
  }
  return EINVAL;
}

void reset_handlers(const sigset_t& to_default) {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) != 0) continue;
    const bool handled = now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
    if (!handled && ::sigismember(&to_default, signal) != 1) continue;
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
  }
}

// In the child, signals blocked: what the attributes ask for. errno, or 0.
int apply(const posix_spawnattr_t* attributes, const sigset_t& parent_mask, sigset_t& mask) {
  sigset_t to_default;
  sigemptyset(&to_default);
  short flags = 0;
  mask = parent_mask;
  if (attributes != nullptr) {
    ::posix_spawnattr_getflags(attributes, &flags);
    if ((flags & POSIX_SPAWN_SETSIGDEF) != 0)
      ::posix_spawnattr_getsigdefault(attributes, &to_default);
    if ((flags & POSIX_SPAWN_SETSIGMASK) != 0) ::posix_spawnattr_getsigmask(attributes, &mask);
  }
  reset_handlers(to_default);
  if (attributes == nullptr) return 0;
  if ((flags & POSIX_SPAWN_SETSCHEDULER) != 0 || (flags & POSIX_SPAWN_SETSCHEDPARAM) != 0) {
    sched_param parameter{};
    int policy = ::sched_getscheduler(0);
    ::posix_spawnattr_getschedparam(attributes, &parameter);
    if ((flags & POSIX_SPAWN_SETSCHEDULER) != 0)
      ::posix_spawnattr_getschedpolicy(attributes, &policy);
    if (::sched_setscheduler(0, policy, &parameter) != 0) return errno;
  }
  if ((flags & POSIX_SPAWN_SETSID) != 0 && ::setsid() < 0) return errno;
  if ((flags & POSIX_SPAWN_SETPGROUP) != 0) {
    pid_t group = 0;
    ::posix_spawnattr_getpgroup(attributes, &group);
    if (::setpgid(0, group) != 0) return errno;
  }
  if ((flags & POSIX_SPAWN_RESETIDS) != 0 &&
      (::setegid(::getgid()) != 0 || ::seteuid(::getuid()) != 0))
    return errno;
  return 0;
}

template <class Libc>
int spawn(pid_t* child, const char* name, bool search, const posix_spawn_file_actions_t* actions,
          const posix_spawnattr_t* attributes, char* const arguments[], char* const environment[],
          Libc libc) {
  if (active() == nullptr) return libc();
  const auto recorded =
      actions != nullptr ? recorded_actions(actions) : std::optional(std::vector<SpawnAction>());
  if (!recorded) return libc();  // made before the library was there
  const bool by_path = search && std::strchr(name, '/') == nullptr;
  if (!inherits_ours() && !names_ours(*recorded) && !(by_path ? path_has_ours() : is_ours(name)))
    return libc();
  return spawn_by_fork(child, name, search, *recorded, attributes, arguments, environment);
}

}  // namespace

namespace benchfs::shim {

void look_at_inherited() {
  // The lowest numbers are what shells hand on; the first of ours that is found leads to all
  // others.
  constexpr int numbers = 32;
  static std::atomic<bool> done{false};
  if (done.exchange(true)) return;
  FileSystem* fs = active();
  for (int fd = 0; fd < numbers; ++fd)
    if (fs->find(fd) != nullptr) break;
  fs->working_directory_is_ours();
}

bool inherits_ours() {
  FileSystem* fs = active();
  if (fs == nullptr) return false;
  look_at_inherited();
  return !fs->our_descriptors().empty() || fs->working_directory_is_ours();
}

std::optional<std::vector<SpawnAction>> recorded_actions(
    const posix_spawn_file_actions_t* actions) {
  const std::lock_guard lock(registries());
  const auto found = records().find(actions);
  if (found == records().end()) return {};
  return found->second;
}

int spawn_by_fork(pid_t* child, const char* name, bool search_path,
                  const std::vector<SpawnAction>& actions, const posix_spawnattr_t* attributes,
                  char* const arguments[], char* const environment[]) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
  // Out of the way of every number the actions name.
  int highest = STDERR_FILENO;
  for (const SpawnAction& action : actions) highest = std::max({highest, action.fd, action.new_fd});
  const int report = sys::fcntl(ends[1], F_DUPFD_CLOEXEC, highest + 1);
  sys::close(ends[1]);
  if (report < 0) {
    sys::close(ends[0]);
    return -report;
  }

  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t made = ::fork();
  if (made == 0) {
    sigset_t mask;
    int error = apply(attributes, before, mask);
    for (auto action = actions.begin(); error == 0 && action != actions.end(); ++action)
      error = perform(*action, report);
    if (error == 0) {
      ::sigprocmask(SIG_SETMASK, &mask, nullptr);
      if (search_path) {
        run_by_path(name, arguments, environment);
      } else {
        ::execve(name, arguments, environment);
      }
      error = errno;
    }
    sys::write(report, &error, sizeof error);
    ::_exit(127);
  }
  int error = made < 0 ? errno : 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  sys::close(report);
  if (made > 0) {
    // Ends when the child has exec'ed (the pipe is close-on-exec), failed or died.
    ssize_t got = 0;
    int reported = 0;
    do {
      got = sys::read(ends[0], &reported, sizeof reported);
    } while (got == -EINTR);
    if (got == sizeof reported) {
      error = reported;
      ::waitpid(made, nullptr, 0);
    } else if (child != nullptr) {
      *child = made;
    }
  }
  sys::close(ends[0]);
  return error;
}

}  // namespace benchfs::shim

BENCHFS_EXPORTS_BEGIN

int posix_spawn(pid_t* child, const char* name, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[],
                char* const environment[]) {
  return spawn(child, name, false, actions, attributes, arguments, environment, [&] {
    return LIBC(posix_spawn)(child, name, actions, attributes, arguments, environment);
  });
}

int posix_spawnp(pid_t* child, const char* name, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const arguments[],
                 char* const environment[]) {
  return spawn(child, name, true, actions, attributes, arguments, environment, [&] {
    return LIBC(posix_spawnp)(child, name, actions, attributes, arguments, environment);
  });
}

int posix_spawn_file_actions_init(posix_spawn_file_actions_t* actions) {
  const int result = LIBC(posix_spawn_file_actions_init)(actions);
  if (result == 0 && active() != nullptr) {
    const std::lock_guard lock(registries());
    records()[actions].clear();
  }
  return result;
}

int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t* actions) {
  if (active() != nullptr) {
    const std::lock_guard lock(registries());
    records().erase(actions);
  }
  return LIBC(posix_spawn_file_actions_destroy)(actions);
}

int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t* actions, int fd, const char* name,
                                     int flags, mode_t mode) {
  return note(LIBC(posix_spawn_file_actions_addopen)(actions, fd, name, flags, mode), actions,
              {.kind = Kind::open, .fd = fd, .name = name, .flags = flags, .mode = mode});
}

int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t* actions, int fd) {
  return note(LIBC(posix_spawn_file_actions_addclose)(actions, fd), actions,
              {.kind = Kind::close, .fd = fd, .name = {}});
}

int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t* actions, int fd, int new_fd) {
  return note(LIBC(posix_spawn_file_actions_adddup2)(actions, fd, new_fd), actions,
              {.kind = Kind::duplicate, .fd = fd, .new_fd = new_fd, .name = {}});
}

int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t* actions, const char* name) {
  return note(LIBC(posix_spawn_file_actions_addchdir_np)(actions, name), actions,
              {.kind = Kind::change_directory, .name = name});
}

int posix_spawn_file_actions_addfchdir_np(posix_spawn_file_actions_t* actions, int fd) {
  return note(LIBC(posix_spawn_file_actions_addfchdir_np)(actions, fd), actions,
              {.kind = Kind::use_directory, .fd = fd, .name = {}});
}

int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t* actions, int from) {
  return note(LIBC(posix_spawn_file_actions_addclosefrom_np)(actions, from), actions,
              {.kind = Kind::close_from, .fd = from, .name = {}});
}

int posix_spawn_file_actions_addtcsetpgrp_np(posix_spawn_file_actions_t* actions, int fd) {
  return note(LIBC(posix_spawn_file_actions_addtcsetpgrp_np)(actions, fd), actions,
              {.kind = Kind::terminal, .fd = fd, .name = {}});
}

BENCHFS_EXPORTS_END
