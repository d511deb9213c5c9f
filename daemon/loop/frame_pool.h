// FramePool: the frames of ended coroutines, kept for the next ones of their size. A request makes
// and frees about ten. One for each thread; it gives what it keeps back when the thread ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace benchfs {

class FramePool {
 public:
  static void* take(std::size_t bytes) {
    const std::size_t list = list_of(bytes);
    if (list >= lists) return ::operator new(bytes);
    List& kept = kept_[list];
    if (kept.first == nullptr) return make(list);
    --kept.count;
    return std::exchange(kept.first, kept.first->next);
  }
  static void give(void* frame, std::size_t bytes) {
    const std::size_t list = list_of(bytes);
    if (list >= lists || kept_[list].count == kept_max) return ::operator delete(frame);
    kept_[list].first = new (frame) Frame{kept_[list].first};
    ++kept_[list].count;
  }

 private:
  static constexpr std::size_t step = 64;
  static constexpr std::size_t lists = 32;  // larger frames are not kept
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  static constexpr std::uint32_t kept_max = 0;  // so that a use after the end is seen
#else
  static constexpr std::uint32_t kept_max = 128;
#endif

  struct Frame {
    Frame* next;
  };
  struct List {
    Frame* first;
    std::uint32_t count;
  };
  struct AtThreadEnd {
    ~AtThreadEnd() {
      for (List& kept : kept_) {
        while (kept.first != nullptr)
          ::operator delete(std::exchange(kept.first, kept.first->next));
        kept.count = kept_max;  // what ends later is freed
      }
    }
  };

  static std::size_t list_of(std::size_t bytes) { return (bytes - 1) / step; }
  static void* make(std::size_t list) {
    static thread_local AtThreadEnd at_thread_end;  // apart, so that the lists need no guard
    return ::operator new((list + 1) * step);
  }

  static inline thread_local constinit std::array<List, lists> kept_{};
};

}  // namespace benchfs
