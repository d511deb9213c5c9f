// fopen and what else makes, replaces or asks for the descriptor of a stream. Reading and writing a
// stream needs no shim: libc calls the cookie's functions (streams.h).
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "client-preload/shim/descriptors.h"
#include "client-preload/shim/io.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "client-preload/shim/streams.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

Result<FILE*> open_stream(FileSystem& fs, const Path& path, const char* text) {
  TRY(const streams::Mode mode, streams::parse_mode(text));
  TRY(const int fd, fs.open(path, mode.flags, 0666));
  auto stream = streams::make(fd, mode);
  if (!stream.ok()) {
    close_descriptor(fd);
    return stream;
  }
  // As libc does: a stream that only appends starts at the end.
  if (mode.append && (mode.flags & O_ACCMODE) == O_WRONLY) io::seek(fd, 0, SEEK_END);
  if (fd <= STDERR_FILENO) streams::changed(fd);
  return stream;
}

Result<FILE*> adopt_descriptor(int fd, File& file, const char* text) {
  TRY(streams::Mode mode, streams::parse_mode(text));
  const int have = file.flags();
  const int access = have & O_ACCMODE;
  const int want = mode.flags & O_ACCMODE;
  if (access != O_RDWR && access != want) return Error(EINVAL);
  if (mode.append && (have & O_APPEND) == 0) {
    TRY_OK(file.set_flags(have | O_APPEND));
    TRY([[maybe_unused]] const off_t end, file.seek(0, SEEK_END));
  }
  return streams::make(fd, mode);
}

// The stream keeps its descriptor's number. `name` null: the same file, with another mode.
Result<FILE*> reopen(FILE* stream, int fd, const char* name, const char* text) {
  TRY(const streams::Mode mode, streams::parse_mode(text));
  std::fflush(stream);
  if (name == nullptr) {
    const int have = descriptors::status_flags(fd);
    if (have < 0) return Error::last();
    const int access = have & O_ACCMODE;
    if (access != O_RDWR && access != (mode.flags & O_ACCMODE)) return Error(EBADF);
    if (mode.append && descriptors::set_status_flags(fd, have | O_APPEND) < 0) return Error::last();
  } else {
    const int fresh = descriptors::open(name, mode.flags, 0666);
    if (fresh < 0) {
      const Error error = Error::last();
      close_descriptor(fd);
      return error;
    }
    if (fresh != fd) {
      const int result = descriptors::replace(fresh, fd, mode.flags & O_CLOEXEC);
      const Error error = result < 0 ? Error::last() : Error(EBADF);
      close_descriptor(fresh);
      if (result < 0) return error;
    }
  }
  FILE* const now =
      streams::standard_descriptor(stream).has_value() ? streams::current(fd) : stream;
  if (streams::descriptor(now).has_value()) {
    streams::reopened(now, mode);
  } else {
    std::clearerr(now);
  }
  return now;
}

// Whether freopen is ours to do: the stream or the new file is.
bool reopens_ours(FILE* stream, const char* name) {
  if (streams::descriptor(stream).has_value()) return true;
  FileSystem* fs = active();
  if (fs == nullptr || name == nullptr) return false;
  return locate(*fs, AT_FDCWD, name, Links::follow).has_value();
}

int print(int fd, const char* format, va_list arguments) {
  char* text = nullptr;
  const int length = vasprintf(&text, format, arguments);
  if (length < 0) return -1;
  const auto size = static_cast<size_t>(length);
  size_t written = 0;
  while (written < size) {
    const ssize_t n = io::write(fd, text + written, size - written);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  free(text);
  return written == size ? length : -1;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

FILE* fopen(const char* name, const char* mode) {
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) { return open_stream(fs, path, mode); },
      [&](int, const char* elsewhere) { return LIBC(fopen)(elsewhere, mode); });
}
FILE* fopen64(const char*, const char*) BENCHFS_ALIAS(fopen);
FILE* _IO_fopen(const char*, const char*) BENCHFS_ALIAS(fopen);

FILE* fdopen(int fd, const char* mode) {
  return on_file(
      fd, [&](File& file) { return adopt_descriptor(fd, file, mode); },
      [&] { return LIBC(fdopen)(fd, mode); });
}
FILE* _IO_fdopen(int, const char*) BENCHFS_ALIAS(fdopen);

FILE* freopen(const char* name, const char* mode, FILE* stream) {
  if (!reopens_ours(stream, name)) return LIBC(freopen)(name, mode, stream);
  if (const auto fd = streams::descriptor(stream)) return to_c(reopen(stream, *fd, name, mode));
  if (const auto fd = streams::standard_descriptor(stream))
    return to_c(reopen(stream, *fd, name, mode));
  // A stream of libc's other than the standard ones cannot become one of ours in place.
  errno = ENOTSUP;
  return nullptr;
}
FILE* freopen64(const char*, const char*, FILE*) BENCHFS_ALIAS(freopen);

int fclose(FILE* stream) {
  if (streams::is_standard_cookie(stream)) {
    const int flushed = std::fflush(stream);
    const int error = errno;
    const int closed = close_descriptor(*streams::descriptor(stream));
    if (flushed != 0) errno = error;
    return flushed != 0 || closed != 0 ? EOF : 0;
  }
  // libc closes by a call we do not see; what its stream was put on by dup2 must be accounted.
  const int fd = stream->_fileno;
  FileSystem* fs = active();
  if (fd < 0 || fs == nullptr || !fs->closing(fd)) return LIBC(fclose)(stream);
  const int result = LIBC(fclose)(stream);
  if (fd <= STDERR_FILENO) streams::changed(fd);
  return result;
}
int _IO_fclose(FILE*) BENCHFS_ALIAS(fclose);

int fileno(FILE* stream) {
  if (const auto fd = streams::descriptor(stream)) return *fd;
  return LIBC(fileno)(stream);
}
int fileno_unlocked(FILE*) BENCHFS_ALIAS(fileno);

int vdprintf(int fd, const char* format, va_list arguments) {
  if (file(fd) != nullptr) return print(fd, format, arguments);
  return LIBC(vdprintf)(fd, format, arguments);
}

int dprintf(int fd, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = vdprintf(fd, format, arguments);
  va_end(arguments);
  return result;
}

// %n and the like are checked by libc's own, on what is not ours.
int __vdprintf_chk(int fd, int flag, const char* format, va_list arguments) {
  if (file(fd) != nullptr) return print(fd, format, arguments);
  return LIBC(__vdprintf_chk)(fd, flag, format, arguments);
}

int __dprintf_chk(int fd, int flag, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = __vdprintf_chk(fd, flag, format, arguments);
  va_end(arguments);
  return result;
}

BENCHFS_EXPORTS_END
