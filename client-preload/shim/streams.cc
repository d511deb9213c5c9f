#include "client-preload/shim/streams.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ext/stdio_sync_filebuf.h>
#include <istream>
#include <map>
#include <new>
#include <ostream>
#include <string>
#include <type_traits>

#include "client-preload/shim/io.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "common/sys.h"

namespace benchfs::shim::streams {

namespace {

// glibc's <bits/types/struct_FILE.h> publishes the fields, not the flags' names.
constexpr int unbuffered = 0x2, no_reads = 0x4, no_writes = 0x8, line_buffered = 0x200;
constexpr int appending = 0x1000;

struct Stream {
  int fd = -1;
  bool standard = false;
  // What libc's stdin had read ahead when it was switched.
  char* unread = nullptr;
  size_t unread_size = 0;

  size_t take(char* out, size_t size) {
    const size_t taken = std::min(size, unread_size);
    std::memcpy(out, unread, taken);
    unread += taken;
    unread_size -= taken;
    return taken;
  }
};

struct Standard {
  FILE* libc = nullptr;    // what the variable held first
  FILE* cookie = nullptr;  // ours, made when first needed
  Stream stream{};
};
// Neither constructed nor destroyed: used before the one and after the other.
constinit Standard standards[3];
static_assert(std::is_trivially_destructible_v<Standard>);

FILE** variable(int fd) {
  switch (fd) {
    case STDIN_FILENO:
      return &stdin;
    case STDOUT_FILENO:
      return &stdout;
    default:
      return &stderr;
  }
}

// Standard streams are not in it. Leaked, so that it outlives every destructor.
std::map<FILE*, Stream*>& registry() {
  static auto* const map = new std::map<FILE*, Stream*>;
  return *map;
}

ssize_t read_stream(void* cookie, char* data, size_t size) {
  auto* stream = static_cast<Stream*>(cookie);
  if (stream->unread_size > 0) return static_cast<ssize_t>(stream->take(data, size));
  return io::read(stream->fd, data, size);
}

// libc takes a short count for an error, and wants 0, not -1, for none written.
ssize_t write_stream(void* cookie, const char* data, size_t size) {
  const auto* stream = static_cast<const Stream*>(cookie);
  size_t written = 0;
  while (written < size) {
    const ssize_t n = io::write(stream->fd, data + written, size - written);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(written);
}

int seek_stream(void* cookie, off64_t* offset, int whence) {
  auto* stream = static_cast<Stream*>(cookie);
  const off_t at = io::seek(stream->fd, *offset, whence);
  if (at < 0) return -1;
  stream->unread_size = 0;
  *offset = at;
  return 0;
}

int close_stream(void* cookie) {
  auto* stream = static_cast<Stream*>(cookie);
  const int result = close_descriptor(stream->fd);
  if (stream->standard) return result;
  {
    const std::lock_guard lock(registries());
    std::erase_if(registry(), [&](const auto& entry) { return entry.second == stream; });
  }
  delete stream;
  return result;
}

constexpr cookie_io_functions_t functions{
    .read = read_stream, .write = write_stream, .seek = seek_stream, .close = close_stream};

void set_access(FILE* stream, int flags) {
  stream->_flags &= ~(no_reads | no_writes | appending);
  if ((flags & O_ACCMODE) == O_WRONLY) stream->_flags |= no_reads;
  if ((flags & O_ACCMODE) == O_RDONLY) stream->_flags |= no_writes;
  if ((flags & O_APPEND) != 0) stream->_flags |= appending;
}

// std::cout and its siblings hold the FILE they were made with, in a buffer whose class has no
// setter. Only that very class is touched (its virtual table is compared), and in it only the word
// that holds the old pointer. Programs with a static libstdc++ are out of reach.
template <class Char>
void retarget(std::basic_ios<Char>* ios, const char* table, FILE* from, FILE* to) {
  using Buffer = __gnu_cxx::stdio_sync_filebuf<Char>;
  if (ios == nullptr || ios->rdbuf() == nullptr) return;
  auto* const buffer = reinterpret_cast<char*>(ios->rdbuf());
  const auto* const known = static_cast<const char*>(dlsym(RTLD_DEFAULT, table));
  const void* actual = nullptr;
  std::memcpy(&actual, buffer, sizeof actual);
  // Two words, offset to top and type, come before the functions.
  if (known == nullptr || actual != known + 2 * sizeof(void*)) return;
  for (size_t at = sizeof(void*); at + sizeof(void*) <= sizeof(Buffer); at += sizeof(void*)) {
    FILE* held = nullptr;
    std::memcpy(&held, buffer + at, sizeof held);
    if (held == from) std::memcpy(buffer + at, &to, sizeof to);
  }
}

template <class Stream>
void retarget(const char* object, const char* table, FILE* from, FILE* to) {
  // The virtual base is found by the object's virtual table, so a zeroed object (not yet
  // constructed) must be left alone; it will take the variable's value by itself.
  auto* const found = static_cast<Stream*>(dlsym(RTLD_DEFAULT, object));
  if (found == nullptr) return;
  const void* virtual_table = nullptr;
  std::memcpy(&virtual_table, static_cast<const void*>(found), sizeof virtual_table);
  if (virtual_table != nullptr) retarget(found, table, from, to);
}

void retarget_iostreams(int fd, FILE* from, FILE* to) {
  constexpr const char* narrow = "_ZTVN9__gnu_cxx18stdio_sync_filebufIcSt11char_traitsIcEEE";
  constexpr const char* wide = "_ZTVN9__gnu_cxx18stdio_sync_filebufIwSt11char_traitsIwEEE";
  if (fd == STDIN_FILENO) {
    retarget<std::istream>("_ZSt3cin", narrow, from, to);
    retarget<std::wistream>("_ZSt4wcin", wide, from, to);
  } else if (fd == STDOUT_FILENO) {
    retarget<std::ostream>("_ZSt4cout", narrow, from, to);
    retarget<std::wostream>("_ZSt5wcout", wide, from, to);
  } else {
    retarget<std::ostream>("_ZSt4cerr", narrow, from, to);
    retarget<std::ostream>("_ZSt4clog", narrow, from, to);
    retarget<std::wostream>("_ZSt5wcerr", wide, from, to);
    retarget<std::wostream>("_ZSt5wclog", wide, from, to);
  }
}

size_t unread_bytes(const FILE* stream) {
  return (stream->_flags & no_reads) != 0 || stream->_IO_read_ptr == nullptr
             ? 0
             : static_cast<size_t>(stream->_IO_read_end - stream->_IO_read_ptr);
}

// A program that replaces a descriptor under a stream finds what the stream holds written to, or
// still readable from, the new file: buffers belong to the stream.
void move_output(FILE* from, FILE* to) {
  flockfile(from);
  const std::string pending(from->_IO_write_base, __fpending(from));
  if (!pending.empty()) __fpurge(from);
  funlockfile(from);
  if (!pending.empty()) std::fwrite(pending.data(), 1, pending.size(), to);
}

bool make_cookie(int fd) {
  Standard& standard = standards[fd];
  if (standard.cookie != nullptr) return true;
  standard.stream = {.fd = fd, .standard = true};
  standard.cookie = fopencookie(&standard.stream, fd == STDIN_FILENO ? "r" : "w", functions);
  return standard.cookie != nullptr;
}

void switch_to_ours(int fd) {
  Standard& standard = standards[fd];
  FILE*& now = *variable(fd);
  // A program may have put a stream of its own into the variable, or closed libc's.
  if (now == nullptr || now == standard.cookie || now->_fileno != fd) return;
  if (!make_cookie(fd)) return;
  standard.libc = now;
  const int mode = (now->_flags & unbuffered) != 0      ? _IONBF
                   : (now->_flags & line_buffered) != 0 ? _IOLBF
                                                        : _IOFBF;
  setvbuf(standard.cookie, nullptr, mode, 0);
  if (fd == STDIN_FILENO) {
    flockfile(now);
    if (const size_t size = unread_bytes(now); size > 0) {
      // Leaked: it happens at most once or twice in a process.
      if (auto* const copy = static_cast<char*>(std::malloc(size)); copy != nullptr) {
        std::memcpy(copy, now->_IO_read_ptr, size);
        standard.stream.unread = copy;
        standard.stream.unread_size = size;
      }
      __fpurge(now);
    }
    funlockfile(now);
    clearerr(standard.cookie);
  } else {
    move_output(now, standard.cookie);
  }
  retarget_iostreams(fd, now, standard.cookie);
  now = standard.cookie;
}

void switch_to_libc(int fd) {
  Standard& standard = standards[fd];
  FILE*& now = *variable(fd);
  if (standard.cookie == nullptr || now != standard.cookie) return;
  if (fd == STDIN_FILENO) {
    // The cookie stream serves any descriptor; it stays until what it holds has been read.
    if (standard.stream.unread_size > 0 || unread_bytes(now) > 0) return;
    clearerr(standard.libc);
  } else {
    move_output(standard.cookie, standard.libc);
  }
  retarget_iostreams(fd, standard.cookie, standard.libc);
  now = standard.libc;
}

// Descriptors that an exec left us. Most processes have none: an open file of ours is a removed
// directory to the kernel, and only then is anybody asked.
__attribute__((constructor)) void look_at_inherited() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    struct stat status {};
    if (sys::call(SYS_fstat, fd, sys::pointer(&status)) != 0) continue;
    if (S_ISDIR(status.st_mode) && status.st_nlink == 0) changed(fd);
  }
}

}  // namespace

