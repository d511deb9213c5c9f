// Answer: what a handler says, as it goes into an envelope.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/wire.h"

namespace benchfs {

using Bytes = std::vector<std::byte>;

struct Answer {
  int error = 0;
  std::uint16_t flags = 0;
  Bytes body;

  Answer() = default;
  explicit Answer(Error failure) : error(failure.code()) {}
  template <wire::Struct M>
  explicit Answer(const M& message) {
    append(wire::bytes_of(message));
  }
  void append(std::span<const std::byte> bytes) {
    body.insert(body.end(), bytes.begin(), bytes.end());
  }
  void append(std::string_view text) { append(wire::bytes_of(text)); }
};

}  // namespace benchfs
