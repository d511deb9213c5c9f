// EntryName: a name in a directory, in one pointer. A std::string would be half of what an entry
// costs in memory, and as much of what a search has to read.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "common/wire.h"

namespace benchfs {

class EntryName {
 public:
  EntryName() = default;
  EntryName(EntryName&&) = default;
  EntryName& operator=(EntryName&&) = default;
  EntryName(const EntryName& other) : EntryName(other.view()) {}
  EntryName& operator=(const EntryName& other) { return *this = EntryName(other); }
  // Up to wire::name_bytes_max bytes.
  explicit EntryName(std::string_view text) : bytes_(new char[1 + text.size()]) {
    static_assert(wire::name_bytes_max <= UINT8_MAX);
    assert(text.size() <= wire::name_bytes_max);
    bytes_[0] = static_cast<char>(text.size());
    std::memcpy(bytes_.get() + 1, text.data(), text.size());
  }

  std::string_view view() const {
    if (bytes_ == nullptr) return {};
    return {bytes_.get() + 1, static_cast<std::uint8_t>(bytes_[0])};
  }
  operator std::string_view() const { return view(); }
  std::size_t size() const { return view().size(); }
  bool operator==(std::string_view text) const { return view() == text; }

 private:
  std::unique_ptr<char[]> bytes_;  // how many, then they
};

}  // namespace benchfs
