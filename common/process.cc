#include "common/process.h"

#include <charconv>
#include <cstring>
#include <string_view>

#include "common/fd.h"

namespace benchfs {
namespace {

// Fields 20 and 22 of /proc/<pid>/stat, counted after the ")" that ends the command's name. A
// process whose first thread has ended looks like a zombie and lives on with its others.
ProcessId parse_stat(pid_t pid, std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) return 0;
  std::string_view rest = text.substr(name_end + 2);
  const bool ended = rest[0] == 'Z' || rest[0] == 'X';
  for (int field = 3; field < 22; ++field) {
    const std::size_t space = rest.find(' ');
    if (space == std::string_view::npos) return 0;
    rest.remove_prefix(space + 1);
    if (field + 1 != 20 || !ended) continue;
    int threads = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), threads);
    if (threads <= 1) return 0;
  }
  std::uint64_t start = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), start);
  return static_cast<std::uint32_t>(pid) | (start << 32);
}

}  // namespace

ProcessId process_id(pid_t pid) {
  char path[32] = "/proc/";
  char* const end = std::to_chars(path + 6, path + 20, pid).ptr;
  std::memcpy(end, "/stat", 6);
  const Fd file(sys::openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (!file) return 0;
  char text[1024];
  const ssize_t n = sys::read(file.get(), text, sizeof text);
  return n > 0 ? parse_stat(pid, {text, static_cast<std::size_t>(n)}) : 0;
}

bool is_alive(ProcessId process) { return process != 0 && process_id(pid_of(process)) == process; }

}  // namespace benchfs
