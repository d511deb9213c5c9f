// ThreadOwn: what each thread has for itself, as a thread_local. Made on first use, freed with its
// thread; made again if something still runs after that.
#pragma once

#include <utility>

namespace benchfs {

template <class T>
class ThreadOwn {
 public:
  ~ThreadOwn() { delete std::exchange(own_, nullptr); }
  T& get() {
    if (own_ == nullptr) own_ = new T;
    return *own_;
  }

 private:
  T* own_ = nullptr;
};

}  // namespace benchfs
