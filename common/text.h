// Text from users and for users: numbers, sizes, hexadecimal, and what is unfit for one log line.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "common/result.h"

namespace benchfs {

// All of `text` as a decimal number: no sign, no space, no overflow.
template <std::unsigned_integral T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return value;
}

// "4096", "64k", "4M", "1g", "2t": powers of 1024.
std::optional<std::uint64_t> parse_size(std::string_view text);

// The shortest text parse_size takes for it: 65536 is "64k".
std::string format_size(std::uint64_t bytes);

// true, yes, on, 1; false, no, off, 0.
std::optional<bool> parse_bool(std::string_view text);

std::string to_hex(std::span<const std::byte> bytes);
// False, and `out` untouched, unless `text` is exactly so many bytes in hexadecimal.
bool from_hex(std::string_view text, std::span<std::byte> out);

// An absolute path other than "/", without empty, "." and ".." components, without a trailing
// slash, without control characters, and not too long to have files below it.
bool is_normal_absolute(std::string_view path);

// Control characters as \xNN and a long text cut short: whatever it is, it stays one line.
std::string one_line(std::string_view text, std::size_t bytes_max = 4096);
// The same in single quotes: for values in messages.
std::string quoted(std::string_view text);

// "No space left on device (ENOSPC)".
std::string describe(Error error);

}  // namespace benchfs
