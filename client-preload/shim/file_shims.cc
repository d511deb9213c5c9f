// open and its variants, and reading, writing and sizing what is open. Built without
// _FILE_OFFSET_BITS, which would rename the very symbols defined here.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <limits>
#include <span>
#include <vector>

#include "client-preload/shim/descriptors.h"
#include "client-preload/shim/io.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "client-preload/shim/streams.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

// glibc reads a mode for O_TMPFILE too, not for O_CREAT alone.
bool takes_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

template <class Libc>
int open_at(int dirfd, const char* name, int flags, mode_t mode, Libc libc) {
  const int fd = route(
      dirfd, name, (flags & O_NOFOLLOW) != 0 ? Links::keep : Links::follow,
      [&](FileSystem& fs, const Path& path) { return fs.open(path, flags, mode); },
      [&](int directory, const char* elsewhere) {
        const int opened = libc(directory, elsewhere);
        passed(opened);
        return opened;
      });
  if (fd >= 0 && fd <= STDERR_FILENO) streams::changed(fd);
  return fd;
}

std::span<std::byte> bytes(void* data, std::size_t size) {
  return {static_cast<std::byte*>(data), std::min(size, transfer_max)};
}
std::span<const std::byte> bytes(const void* data, std::size_t size) {
  return {static_cast<const std::byte*>(data), std::min(size, transfer_max)};
}

// The pieces of an iovec as File takes them, clipped to what one call moves.
template <class Span>
class Pieces {
 public:
  Result<std::span<const Span>> from(const iovec* vector, int count) {
    if (count < 0 || count > pieces_max) return Error(EINVAL);
    const auto pieces = static_cast<std::size_t>(count);
    if (pieces > few_.size()) many_.resize(pieces);
    Span* const out = pieces > few_.size() ? many_.data() : few_.data();
    std::size_t left = transfer_max;
    for (std::size_t i = 0; i < pieces; ++i) {
      if (vector[i].iov_len > static_cast<std::size_t>(std::numeric_limits<ssize_t>::max()))
        return Error(EINVAL);
      const std::size_t size = std::min(vector[i].iov_len, left);
      out[i] = bytes(vector[i].iov_base, size);
      left -= size;
    }
    return std::span<const Span>(out, pieces);
  }

 private:
  static constexpr int pieces_max = 1024;  // IOV_MAX of Linux
  std::array<Span, 16> few_;
  std::vector<Span> many_;
};

// How a file was opened comes before what is asked of it.
bool opened_for(const File& file, int unwanted) {
  const int flags = file.flags();
  return (flags & O_PATH) == 0 && (flags & O_ACCMODE) != unwanted;
}

Result<std::size_t> read_vector(File& file, const iovec* vector, int count, const off_t* offset) {
  if (offset != nullptr && *offset < 0) return Error(EINVAL);
  if (!opened_for(file, O_WRONLY)) return Error(EBADF);
  Pieces<std::span<std::byte>> pieces;
  TRY(const auto spans, pieces.from(vector, count));
  return file.read_pieces(spans, offset);
}

Result<std::size_t> write_vector(File& file, const iovec* vector, int count, const off_t* offset) {
  if (offset != nullptr && *offset < 0) return Error(EINVAL);
  if (!opened_for(file, O_RDONLY)) return Error(EBADF);
  Pieces<std::span<const std::byte>> pieces;
  TRY(const auto spans, pieces.from(vector, count));
  return file.write_pieces(spans, offset);
}

// preadv2 and pwritev2: offset -1 is the descriptor's own. RWF_HIPRI is a hint; what else changes
// the meaning and is not served says so, as a filesystem without it does.
Result<std::size_t> read_flagged(File& file, const iovec* vector, int count, off_t offset,
                                 int flags) {
  if ((flags & ~RWF_HIPRI) != 0) return Error(EOPNOTSUPP);
  if (offset < -1) return Error(EINVAL);
  return read_vector(file, vector, count, offset == -1 ? nullptr : &offset);
}

Result<std::size_t> write_flagged(File& file, const iovec* vector, int count, off_t offset,
                                  int flags) {
  if ((flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC)) != 0) return Error(EOPNOTSUPP);
  if (offset < -1) return Error(EINVAL);
  TRY(const std::size_t written,
      write_vector(file, vector, count, offset == -1 ? nullptr : &offset));
  if ((flags & (RWF_DSYNC | RWF_SYNC)) != 0) {
    TRY_OK(file.sync((flags & RWF_SYNC) == 0));
  }
  return written;
}

Status set_size(File& file, off_t size) {
  if (size < 0) return Error(EINVAL);
  return file.truncate(size);
}

Status allocate(File& file, int mode, off_t offset, off_t length) {
  if ((file.flags() & O_PATH) != 0) return Error(EBADF);
  if (offset < 0 || length <= 0) return Error(EINVAL);
  if (offset > std::numeric_limits<off_t>::max() - length) return Error(EFBIG);
  return file.allocate(mode, offset, length);
}

}  // namespace

