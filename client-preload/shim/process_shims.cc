// fork and what libc builds on it.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/processes.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

// The child holds every inherited file before it exists, so that the parent may close its own.
template <class Libc>
pid_t forked(Libc libc) {
  FileSystem* fs = active();
  if (fs == nullptr) return libc();
  look_at_inherited();
  registries().lock();
  fs->before_fork();
  const pid_t child = libc();
  const int error = errno;
  if (child == 0) {
    fs->after_fork_child();
  } else {
    fs->after_fork_parent(child);
  }
  registries().unlock();
  errno = error;
  return child;
}

// A shell as system(3) and popen(3) start it.
int spawn_shell(pid_t* child, const char* command, const std::vector<SpawnAction>& actions,
                const posix_spawnattr_t* attributes) {
  char* const arguments[] = {const_cast<char*>("sh"), const_cast<char*>("-c"),
                             const_cast<char*>(command), nullptr};
  return spawn_by_fork(child, "/bin/sh", false, actions, attributes, arguments, environ);
}

int wait_for(pid_t child) {
  int status = -1;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

int run_shell(const char* command) {
  struct sigaction ignore {
  }, interrupt{}, quit{};
  ignore.sa_handler = SIG_IGN;
  sigset_t child_signal, before;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  ::sigaction(SIGINT, &ignore, &interrupt);
  ::sigaction(SIGQUIT, &ignore, &quit);
  ::pthread_sigmask(SIG_BLOCK, &child_signal, &before);

  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t to_default;
  sigemptyset(&to_default);
  if (interrupt.sa_handler != SIG_IGN) sigaddset(&to_default, SIGINT);
  if (quit.sa_handler != SIG_IGN) sigaddset(&to_default, SIGQUIT);
  ::posix_spawnattr_setsigmask(&attributes, &before);
  ::posix_spawnattr_setsigdefault(&attributes, &to_default);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t child = -1;
  const int error = spawn_shell(&child, command, {}, &attributes);
  ::posix_spawnattr_destroy(&attributes);
  const int status = error == 0 ? wait_for(child) : W_EXITCODE(127, 0);

  ::sigaction(SIGINT, &interrupt, nullptr);
  ::sigaction(SIGQUIT, &quit, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) errno = error;
  return status;
}

// Leaked, so that it outlives every destructor.
std::map<FILE*, pid_t>& pipes() {
  static auto* const map = new std::map<FILE*, pid_t>;
  return *map;
}

Result<FILE*> open_pipe(const char* command, const char* mode) {
  const bool reads = mode[0] == 'r';
  if (!reads && mode[0] != 'w') return Error(EINVAL);
  for (const char* c = mode + 1; *c != '\0'; ++c)
    if (*c != 'e') return Error(EINVAL);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::last();
  const int mine = ends[reads ? 0 : 1];
  const int theirs = ends[reads ? 1 : 0];
  FILE* const stream = ::fdopen(mine, reads ? "r" : "w");
  if (stream == nullptr) {
    const Error error = Error::last();
    ::close(mine);
    ::close(theirs);
    return error;
  }
  pid_t child = -1;
  const int error = spawn_shell(&child, command,
                                {{.kind = SpawnAction::Kind::duplicate,
                                  .fd = theirs,
                                  .new_fd = reads ? STDOUT_FILENO : STDIN_FILENO,
                                  .name = {}}},
                                nullptr);
  ::close(theirs);
  if (error != 0) {
    std::fclose(stream);
    return Error(error);
  }
  // Ours stay close-on-exec without "e" too: no later child is to hold the pipe open.
  const std::lock_guard lock(registries());
  pipes()[stream] = child;
  return stream;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

pid_t fork(void) {
  return forked([] { return LIBC(fork)(); });
}
pid_t __fork(void) BENCHFS_ALIAS(fork);

// A child that shares the parent's memory would share, and then break, what the library knows of
// its process.
pid_t vfork(void) {
  return forked([] { return LIBC(fork)(); });
}
pid_t __vfork(void) BENCHFS_ALIAS(vfork);

pid_t _Fork(void) {
  return forked([] { return LIBC(_Fork)(); });
}

int daemon(int keep_directory, int keep_streams) {
  if (active() == nullptr) return LIBC(daemon)(keep_directory, keep_streams);
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child > 0) ::_exit(0);
  if (::setsid() < 0) return -1;
  if (keep_directory == 0 && ::chdir("/") != 0) return -1;
  if (keep_streams != 0) return 0;
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0) return -1;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::dup2(null, fd) < 0) return -1;
  if (null > STDERR_FILENO) ::close(null);
  return 0;
}

int login_tty(int fd) {
  if (active() == nullptr) return LIBC(login_tty)(fd);
  ::setsid();
  if (::ioctl(fd, TIOCSCTTY, nullptr) != 0) return -1;
  for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; ++standard)
    if (::dup2(fd, standard) < 0) return -1;
  if (fd > STDERR_FILENO) ::close(fd);
  return 0;
}

int forkpty(int* master, char* name, const struct termios* settings, const struct winsize* size) {
  if (active() == nullptr) return LIBC(forkpty)(master, name, settings, size);
  int mine = -1, theirs = -1;
  if (::openpty(&mine, &theirs, name, settings, size) < 0) return -1;
  const pid_t child = fork();
  if (child < 0) {
    const int error = errno;
    ::close(mine);
    ::close(theirs);
    errno = error;
    return -1;
  }
  if (child == 0) {
    ::close(mine);
    if (login_tty(theirs) != 0) ::_exit(1);
    return 0;
  }
  *master = mine;
  ::close(theirs);
  return child;
}

int system(const char* command) {
  if (!inherits_ours()) return LIBC(system)(command);
  // Null asks whether there is a shell.
  return command != nullptr ? run_shell(command) : (run_shell("exit 0") == 0 ? 1 : 0);
}

FILE* popen(const char* command, const char* mode) {
  if (!inherits_ours()) return LIBC(popen)(command, mode);
  return to_c(open_pipe(command, mode));
}
FILE* _IO_popen(const char*, const char*) BENCHFS_ALIAS(popen);

int pclose(FILE* stream) {
  pid_t child = -1;
  {
    const std::lock_guard lock(registries());
    if (const auto found = pipes().find(stream); found != pipes().end()) {
      child = found->second;
      pipes().erase(found);
    }
  }
  if (child < 0) return LIBC(pclose)(stream);
  std::fclose(stream);
  return wait_for(child);
}

BENCHFS_EXPORTS_END
