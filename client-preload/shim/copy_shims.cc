// Calls that move data between two descriptors inside the kernel. Where one is ours they go through
// a buffer, or are refused as a filesystem without splice refuses them.
#include <aio.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "client-preload/shim/io.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

constexpr std::size_t buffer_bytes = std::size_t{256} << 10;

// What was read but not written is given back, so that the caller may go on from where it ended.
ssize_t copy(int in, off_t* in_offset, int out, off_t* out_offset, std::size_t size) {
  size = std::min(size, transfer_max);
  const std::size_t capacity = std::min(size, buffer_bytes);
  const std::unique_ptr<char[]> buffer(new (std::nothrow) char[std::max<std::size_t>(capacity, 1)]);
  if (buffer == nullptr) {
    errno = ENOMEM;
    return -1;
  }
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = io::read_at(in, buffer.get(), std::min(capacity, size - done), in_offset);
    if (got < 0) return done > 0 ? static_cast<ssize_t>(done) : -1;
    if (got == 0) break;
    ssize_t put = 0;
    while (put < got) {
      const ssize_t n =
          io::write_at(out, buffer.get() + put, static_cast<std::size_t>(got - put), out_offset);
      if (n <= 0) break;
      put += n;
    }
    done += static_cast<std::size_t>(put);
    if (put < got) {
      const int error = errno;
      if (in_offset != nullptr) {
        *in_offset -= got - put;
      } else {
        io::seek(in, put - got, SEEK_CUR);
      }
      errno = error;
      return done > 0 ? static_cast<ssize_t>(done) : -1;
    }
  }
  return static_cast<ssize_t>(done);
}

int status_of(int fd, struct stat& out) {
  return on_file(
      fd,
      [&](File& file) -> Status {
        TRY(out, file.stat());
        return Done{};
      },
      [&] { return LIBC(fstat)(fd, &out); });
}

// What copy_file_range(2) asks of its two descriptors.
int check_range_copy(int in, const off_t* in_offset, int out, const off_t* out_offset,
                     std::size_t size, unsigned flags) {
  struct stat from {
  }, to{};
  if (status_of(in, from) != 0 || status_of(out, to) != 0) return -1;
  int error = 0;
  if (S_ISDIR(from.st_mode) || S_ISDIR(to.st_mode)) {
    error = EISDIR;
  } else if (flags != 0 || !S_ISREG(from.st_mode) || !S_ISREG(to.st_mode)) {
    error = EINVAL;
  } else if (const auto file_out = file(out);
             file_out != nullptr && (file_out->flags() & O_APPEND) != 0) {
    error = EBADF;
  } else if (from.st_dev == to.st_dev && from.st_ino == to.st_ino) {
    const off_t a = in_offset != nullptr ? *in_offset : io::seek(in, 0, SEEK_CUR);
    const off_t b = out_offset != nullptr ? *out_offset : io::seek(out, 0, SEEK_CUR);
    const auto length = static_cast<off_t>(std::min(size, transfer_max));
    if (a < b + length && b < a + length) error = EINVAL;
  }
  if (error == 0) return 0;
  errno = error;
  return -1;
}

bool either_is_ours(int a, int b) { return file(a) != nullptr || file(b) != nullptr; }

int fail(int error) {
  errno = error;
  return -1;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

ssize_t sendfile(int out, int in, off_t* offset, size_t size) {
  if (!either_is_ours(in, out)) return LIBC(sendfile)(out, in, offset, size);
  if (const auto source = file(in); source != nullptr && source->is_directory())
    return fail(EINVAL);
  if (const auto target = file(out); target != nullptr && (target->flags() & O_APPEND) != 0)
    return fail(EINVAL);
  return copy(in, offset, out, nullptr, size);
}
ssize_t sendfile64(int, int, off64_t*, size_t) BENCHFS_ALIAS(sendfile);

ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t size,
                        unsigned flags) {
  if (!either_is_ours(in, out))
    return LIBC(copy_file_range)(in, in_offset, out, out_offset, size, flags);
  if (check_range_copy(in, in_offset, out, out_offset, size, flags) != 0) return -1;
  return copy(in, in_offset, out, out_offset, size);
}

ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t size,
               unsigned flags) {
  if (either_is_ours(in, out)) return fail(EINVAL);
  return LIBC(splice)(in, in_offset, out, out_offset, size, flags);
}

ssize_t tee(int in, int out, size_t size, unsigned flags) {
  if (either_is_ours(in, out)) return fail(EINVAL);
  return LIBC(tee)(in, out, size, flags);
}

ssize_t vmsplice(int fd, const struct iovec* vector, size_t count, unsigned flags) {
  return refuse(fd, EBADF, [&] { return LIBC(vmsplice)(fd, vector, count, flags); });
}

// POSIX asynchronous I/O runs in threads of libc's that call the kernel directly.
int aio_read(struct aiocb* request) {
  return refuse(request->aio_fildes, ENOSYS, [&] { return LIBC(aio_read)(request); });
}
int aio_read64(struct aiocb64*) BENCHFS_ALIAS(aio_read);

int aio_write(struct aiocb* request) {
  return refuse(request->aio_fildes, ENOSYS, [&] { return LIBC(aio_write)(request); });
}
int aio_write64(struct aiocb64*) BENCHFS_ALIAS(aio_write);

int aio_fsync(int operation, struct aiocb* request) {
  return refuse(request->aio_fildes, ENOSYS, [&] { return LIBC(aio_fsync)(operation, request); });
}
int aio_fsync64(int, struct aiocb64*) BENCHFS_ALIAS(aio_fsync);

int lio_listio(int mode, struct aiocb* const list[], int count, struct sigevent* event) {
  for (int i = 0; i < count; ++i)
    if (list[i] != nullptr && file(list[i]->aio_fildes) != nullptr) return fail(ENOSYS);
  return LIBC(lio_listio)(mode, list, count, event);
}
int lio_listio64(int, struct aiocb64* const[], int, struct sigevent*) BENCHFS_ALIAS(lio_listio);

BENCHFS_EXPORTS_END
