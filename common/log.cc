#include "common/log.h"

#include <limits.h>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include "common/config.h"
#include "common/fd.h"
#include "common/sys.h"

namespace benchfs {
namespace {

static_assert(static_cast<int>(LogLevel::trace) == SPDLOG_LEVEL_TRACE);
static_assert(static_cast<int>(LogLevel::error) == SPDLOG_LEVEL_ERROR);

constexpr std::size_t text_bytes_max = 3584;  // with the prefix below PIPE_BUF
constexpr int stall_ms_max = 100;

// One write per line, so that lines of several processes do not mix. A reader that has stopped
// (a suspended mpirun) must not stop the server: after a short wait its lines are dropped and
// counted, until it reads again.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineSink(Fd file) : file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (!writable()) {
      ++lost_;
      return;
    }
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (lost_ > 0) {
      // In place of the line break, so that both leave in one write.
      line.resize(line.size() - 1);
      fmt::format_to(std::back_inserter(line), " ({} lines before this one were lost)\n", lost_);
      lost_ = 0;
    }
    while (sys::write(fd(), line.data(), line.size()) == -EINTR) {
    }
  }
  void flush_() override {}

  int fd() const { return file_ ? file_.get() : STDERR_FILENO; }

  bool writable() {
    pollfd wait{.fd = fd(), .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&wait, 1, lost_ > 0 ? 0 : stall_ms_max);
    // A pipe that nobody reads any more would end us by SIGPIPE.
    return ready == 1 && (wait.revents & (POLLERR | POLLNVAL)) == 0;
  }

  Fd file_;
  std::uint64_t lost_ = 0;
};

std::unique_ptr<spdlog::logger> make_logger(std::string_view who, Fd file) {
  auto logger =
      std::make_unique<spdlog::logger>("benchfs", std::make_shared<LineSink>(std::move(file)));
  std::string pattern = "%Y-%m-%dT%H:%M:%S.%e%z %l ";
  for (const char c : one_line(who, 256)) pattern.append(c == '%' ? 2 : 1, c);
  pattern += ": %v";
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::local, "\n"));
  logger->set_level(spdlog::level::trace);
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

std::atomic<LogLevel> threshold{LogLevel::info};

// Never destroyed: destructors of other objects may log while the process ends.
std::atomic<spdlog::logger*> current{nullptr};
std::once_flag made_default;

spdlog::logger& logger() {
  if (spdlog::logger* const set = current.load(std::memory_order_acquire)) return *set;
  std::call_once(made_default, [] {
    if (current.load() == nullptr) current.store(make_logger("benchfs", Fd()).release());
  });
  return *current.load(std::memory_order_acquire);
}

}  // namespace

void init_log(const LogOptions& options) {
  Fd file;
  if (!options.file.empty()) {
    const int opened = sys::openat(AT_FDCWD, options.file.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    if (opened < 0)
      throw ConfigError("log.file " + quoted(options.file) +
                        " cannot be opened: " + describe(Error(-opened)));
    file.reset(opened);
  }
  const std::string who = "rank " + (options.rank ? std::to_string(*options.rank) : "-") + " " +
                          (options.host.empty() ? "-" : options.host);
  std::unique_ptr<spdlog::logger> made = make_logger(who, std::move(file));
  const bool only_warnings = options.rank.value_or(0) != 0 && !options.every_rank;
  threshold.store(only_warnings ? std::max(options.level, LogLevel::warn) : options.level);
  delete current.exchange(made.release());
}

namespace log {

bool enabled(LogLevel level) noexcept {
  return level >= threshold.load(std::memory_order_relaxed) && level != LogLevel::off;
}

void write(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept {
  try {
    const std::string text = one_line(fmt::vformat(format, arguments), text_bytes_max);
    logger().log(static_cast<spdlog::level::level_enum>(level), spdlog::string_view_t(text));
  } catch (...) {
    // Out of memory, most likely: a lost line is the lesser evil.
  }
}

}  // namespace log
}  // namespace benchfs
