// Task<T>: a lazily started coroutine that resumes its awaiter when done.
//
// One EventLoop runs on one thread; nothing here is atomic.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "daemon/loop/frame_pool.h"

namespace benchfs {

template <class T>
class [[nodiscard]] Task {
 public:
  struct promise_type {
    std::optional<T> value;
    std::coroutine_handle<> awaiter = std::noop_coroutine();

    static void* operator new(std::size_t bytes) { return FramePool::take(bytes); }
    static void operator delete(void* frame, std::size_t bytes) { FramePool::give(frame, bytes); }

    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct ToAwaiter {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
          return h.promise().awaiter;
        }
        void await_resume() noexcept {}
      };
      return ToAwaiter{};
    }
    template <class U>
    void return_value(U&& v) {
      value.emplace(std::forward<U>(v));
    }
    void unhandled_exception() { std::terminate(); }  // only bad_alloc could get here
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  // Runs the child on the caller's stack and suspends only if the child did. A chain of symmetric
  // transfers would be prettier, but g++ 12 turns those into tail calls at -O2 only: at -O0 and
  // under ASan a long loop over ready children would overflow the stack.
  bool await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.resume();
    if (handle_.done()) return false;
    handle_.promise().awaiter = awaiter;
    return true;
  }
  T await_resume() { return *std::move(handle_.promise().value); }

  // For the loop and for tests: run until the first suspension.
  void start() { handle_.resume(); }
  bool done() const { return handle_.done(); }
  T take() { return *std::move(handle_.promise().value); }

 private:
  explicit Task(std::coroutine_handle<promise_type> h) : handle_(h) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace benchfs
