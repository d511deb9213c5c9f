// A memfd whose size nobody can change, and a mapping of one.
#pragma once

#include <cstddef>

#include "common/fd.h"
#include "common/result.h"

namespace benchfs {

// Zeroed, `bytes` long, sealed against growing and shrinking; pages are allocated when touched.
Result<Fd> make_shared_memory(const char* name, std::size_t bytes);

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // Maps all of `fd`, which must be a sealed memfd of at least `bytes_min` (EBADMSG otherwise).
  static Result<Mapping> map(int fd, std::size_t bytes_min, bool writable = true);

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  template <class T>
  T& at(std::size_t offset = 0) const {
    return *reinterpret_cast<T*>(data_ + offset);
  }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace benchfs
