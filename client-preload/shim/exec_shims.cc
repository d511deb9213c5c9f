// The exec family. A program in the mount is no file to the kernel: it runs from a memfd that holds
// its content; of a script, the interpreter runs with the script's name, as the kernel does it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "client-preload/shim/environment.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/processes.h"
#include "client-preload/shim/route.h"
#include "common/fd.h"
#include "common/sys.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

constexpr std::size_t head_bytes = 256;  // what the kernel reads of a script
constexpr int interpreters_max = 5;      // the kernel's limit on scripts run by scripts
__attribute__((tls_model("initial-exec"))) constinit thread_local int interpreters = 0;

struct Interpreter {
  std::string program;
  std::string argument;  // one, or none
};

Result<Interpreter> parse_interpreter(std::string_view head) {
  constexpr std::string_view blank = " \t";
  std::string_view line = head.substr(2, head.find('\n') - 2);
  const std::size_t start = line.find_first_not_of(blank);
  if (start == std::string_view::npos) return Error(ENOEXEC);
  line.remove_prefix(start);
  if (const std::size_t end = line.find_last_not_of(blank); end != std::string_view::npos)
    line = line.substr(0, end + 1);
  const std::size_t end = std::min(line.find_first_of(blank), line.size());
  Interpreter found{.program = std::string(line.substr(0, end)), .argument = {}};
  const std::size_t rest = line.find_first_not_of(blank, end);
  if (rest != std::string_view::npos) found.argument = line.substr(rest);
  return found;
}

Result<Fd> copy_to_memory(File& file, const char* name) {
  const char* const slash = std::strrchr(name, '/');
  Fd memory(static_cast<int>(
      sys::call(SYS_memfd_create, sys::pointer(slash != nullptr ? slash + 1 : name), MFD_CLOEXEC)));
  if (memory.get() < 0) return Error(-memory.release());
  constexpr std::size_t piece = std::size_t{1} << 20;
  const std::unique_ptr<std::byte[]> buffer(new (std::nothrow) std::byte[piece]);
  if (buffer == nullptr) return Error(ENOMEM);
  for (off_t at = 0;;) {
    TRY(const std::size_t got, file.read_at({buffer.get(), piece}, at));
    if (got == 0) return memory;
    for (std::size_t put = 0; put < got;) {
      const ssize_t n = sys::write(memory.get(), buffer.get() + put, got - put);
      if (n < 0) return Error(static_cast<int>(-n));
      put += static_cast<std::size_t>(n);
    }
    at += static_cast<off_t>(got);
  }
}

// Every exec of the kernel's goes through here. -1 and errno.
template <class Exec>
int leaving(Exec exec) {
  FileSystem* const fs = active();
  if (fs == nullptr) return exec();
  const Status ready = fs->before_exec();
  const int result = ready.ok() ? exec() : -1;
  const int error = ready.ok() ? errno : ready.error().code();
  fs->exec_failed();
  errno = error;
  return result;
}

// Returns only if it failed. `name` is what a script's interpreter is told to open.
Status run(File& file, const char* name, char* const arguments[], char* const environment[]) {
  if (file.is_directory()) return Error(EACCES);
  std::array<std::byte, head_bytes> bytes{};
  TRY(const std::size_t size, file.read_at(bytes, 0));
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), size);

  if (head.starts_with("#!")) {
    if (interpreters >= interpreters_max) return Error(ELOOP);
    TRY(const Interpreter interpreter, parse_interpreter(head));
    std::vector<const char*> all{interpreter.program.c_str()};
    if (!interpreter.argument.empty()) all.push_back(interpreter.argument.c_str());
    all.push_back(name);
    if (arguments != nullptr && arguments[0] != nullptr)
      for (char* const* more = arguments + 1; *more != nullptr; ++more) all.push_back(*more);
    all.push_back(nullptr);
    ++interpreters;
    ::execve(interpreter.program.c_str(), const_cast<char* const*>(all.data()), environment);
    --interpreters;
    return Error::last();
  }
  if (!head.starts_with("\177ELF")) return Error(ENOEXEC);
  TRY(const Fd memory, copy_to_memory(file, name));
  leaving([&] {
    return LIBC(execveat)(memory.get(), "", arguments, environment, AT_EMPTY_PATH);
  });
  return Error::last();
}

// What is not open for reading is opened for it.
Status run_open(File& file, int fd, char* const arguments[], char* const environment[]) {
  TRY(const struct stat status, file.stat());
  if ((status.st_mode & 0111) == 0 || !S_ISREG(status.st_mode)) return Error(EACCES);
  const std::string name = "/dev/fd/" + std::to_string(fd);
  if ((file.flags() & O_PATH) == 0) return run(file, name.c_str(), arguments, environment);
  FileSystem& fs = *active();
  TRY(const int readable,
      fs.open(Path{.inode = file.inode(), .text = {}}, O_RDONLY | O_CLOEXEC, 0));
  const auto opened = fs.find(readable);
  const Status failed =
      opened != nullptr ? run(*opened, name.c_str(), arguments, environment) : Status(Error(EIO));
  close_descriptor(readable);
  return failed;
}

