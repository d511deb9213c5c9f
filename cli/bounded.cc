#include "cli/bounded.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <exception>
#include <span>

#include "cli/child.h"
#include "common/fd.h"

namespace benchfs::cli {
namespace {

constexpr std::size_t answer_bytes_max = 64U << 20;

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = sys::write(fd, bytes.data(), bytes.size());
    if (n == -EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

// First an errno, or 0, then the answer.
[[noreturn]] void answer(const std::function<Result<std::vector<std::byte>>()>& work, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    const auto result = work();
    const int code = result.ok() ? 0 : result.error().code();
    if (write_all(out, std::as_bytes(std::span(&code, 1))) && result.ok()) write_all(out, *result);
  } catch (const std::exception&) {
    ::_exit(1);  // the reader sees that nothing came
  }
  ::_exit(0);
}

}  // namespace

Result<std::vector<std::byte>> run_bounded(
    const std::function<Result<std::vector<std::byte>>()>& work, std::int64_t deadline_ns) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::last();
  const Fd in(ends[0]);
  Fd out(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return Error::last();
  if (pid == 0) answer(work, out.get());
  out.reset();

  std::vector<std::byte> bytes;
  Error error(ETIMEDOUT);
  bool complete = false;
  while (wait_readable(in.get(), deadline_ns)) {
    std::byte part[4096];
    const ssize_t n = sys::read(in.get(), part, sizeof part);
    if (n == -EINTR) continue;
    if (n <= 0 || bytes.size() > answer_bytes_max) {
      complete = n == 0;
      error = Error(EIO);
      break;
    }
    bytes.insert(bytes.end(), part, part + n);
  }
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  int code = EIO;
  if (!complete || bytes.size() < sizeof code) return error;
  std::memcpy(&code, bytes.data(), sizeof code);
  if (code != 0) return Error(code > 0 ? code : EIO);
  bytes.erase(bytes.begin(), bytes.begin() + sizeof code);
  return bytes;
}

}  // namespace benchfs::cli
