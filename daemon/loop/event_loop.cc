#include "daemon/loop/event_loop.h"

#include <algorithm>
#include <cassert>

#include "daemon/loop/completion.h"

namespace benchfs {
namespace {

// Look this long before sleeping: longer where sleeps turned out to be shorter than that.
constexpr std::int64_t window_least_ns = 8'000;
constexpr std::int64_t window_most_ns = 32'000;
constexpr std::int64_t dispatch_every_ns = 100'000;  // epoll is asked this often while busy

}  // namespace

EventLoop::EventLoop(Waiting waiting) : waiting_(waiting), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

EventLoop::~EventLoop() { assert(spawned_ == 0); }

void EventLoop::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> callback) {
  epoll_event event{};
  event.events = events;
  const std::uint32_t serial = ++watch_serial_;
  event.data.u64 = std::uint64_t{serial} << 32 | static_cast<std::uint32_t>(fd);
  const int command = watches_.contains(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  ::epoll_ctl(epoll_.get(), command, fd, &event);
  watches_[fd] = {serial,
                  std::make_shared<std::function<void(std::uint32_t)>>(std::move(callback))};
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::Timer EventLoop::at(std::int64_t deadline_ns, Completion& completion) {
  const Timer timer{.deadline_ns = deadline_ns, .sequence = ++timer_sequence_};
  timers_.emplace(timer, &completion);
  return timer;
}

Task<int> EventLoop::sleep(std::int64_t duration_ns) {
  Completion done(*this);
  at(sys::now_ns() + duration_ns, done);
  co_return co_await done;
}

void EventLoop::expire_timers(std::int64_t now) {
  while (!timers_.empty() && timers_.begin()->first.deadline_ns <= now) {
    Completion* const completion = timers_.begin()->second;
    timers_.erase(timers_.begin());
    completion->finish(-ETIMEDOUT);
  }
}

bool EventLoop::work() {
  bool any = false;
  for (Source* source : sources_) any |= source->poll();
  while (!ready_.empty()) {
    any = true;
    const auto handle = ready_.front();
    ready_.pop_front();
    handle.resume();
  }
  return any;
}

void EventLoop::dispatch(int timeout_ms) {
  std::array<epoll_event, 64> events{};
  const int n =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < n; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto found = watches_.find(static_cast<int>(static_cast<std::uint32_t>(event.data.u64)));
    if (found == watches_.end() || found->second.serial != event.data.u64 >> 32)
      continue;                                    // unwatched by an earlier callback
    const auto callback = found->second.callback;  // kept alive while it runs
    (*callback)(event.events);
  }
}

void EventLoop::wait(int timeout_ms) {
  std::size_t armed = 0;
  bool sleep = true;
  for (; armed < sources_.size() && sleep; ++armed) sleep = sources_[armed]->arm();
  if (sleep && ready_.empty()) {
    if (!timers_.empty()) {
      const std::int64_t left = timers_.begin()->first.deadline_ns - sys::now_ns();
      const int left_ms = static_cast<int>(
          std::clamp<std::int64_t>((left + 999'999) / 1'000'000, 0, 24 * 3600 * 1000));
      timeout_ms = timeout_ms < 0 ? left_ms : std::min(timeout_ms, left_ms);
    }
    dispatch(timeout_ms);
  }
  for (std::size_t i = 0; i < armed; ++i) sources_[i]->disarm();
}

bool EventLoop::turn(int timeout_ms) {
  const std::int64_t now = sys::now_ns();
  expire_timers(now);
  if (work()) {
    if (now >= next_dispatch_ns_) {  // busy rings must not starve sockets and processes
      dispatch(0);
      next_dispatch_ns_ = now + dispatch_every_ns;
    }
    return true;
  }
  if (timeout_ms == 0 || waiting_ == Waiting::poll) {
    dispatch(0);
    return work();
  }
  if (waiting_ == Waiting::adaptive && hogged_waits_ == 0) {
    std::int64_t before = now;
    while (before - now < window_ns_) {
      sys::yield();
      if (work()) return true;
      const std::int64_t after = sys::now_ns();
      if (after - before > hog_yield_ns) {
        hogged_waits_ = hog_waits_first << hog_level_;
        hog_level_ = std::min(hog_level_ + 1, hog_level_max);
        break;
      }
      before = after;
    }
    if (hogged_waits_ == 0) hog_level_ = 0;
  } else if (hogged_waits_ != 0) {
    --hogged_waits_;
  }
  const std::int64_t asleep_ns = sys::now_ns();
  wait(timeout_ms);
  const bool was_short = sys::now_ns() - asleep_ns < window_most_ns;
  window_ns_ = was_short ? window_most_ns : window_least_ns;
  return work();
}

void EventLoop::run() {
  while (!stopping_) turn(-1);
}

}  // namespace benchfs