template <class Libc>
int run_at(int dirfd, const char* name, Links links, char* const arguments[],
           char* const environment[], Libc libc) {
  return route(
      dirfd, name, links,
      [&](FileSystem& fs, const Path& path) -> Status {
        TRY_OK(fs.access(path, X_OK, links == Links::follow, true));
        TRY(const int fd, fs.open(path, O_RDONLY | O_CLOEXEC, 0));
        const auto file = fs.find(fd);
        const Status failed =
            file != nullptr ? run(*file, name, arguments, environment) : Status(Error(EIO));
        close_descriptor(fd);
        return failed;
      },
      libc);
}

// A file without a known format is a shell's, says POSIX of execvp.
int run_by_shell(const char* name, char* const arguments[], char* const environment[]) {
  std::vector<const char*> all{"/bin/sh", name};
  if (arguments != nullptr && arguments[0] != nullptr)
    for (char* const* more = arguments + 1; *more != nullptr; ++more) all.push_back(*more);
  all.push_back(nullptr);
  return ::execve("/bin/sh", const_cast<char* const*>(all.data()), environment);
}

int run_plain(const char* name, char* const arguments[], char* const environment[]) {
  return ::execve(name, arguments, environment);
}

int run_or_shell(const char* name, char* const arguments[], char* const environment[]) {
  run_plain(name, arguments, environment);
  return errno == ENOEXEC ? run_by_shell(name, arguments, environment) : -1;
}

// As execvp(3) walks PATH; libc's own walk would miss a directory in the mount.
template <class Run>
int walk_path(const char* name, char* const arguments[], char* const environment[], Run run) {
  if (std::strchr(name, '/') != nullptr) return run(name, arguments, environment);
  if (*name == '\0') {
    errno = ENOENT;
    return -1;
  }
  const std::string path = search_path();
  bool denied = false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    std::string candidate = path.substr(at, end - at);
    if (!candidate.empty()) candidate += '/';
    candidate += name;
    run(candidate.c_str(), arguments, environment);
    switch (errno) {
      case EACCES:
        denied = true;
        break;
      case ENOENT:
      case ENOTDIR:
      case ESTALE:
      case ENODEV:
      case ETIMEDOUT:
        break;
      default:
        return -1;
    }
    at = end + 1;
  }
  if (denied) errno = EACCES;
  return -1;
}

int search(const char* name, char* const arguments[], char* const environment[]) {
  if (active() == nullptr) return LIBC(execvpe)(name, arguments, environment);
  return walk_path(name, arguments, environment, run_or_shell);
}

// The arguments of execl and its kind, ended by a null pointer.
std::vector<char*> collect(const char* first, va_list rest) {
  std::vector<char*> all{const_cast<char*>(first)};
  if (first == nullptr) return all;
  do {
    all.push_back(va_arg(rest, char*));
  } while (all.back() != nullptr);
  return all;
}

}  // namespace

int benchfs::shim::run_by_path(const char* name, char* const arguments[],
                               char* const environment[]) {
  return walk_path(name, arguments, environment, run_plain);
}

BENCHFS_EXPORTS_BEGIN

int execve(const char* name, char* const arguments[], char* const environment[]) {
  return run_at(AT_FDCWD, name, Links::follow, arguments, environment,
                [&](int, const char* elsewhere) {
                  return leaving([&] { return LIBC(execve)(elsewhere, arguments, environment); });
                });
}

int execv(const char* name, char* const arguments[]) { return execve(name, arguments, environ); }

int execvpe(const char* name, char* const arguments[], char* const environment[]) {
  return search(name, arguments, environment);
}

int execvp(const char* name, char* const arguments[]) { return search(name, arguments, environ); }

int execl(const char* name, const char* first, ...) {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = collect(first, rest);
  va_end(rest);
  return execve(name, arguments.data(), environ);
}

int execlp(const char* name, const char* first, ...) {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = collect(first, rest);
  va_end(rest);
  return search(name, arguments.data(), environ);
}

int execle(const char* name, const char* first, ...) {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = collect(first, rest);
  char* const* const environment = va_arg(rest, char* const*);
  va_end(rest);
  return execve(name, arguments.data(), environment);
}

int fexecve(int fd, char* const arguments[], char* const environment[]) {
  return on_file(
      fd, [&](File& file) { return run_open(file, fd, arguments, environment); },
      [&] { return leaving([&] { return LIBC(fexecve)(fd, arguments, environment); }); });
}

int execveat(int dirfd, const char* name, char* const arguments[], char* const environment[],
             int flags) {
  if (means_descriptor(name, flags) && file(dirfd) != nullptr)
    return fexecve(dirfd, arguments, environment);
  return run_at(dirfd, name, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? Links::keep : Links::follow,
                arguments, environment, [&](int directory, const char* elsewhere) {
                  return leaving([&] {
                    return LIBC(execveat)(directory, elsewhere, arguments, environment, flags);
                  });
                });
}

BENCHFS_EXPORTS_END
