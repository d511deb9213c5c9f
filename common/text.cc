#include "common/text.h"

#include <string.h>

#include <algorithm>
#include <array>

namespace benchfs {
namespace {

constexpr std::size_t path_bytes_max = 1024;
constexpr std::string_view size_suffixes = "kmgt";
constexpr std::string_view hex_digits = "0123456789abcdef";

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<unsigned> hex_value(char c) {
  const std::size_t value = hex_digits.find(lower(c));
  if (value == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(value);
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (text.empty()) return std::nullopt;
  unsigned shift = 0;
  const std::size_t suffix = size_suffixes.find(lower(text.back()));
  if (suffix != std::string_view::npos) {
    shift = 10 * (static_cast<unsigned>(suffix) + 1);
    text.remove_suffix(1);
  }
  const auto number = parse_number<std::uint64_t>(text);
  if (!number || *number > UINT64_MAX >> shift) return std::nullopt;
  return *number << shift;
}

std::string format_size(std::uint64_t bytes) {
  std::size_t unit = 0;
  while (unit < size_suffixes.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  std::string text = std::to_string(bytes);
  if (unit > 0) text += size_suffixes[unit - 1];
  return text;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"true", "yes", "on", "1"})
    if (text == yes) return true;
  for (const std::string_view no : {"false", "no", "off", "0"})
    if (text == no) return false;
  return std::nullopt;
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += hex_digits[std::to_integer<unsigned>(byte) >> 4];
    text += hex_digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

bool from_hex(std::string_view text, std::span<std::byte> out) {
  if (text.size() != 2 * out.size()) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return hex_value(c).has_value(); }))
    return false;
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::byte>(*hex_value(text[2 * i]) << 4 | *hex_value(text[2 * i + 1]));
  return true;
}

bool is_normal_absolute(std::string_view path) {
  if (path.size() < 2 || path.size() > path_bytes_max || path.front() != '/') return false;
  if (std::any_of(path.begin(), path.end(), is_control)) return false;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == ".." || component.size() > 255)
      return false;
    path.remove_prefix(component.size());
  }
  return true;
}

std::string one_line(std::string_view text, std::size_t bytes_max) {
  std::string line;
  line.reserve(std::min(text.size(), bytes_max));
  for (const char c : text) {
    if (line.size() >= bytes_max) {
      line += "…";
      break;
    }
    if (is_control(c)) {
      const auto value = static_cast<unsigned char>(c);
      line += {'\\', 'x', hex_digits[value >> 4], hex_digits[value & 15]};
    } else {
      line += c;
    }
  }
  return line;
}

std::string quoted(std::string_view text) { return "'" + one_line(text, 256) + "'"; }

std::string describe(Error error) {
  const char* const text = ::strerrordesc_np(error.code());
  const char* const name = ::strerrorname_np(error.code());
  if (text == nullptr || name == nullptr) return "error " + std::to_string(error.code());
  return std::string(text) + " (" + name + ")";
}

}  // namespace benchfs
