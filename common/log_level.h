// LogLevel: how much is said in the log. Apart from log.h, so that the configuration does not need
// the logger.
#pragma once

#include <cstdint>

namespace benchfs {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };

}  // namespace benchfs
