// EventLoop: the one thread of a worker and the one place where it sleeps.
//
// Sources are polled while there is work; when none has any, each is armed and the loop sleeps in
// one epoll_wait. Coroutines are resumed from the top of the loop, so the stack stays flat.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/fd.h"
#include "common/waiting.h"
#include "daemon/loop/task.h"

namespace benchfs {

class Completion;

// Something that makes progress by being looked at (a UCX worker, the ring, the doorbells).
class Source {
 public:
  virtual ~Source() = default;
  // Does what can be done without waiting; true if anything was done.
  virtual bool poll() = 0;
  // Asks to be woken through a watched descriptor. False: there is work already, do not sleep.
  virtual bool arm() = 0;
  // Called after sleeping, and when a later source refused to be armed.
  virtual void disarm() {}
};

class EventLoop {
 public:
  explicit EventLoop(Waiting waiting = Waiting::adaptive);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // `source` must outlive the last turn().
  void add(Source& source) { sources_.push_back(&source); }

  // Level-triggered watch of `fd`; the callback gets epoll's event bits and may unwatch any fd,
  // its own too. Replaces an older watch of the same number.
  void watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> callback);
  void unwatch(int fd);

  // Resumes `handle` from the top of the loop.
  void ready(std::coroutine_handle<> handle) { ready_.push_back(handle); }
  // co_await it: goes on from the top of the loop, after all that runs now has suspended or ended.
  auto later() {
    struct Later {
      EventLoop& loop;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) { loop.ready(handle); }
      void await_resume() const noexcept {}
    };
    return Later{*this};
  }

  // Starts a task that nobody awaits. Its frame is freed when it ends; the loop must not be
  // destroyed before spawned() is 0.
  template <class T>
  void spawn(Task<T> task) {
    run_detached(std::move(task));
  }
  std::size_t spawned() const { return spawned_; }

  // Finishes `completion` with -ETIMEDOUT at `deadline_ns` (CLOCK_MONOTONIC) unless cancelled.
  struct Timer {
    std::int64_t deadline_ns = 0;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const Timer&, const Timer&) = default;
  };
  Timer at(std::int64_t deadline_ns, Completion& completion);
  void cancel(const Timer& timer) { timers_.erase(timer); }
  Task<int> sleep(std::int64_t duration_ns);

  void run();  // until stop()
  void stop() { stopping_ = true; }
  // One turn: polls every source, runs what is ready, and when nothing was to do sleeps for up to
  // `timeout_ms` (-1: until woken). True if anything was done. run() repeats it; tests call it.
  bool turn(int timeout_ms);

 private:
  struct Detached {  // the frame of a spawned task: owns itself
    struct promise_type {
      static void* operator new(std::size_t bytes) { return FramePool::take(bytes); }
      static void operator delete(void* frame, std::size_t bytes) { FramePool::give(frame, bytes); }
      Detached get_return_object() { return {}; }
      std::suspend_never initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() { std::terminate(); }
    };
  };
  template <class T>
  Detached run_detached(Task<T> task) {
    ++spawned_;
    co_await task;
    --spawned_;
  }

  bool work();                // one look at everything; true if anything was done
  void wait(int timeout_ms);  // yields, then arms and sleeps
  void expire_timers(std::int64_t now);
  void dispatch(int timeout_ms);

  Waiting waiting_;
  Fd epoll_;
  std::vector<Source*> sources_;
  struct Watch {
    std::uint32_t serial;  // an event of an earlier watch of the same number is stale
    std::shared_ptr<std::function<void(std::uint32_t)>> callback;
  };
  std::unordered_map<int, Watch> watches_;
  std::uint32_t watch_serial_ = 0;
  std::deque<std::coroutine_handle<>> ready_;
  std::map<Timer, Completion*> timers_;
  std::uint64_t timer_sequence_ = 0;
  std::size_t spawned_ = 0;
  std::int64_t next_dispatch_ns_ = 0;
  std::int64_t window_ns_ = 0;  // the first sleep says how long
  std::uint32_t hogged_waits_ = 0;  // waits left that sleep at once: another program computes here
  std::uint32_t hog_level_ = 0;
  bool stopping_ = false;
};

}  // namespace benchfs
