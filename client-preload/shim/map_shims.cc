// mmap of our files: what can be read in at once is served, a shared writable map is refused.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

// The content at the time of the call, in private memory. A shared map that is only read sees no
// later writes; one that may be written would lose them, hence ENODEV.
Result<void*> map_file(File& file, void* address, std::size_t length, int protection, int flags,
                       off_t offset) {
  const int kind = flags & MAP_TYPE;
  const bool shared = kind == MAP_SHARED || kind == MAP_SHARED_VALIDATE;
  if (length == 0 || offset % sysconf(_SC_PAGESIZE) != 0) return Error(EINVAL);
  if (!shared && kind != MAP_PRIVATE) return Error(EINVAL);
  const int access = file.flags() & O_ACCMODE;
  if (access == O_WRONLY) return Error(EACCES);
  if (shared && (protection & PROT_WRITE) != 0 && access != O_RDWR) return Error(EACCES);
  if (file.is_directory() || (shared && (protection & PROT_WRITE) != 0)) return Error(ENODEV);

  constexpr int kept = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT | MAP_NORESERVE;
  void* const memory = LIBC(mmap)(address, length, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | (flags & kept), -1, 0);
  if (memory == MAP_FAILED) return Error::last();
  auto* const bytes = static_cast<std::byte*>(memory);
  std::size_t done = 0;
  while (done < length) {
    const auto got = file.read_at({bytes + done, std::min(length - done, transfer_max)},
                                  offset + static_cast<off_t>(done));
    if (!got.ok()) {
      LIBC(munmap)(memory, length);
      return got.error();
    }
    if (*got == 0) break;
    done += *got;
  }
  if (protection != (PROT_READ | PROT_WRITE) && LIBC(mprotect)(memory, length, protection) != 0) {
    const Error error = Error::last();
    LIBC(munmap)(memory, length);
    return error;
  }
  return memory;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 && (flags & MAP_ANONYMOUS) == 0) {
    if (const auto open_file = file(fd)) {
      const auto mapped = map_file(*open_file, address, length, protection, flags, offset);
      if (mapped.ok()) return *mapped;
      errno = mapped.error().code();
      return MAP_FAILED;
    }
  }
  return LIBC(mmap)(address, length, protection, flags, fd, offset);
}
void* mmap64(void*, size_t, int, int, int, off64_t) BENCHFS_ALIAS(mmap);

BENCHFS_EXPORTS_END