void changed(int fd) {
  if (fd < STDIN_FILENO || fd > STDERR_FILENO) return;
  const int error = errno;
  if (file(fd) != nullptr) {
    switch_to_ours(fd);
  } else {
    switch_to_libc(fd);
  }
  errno = error;
}

Result<Mode> parse_mode(std::string_view mode) {
  Mode parsed{};
  switch (mode.empty() ? '\0' : mode[0]) {
    case 'r':
      parsed.flags = O_RDONLY;
      break;
    case 'w':
      parsed.flags = O_WRONLY | O_CREAT | O_TRUNC;
      break;
    case 'a':
      parsed.flags = O_WRONLY | O_CREAT | O_APPEND;
      break;
    default:
      return Error(EINVAL);
  }
  parsed.append = mode[0] == 'a';
  for (const char c : mode.substr(1)) {
    if (c == ',') break;
    if (c == '+') parsed.flags = (parsed.flags & ~O_ACCMODE) | O_RDWR;
    if (c == 'x') parsed.flags |= O_EXCL;
    if (c == 'e') parsed.flags |= O_CLOEXEC;
  }
  return parsed;
}

Result<FILE*> make(int fd, const Mode& mode) {
  auto* stream = new (std::nothrow) Stream{.fd = fd};
  if (stream == nullptr) return Error(ENOMEM);
  const bool update = (mode.flags & O_ACCMODE) == O_RDWR;
  const bool write = (mode.flags & O_ACCMODE) == O_WRONLY;
  const char* const text = mode.append ? (update ? "a+" : "a") : update ? "r+" : write ? "w" : "r";
  FILE* const made = fopencookie(stream, text, functions);
  if (made == nullptr) {
    delete stream;
    return Error(ENOMEM);
  }
  const std::lock_guard lock(registries());
  registry()[made] = stream;
  return made;
}

std::optional<int> descriptor(FILE* stream) {
  if (stream->_fileno >= 0) return {};  // libc's own, and no need for the lock
  for (const Standard& standard : standards)
    if (stream == standard.cookie) return standard.stream.fd;
  const std::lock_guard lock(registries());
  const auto found = registry().find(stream);
  if (found == registry().end()) return {};
  return found->second->fd;
}

std::optional<int> standard_descriptor(FILE* stream) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (stream == standards[fd].cookie || stream == standards[fd].libc || stream == *variable(fd))
      return fd;
  return {};
}

bool is_standard_cookie(FILE* stream) {
  for (const Standard& standard : standards)
    if (stream == standard.cookie) return true;
  return false;
}

FILE* current(int standard_fd) { return *variable(standard_fd); }

void reopened(FILE* stream, const Mode& mode) {
  clearerr(stream);
  set_access(stream, mode.flags);
}

}  // namespace benchfs::shim::streams
