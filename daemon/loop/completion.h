// Completion: what a coroutine awaits and a callback finishes.
//
// io_uring finds it in cqe->user_data, UCX in ucp_request_param_t::user_data, timers in their
// heap. It lives in the coroutine frame of whoever awaits it; it is neither copied nor moved, and
// its frame may be destroyed only after finish() ran.
#pragma once

#include <coroutine>
#include <utility>

#include "daemon/loop/event_loop.h"

namespace benchfs {

class Completion {
 public:
  explicit Completion(EventLoop& loop) : loop_(loop) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Schedules the waiter, never resumes it inline. `result` means what the operation says:
  // bytes or -errno for io_uring, 0 or -errno elsewhere.
  void finish(int result) {
    result_ = result;
    finished_ = true;
    if (waiter_) loop_.ready(std::exchange(waiter_, {}));
  }
  bool finished() const { return finished_; }

  bool await_ready() const noexcept { return finished_; }
  void await_suspend(std::coroutine_handle<> h) noexcept { waiter_ = h; }
  int await_resume() const noexcept { return result_; }

 private:
  EventLoop& loop_;
  std::coroutine_handle<> waiter_;
  int result_ = 0;
  bool finished_ = false;
};

}  // namespace benchfs
