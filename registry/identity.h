// What tells one instance (the servers of one start) from all others, and what proves to belong to
// it.
#pragma once

#include <array>
#include <cstddef>

namespace benchfs {

// Random, made by rank 0: an identity, not the secret.
using InstanceId = std::array<std::byte, 16>;
// Known to the instance's servers alone. Never in a command line or an environment.
using Secret = std::array<std::byte, 32>;

struct Identity {
  InstanceId instance{};
  Secret secret{};
};

}  // namespace benchfs
