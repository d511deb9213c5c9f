// The log: one line per message, with time, level, rank and host, on standard error or in a file.
//
// Any thread may log, at any time; nothing here throws but init_log. Before init_log lines go to
// standard error from level info on, without rank and host.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/log_level.h"
#include "common/result.h"
#include "common/text.h"

namespace benchfs {

struct LogOptions {
  LogLevel level = LogLevel::info;
  bool every_rank = false;  // the level holds for all ranks; otherwise ranks but 0 only warn
  std::optional<std::uint32_t> rank{};  // none: not known yet
  std::string host{};
  std::string file{};  // absolute; empty: standard error
};

// May be called again, when the rank is known; not while another thread logs.
// Throws ConfigError when the file cannot be opened; the log is then as it was.
void init_log(const LogOptions& options);

namespace log {

bool enabled(LogLevel level) noexcept;
void write(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept;

template <class... Args>
void at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) noexcept {
  if (enabled(level)) write(level, format, fmt::make_format_args(args...));
}
template <class... Args>
void trace(fmt::format_string<Args...> format, Args&&... args) noexcept {
  at<Args...>(LogLevel::trace, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) noexcept {
  at<Args...>(LogLevel::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) noexcept {
  at<Args...>(LogLevel::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
  at<Args...>(LogLevel::warn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) noexcept {
  at<Args...>(LogLevel::error, format, std::forward<Args>(args)...);
}

}  // namespace log
}  // namespace benchfs

// log::warn("chunk 7: {}", error) says "chunk 7: No space left on device (ENOSPC)".
template <>
struct fmt::formatter<benchfs::Error> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(benchfs::Error error, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(benchfs::describe(error), context);
  }
};