namespace benchfs::shim::io {

ssize_t read(int fd, void* data, std::size_t size) {
  return on_file(
      fd, [&](File& file) { return file.read(bytes(data, size)); },
      [&] { return LIBC(read)(fd, data, size); });
}

ssize_t write(int fd, const void* data, std::size_t size) {
  return on_file(
      fd, [&](File& file) { return file.write(bytes(data, size)); },
      [&] { return LIBC(write)(fd, data, size); });
}

off_t seek(int fd, off_t offset, int whence) {
  return on_file(
      fd, [&](File& file) { return file.seek(offset, whence); },
      [&] { return LIBC(lseek)(fd, offset, whence); });
}

ssize_t read_at(int fd, void* data, std::size_t size, off_t* offset) {
  if (offset == nullptr) return read(fd, data, size);
  const ssize_t result = on_file(
      fd, [&](File& file) { return file.read_at(bytes(data, size), *offset); },
      [&] { return LIBC(pread)(fd, data, size, *offset); });
  if (result > 0) *offset += result;
  return result;
}

ssize_t write_at(int fd, const void* data, std::size_t size, off_t* offset) {
  if (offset == nullptr) return write(fd, data, size);
  const ssize_t result = on_file(
      fd, [&](File& file) { return file.write_at(bytes(data, size), *offset); },
      [&] { return LIBC(pwrite)(fd, data, size, *offset); });
  if (result > 0) *offset += result;
  return result;
}

}  // namespace benchfs::shim::io

int descriptors::open(const char* name, int flags, mode_t mode) {
  return open_at(AT_FDCWD, name, flags, mode, [&](int directory, const char* elsewhere) {
    return LIBC(openat)(directory, elsewhere, flags, mode);
  });
}

BENCHFS_EXPORTS_BEGIN

int open(const char* name, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return open_at(AT_FDCWD, name, flags, mode,
                 [&](int, const char* elsewhere) { return LIBC(open)(elsewhere, flags, mode); });
}
int open64(const char*, int, ...) BENCHFS_ALIAS(open);
int __open(const char*, int, ...) BENCHFS_ALIAS(open);
int __open64(const char*, int, ...) BENCHFS_ALIAS(open);

int openat(int dirfd, const char* name, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return open_at(dirfd, name, flags, mode, [&](int directory, const char* elsewhere) {
    return LIBC(openat)(directory, elsewhere, flags, mode);
  });
}
int openat64(int, const char*, int, ...) BENCHFS_ALIAS(openat);

int creat(const char* name, mode_t mode) {
  return descriptors::open(name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char*, mode_t) BENCHFS_ALIAS(creat);

// What _FORTIFY_SOURCE calls when no mode is given; libc's own aborts if flags need one.
int __open_2(const char* name, int flags) {
  return open_at(AT_FDCWD, name, flags, 0,
                 [&](int, const char* elsewhere) { return LIBC(__open_2)(elsewhere, flags); });
}
int __open64_2(const char*, int) BENCHFS_ALIAS(__open_2);

int __openat_2(int dirfd, const char* name, int flags) {
  return open_at(dirfd, name, flags, 0, [&](int directory, const char* elsewhere) {
    return LIBC(__openat_2)(directory, elsewhere, flags);
  });
}
int __openat64_2(int, const char*, int) BENCHFS_ALIAS(__openat_2);

ssize_t read(int fd, void* data, size_t size) { return io::read(fd, data, size); }
ssize_t __read(int, void*, size_t) BENCHFS_ALIAS(read);

ssize_t write(int fd, const void* data, size_t size) { return io::write(fd, data, size); }
ssize_t __write(int, const void*, size_t) BENCHFS_ALIAS(write);

ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  return on_file(
      fd, [&](File& file) { return file.read_at(bytes(data, size), offset); },
      [&] { return LIBC(pread)(fd, data, size, offset); });
}
ssize_t pread64(int, void*, size_t, off64_t) BENCHFS_ALIAS(pread);
ssize_t __pread64(int, void*, size_t, off64_t) BENCHFS_ALIAS(pread);

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return on_file(
      fd, [&](File& file) { return file.write_at(bytes(data, size), offset); },
      [&] { return LIBC(pwrite)(fd, data, size, offset); });
}
ssize_t pwrite64(int, const void*, size_t, off64_t) BENCHFS_ALIAS(pwrite);
ssize_t __pwrite64(int, const void*, size_t, off64_t) BENCHFS_ALIAS(pwrite);

[[noreturn]] void __chk_fail(void);

ssize_t __read_chk(int fd, void* data, size_t size, size_t capacity) {
  if (size > capacity) __chk_fail();
  return io::read(fd, data, size);
}

ssize_t __pread_chk(int fd, void* data, size_t size, off_t offset, size_t capacity) {
  if (size > capacity) __chk_fail();
  return pread(fd, data, size, offset);
}
ssize_t __pread64_chk(int, void*, size_t, off64_t, size_t) BENCHFS_ALIAS(__pread_chk);

