#include "common/shared_memory.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <utility>

namespace benchfs {

Result<Fd> make_shared_memory(const char* name, std::size_t bytes) {
  const long fd = sys::call(SYS_memfd_create, sys::pointer(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error(static_cast<int>(-fd));
  Fd memory(static_cast<int>(fd));
  if (const long error = sys::call(SYS_ftruncate, fd, static_cast<long>(bytes)); error < 0)
    return Error(static_cast<int>(-error));
  const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (const int error = sys::fcntl(memory.get(), F_ADD_SEALS, seals); error < 0)
    return Error(-error);
  return memory;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) sys::call(SYS_munmap, sys::pointer(data_), static_cast<long>(size_));
}

Result<Mapping> Mapping::map(int fd, std::size_t bytes_min, bool writable) {
  const int seals = sys::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return Error(EBADMSG);
  const off_t end = sys::lseek(fd, 0, SEEK_END);
  if (end < 0 || static_cast<std::size_t>(end) < bytes_min) return Error(EBADMSG);
  const int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const long address = sys::call(SYS_mmap, 0, end, access, MAP_SHARED, fd, 0);
  if (sys::failed(address)) return Error(static_cast<int>(-address));
  // In a core file it would be as long as it could get.
  sys::call(SYS_madvise, address, end, MADV_DONTDUMP);
  Mapping mapping;
  mapping.data_ = reinterpret_cast<std::byte*>(address);
  mapping.size_ = static_cast<std::size_t>(end);
  return mapping;
}

}  // namespace benchfs
