// LazyArray: a large array of zeroes of which only the touched pages cost memory.
#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "common/sys.h"

namespace benchfs {

// T must be valid as all zero bytes and need no destructor (atomics, plain structs).
template <class T>
class LazyArray {
 public:
  explicit LazyArray(std::size_t size) : size_(size) {
    const long address = sys::call(SYS_mmap, 0, bytes(), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys::failed(address)) {
      size_ = 0;  // out of address space: everything is beyond the end
    } else {
      data_ = reinterpret_cast<T*>(address);
    }
  }
  ~LazyArray() {
    if (data_ != nullptr) sys::call(SYS_munmap, sys::pointer(data_), bytes());
  }
  LazyArray(const LazyArray&) = delete;
  LazyArray& operator=(const LazyArray&) = delete;

  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  long bytes() const { return static_cast<long>(size_ * sizeof(T)); }

  T* data_ = nullptr;
  std::size_t size_;
};

}  // namespace benchfs
