#include "client-preload/fs/creation_mask.h"

#include <charconv>
#include <string_view>

#include "common/fd.h"

namespace benchfs {
namespace {

constexpr mode_t usual = 022;

mode_t read_mask() {
  const Fd file(sys::openat(AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC));
  char text[512];  // the second line
  const ssize_t n = file ? sys::read(file.get(), text, sizeof text) : 0;
  if (n <= 0) return usual;
  const std::string_view status(text, static_cast<std::size_t>(n));
  constexpr std::string_view key = "\nUmask:\t";
  const std::size_t at = status.find(key);
  if (at == std::string_view::npos) return usual;
  unsigned mask = usual;
  std::from_chars(status.data() + at + key.size(), status.data() + status.size(), mask, 8);
  return mask & 0777;
}

}  // namespace

mode_t CreationMask::get() {
  int known = mask_.load(std::memory_order_relaxed);
  if (known < 0) {
    const int read = static_cast<int>(read_mask());
    if (mask_.compare_exchange_strong(known, read)) known = read;
  }
  return static_cast<mode_t>(known);
}

}  // namespace benchfs
