#include "daemon/journal/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace benchfs {
namespace {

constexpr int open_flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
constexpr std::uint64_t zeros_bytes = 64 << 10;  // written at a time where nothing else allocates

}  // namespace

Task<int> UringSegmentFiles::allocate(int fd, std::uint64_t bytes) {
  const int done = co_await uring_.fallocate(fd, 0, bytes);
  if (done != -EOPNOTSUPP) co_return done;
  const std::vector<std::byte> zeros(zeros_bytes);
  for (std::uint64_t at = 0; at < bytes;) {
    const auto length = static_cast<std::uint32_t>(std::min(zeros_bytes, bytes - at));
    const int written = co_await uring_.write(fd, zeros.data(), length, at);
    if (written == -EINTR || written == -EAGAIN) continue;
    if (written <= 0) co_return written == 0 ? -ENOSPC : written;
    at += static_cast<std::uint64_t>(written);
  }
  co_return 0;
}

Task<Result<Fd>> UringSegmentFiles::make(std::string name, std::uint64_t bytes) {
  const int opened = co_await uring_.openat(directory_, name.c_str(), open_flags, 0600);
  if (opened < 0) co_return Error(-opened);
  Fd fd(opened);
  const int allocated = co_await allocate(fd.get(), bytes);
  if (allocated < 0) {
    co_await uring_.unlinkat(directory_, name.c_str(), 0);
    co_return Error(-allocated);
  }
  co_return fd;
}

Result<Fd> UringSegmentFiles::make_now(const std::string& name, std::uint64_t bytes) {
  Fd fd(::openat(directory_, name.c_str(), open_flags, 0600));
  if (!fd) return Error::last();
  if (const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    ::unlinkat(directory_, name.c_str(), 0);
    return Error(error);
  }
  return fd;
}

Result<std::shared_ptr<Segment>> Segment::map(Fd fd, std::uint64_t number) {
  struct stat file {};
  if (::fstat(fd.get(), &file) != 0) return Error::last();
  const auto size = static_cast<std::size_t>(file.st_size);
  if (size == 0) return Error(EBADMSG);
  void* const data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return Error::last();
  return std::shared_ptr<Segment>(
      new Segment(std::move(fd), number, static_cast<std::byte*>(data), size));
}

Segment::~Segment() { ::munmap(data_, size_); }

}  // namespace benchfs