ssize_t readv(int fd, const iovec* vector, int count) {
  return on_file(
      fd, [&](File& file) { return read_vector(file, vector, count, nullptr); },
      [&] { return LIBC(readv)(fd, vector, count); });
}

ssize_t writev(int fd, const iovec* vector, int count) {
  return on_file(
      fd, [&](File& file) { return write_vector(file, vector, count, nullptr); },
      [&] { return LIBC(writev)(fd, vector, count); });
}

ssize_t preadv(int fd, const iovec* vector, int count, off_t offset) {
  return on_file(
      fd, [&](File& file) { return read_vector(file, vector, count, &offset); },
      [&] { return LIBC(preadv)(fd, vector, count, offset); });
}
ssize_t preadv64(int, const iovec*, int, off64_t) BENCHFS_ALIAS(preadv);

ssize_t pwritev(int fd, const iovec* vector, int count, off_t offset) {
  return on_file(
      fd, [&](File& file) { return write_vector(file, vector, count, &offset); },
      [&] { return LIBC(pwritev)(fd, vector, count, offset); });
}
ssize_t pwritev64(int, const iovec*, int, off64_t) BENCHFS_ALIAS(pwritev);

ssize_t preadv2(int fd, const iovec* vector, int count, off_t offset, int flags) {
  return on_file(
      fd, [&](File& file) { return read_flagged(file, vector, count, offset, flags); },
      [&] { return LIBC(preadv2)(fd, vector, count, offset, flags); });
}
ssize_t preadv64v2(int, const iovec*, int, off64_t, int) BENCHFS_ALIAS(preadv2);

ssize_t pwritev2(int fd, const iovec* vector, int count, off_t offset, int flags) {
  return on_file(
      fd, [&](File& file) { return write_flagged(file, vector, count, offset, flags); },
      [&] { return LIBC(pwritev2)(fd, vector, count, offset, flags); });
}
ssize_t pwritev64v2(int, const iovec*, int, off64_t, int) BENCHFS_ALIAS(pwritev2);

off_t lseek(int fd, off_t offset, int whence) { return io::seek(fd, offset, whence); }
off64_t lseek64(int, off64_t, int) BENCHFS_ALIAS(lseek);
off_t __lseek(int, off_t, int) BENCHFS_ALIAS(lseek);

int fsync(int fd) {
  return on_file(
      fd, [](File& file) { return file.sync(false); }, [&] { return LIBC(fsync)(fd); });
}

int fdatasync(int fd) {
  return on_file(
      fd, [](File& file) { return file.sync(true); }, [&] { return LIBC(fdatasync)(fd); });
}

int syncfs(int fd) {
  return on_file(
      fd, [](File& file) { return file.sync(false); }, [&] { return LIBC(syncfs)(fd); });
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
  return on_file(
      fd,
      [&](File& file) -> Status {
        if (offset < 0 || length < 0 || flags > 7) return Error(EINVAL);
        return file.sync(true);
      },
      [&] { return LIBC(sync_file_range)(fd, offset, length, flags); });
}

int ftruncate(int fd, off_t size) {
  return on_file(
      fd, [&](File& file) { return set_size(file, size); },
      [&] { return LIBC(ftruncate)(fd, size); });
}
int ftruncate64(int, off64_t) BENCHFS_ALIAS(ftruncate);

int truncate(const char* name, off_t size) {
  if (size < 0) return LIBC(truncate)(name, size);  // EINVAL, before the name is looked at
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) { return fs.truncate(path, size); },
      [&](int, const char* elsewhere) { return LIBC(truncate)(elsewhere, size); });
}
int truncate64(const char*, off64_t) BENCHFS_ALIAS(truncate);

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return on_file(
      fd, [&](File& file) { return allocate(file, mode, offset, length); },
      [&] { return LIBC(fallocate)(fd, mode, offset, length); });
}
int fallocate64(int, int, off64_t, off64_t) BENCHFS_ALIAS(fallocate);

// The error is the result; errno stays.
int posix_fallocate(int fd, off_t offset, off_t length) {
  if (const auto open_file = file(fd)) {
    const Status status = allocate(*open_file, 0, offset, length);
    return status.ok() ? 0 : status.error().code();
  }
  return LIBC(posix_fallocate)(fd, offset, length);
}
int posix_fallocate64(int, off64_t, off64_t) BENCHFS_ALIAS(posix_fallocate);

int posix_fadvise(int fd, off_t offset, off_t length, int advice) {
  if (file(fd) != nullptr)
    return length < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE ? EINVAL : 0;
  return LIBC(posix_fadvise)(fd, offset, length, advice);
}
int posix_fadvise64(int, off64_t, off64_t, int) BENCHFS_ALIAS(posix_fadvise);

ssize_t readahead(int fd, off64_t offset, size_t size) {
  return on_file(
      fd,
      [](File& file) -> Status {
        if (file.is_directory()) return Error(EINVAL);
        return Done{};
      },
      [&] { return LIBC(readahead)(fd, offset, size); });
}

BENCHFS_EXPORTS_END
