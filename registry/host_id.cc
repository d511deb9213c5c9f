#include "registry/host_id.h"

#include <cstddef>
#include <string_view>

#include "common/fd.h"
#include "common/placement.h"
#include "common/sys.h"

namespace benchfs {

Result<std::uint64_t> host_id() {
  // A boot id is 36 characters and a newline, a namespace reads "net:[4026531840]".
  char text[128];
  const Fd boot_id(sys::openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  if (!boot_id) return Error(-boot_id.get());
  const ssize_t boot_bytes = sys::read(boot_id.get(), text, 64);
  if (boot_bytes < 0) return Error(static_cast<int>(-boot_bytes));
  if (boot_bytes == 0) return Error(ENODATA);
  const long net_bytes = sys::call(SYS_readlinkat, AT_FDCWD, sys::pointer("/proc/self/ns/net"),
                                   sys::pointer(text + boot_bytes), 64);
  if (net_bytes < 0) return Error(static_cast<int>(-net_bytes));
  return hash_bytes({text, static_cast<std::size_t>(boot_bytes + net_bytes)});
}

std::string host_id_text(std::uint64_t id) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; id >>= 4) text[i] = "0123456789abcdef"[id & 15];
  return text;
}

}  // namespace benchfs
