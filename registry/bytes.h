// Writing and reading byte strings of little-endian integers and counted fields: the records of
// the registry, the host record and the control messages are made of them.
//
// The reader trusts nothing. After the first thing that does not fit, it stays failed, every value
// it gives is zero or empty, and `fault_offset` says where it was.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace benchfs {

static_assert(std::endian::native == std::endian::little);

class ByteWriter {
 public:
  template <std::integral T>
  void number(T value) {
    raw(&value, sizeof value);
  }
  template <std::size_t n>
  void fixed(const std::array<std::byte, n>& value) {
    raw(value.data(), n);
  }
  void counted(std::span<const std::byte> value) {
    number(static_cast<std::uint32_t>(value.size()));
    raw(value.data(), value.size());
  }
  void text(std::string_view value) { counted(std::as_bytes(std::span(value))); }

  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  void raw(const void* data, std::size_t size) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + size);
    if (size != 0) std::memcpy(bytes_.data() + at, data, size);
  }

  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <std::integral T>
  T number() {
    T value{};
    raw(&value, sizeof value);
    return value;
  }
  template <std::size_t n>
  std::array<std::byte, n> fixed() {
    std::array<std::byte, n> value{};
    raw(value.data(), n);
    return value;
  }
  // Borrowed from the bytes read. Longer than `bytes_max` is a fault.
  std::span<const std::byte> counted(std::size_t bytes_max) {
    const std::size_t at = offset_;
    const auto size = number<std::uint32_t>();
    if (size > bytes_max || size > bytes_.size() - offset_) {
      fail(at);
      return {};
    }
    const auto value = bytes_.subspan(offset_, size);
    offset_ += size;
    return value;
  }
  std::string text(std::size_t bytes_max) {
    const std::size_t at = offset_;
    const auto value = counted(bytes_max);
    const std::string_view view(reinterpret_cast<const char*>(value.data()), value.size());
    if (view.find('\0') != std::string_view::npos) {
      fail(at);
      return {};
    }
    return std::string(view);
  }

  // For a value that was read but cannot be: `offset` is where it stands.
  void fail(std::size_t offset) {
    if (!failed_) fault_offset_ = offset;
    failed_ = true;
    offset_ = bytes_.size();
  }
  bool failed() const { return failed_; }
  // Everything was there and nothing is left.
  bool complete() const { return !failed_ && offset_ == bytes_.size(); }
  std::size_t offset() const { return offset_; }
  std::size_t fault_offset() const { return failed_ ? fault_offset_ : offset_; }

 private:
  void raw(void* out, std::size_t size) {
    if (failed_ || size > bytes_.size() - offset_) return fail(offset_);
    std::memcpy(out, bytes_.data() + offset_, size);
    offset_ += size;
  }

  std::span<const std::byte> bytes_;
  std::size_t offset_ = 0;
  std::size_t fault_offset_ = 0;
  bool failed_ = false;
};

}  // namespace benchfs
