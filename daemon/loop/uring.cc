#include "daemon/loop/uring.h"

namespace benchfs {

Result<std::unique_ptr<Uring>> Uring::create(EventLoop& loop, std::uint32_t entries,
                                             std::uint32_t submit_depth) {
  std::unique_ptr<Uring> uring(new Uring(loop, submit_depth));
  io_uring_params params{};
  params.flags = IORING_SETUP_CLAMP;
  if (const int error = io_uring_queue_init_params(entries, &uring->ring_, &params); error < 0) {
    uring->ring_.ring_fd = -1;
    return Error(-error);
  }
  loop.add(*uring);
  loop.watch(uring->ring_.ring_fd, EPOLLIN, [ring = uring.get()](std::uint32_t) { ring->reap(); });
  return uring;
}

Uring::~Uring() {
  if (ring_.ring_fd < 0) return;
  loop_.unwatch(ring_.ring_fd);
  io_uring_queue_exit(&ring_);
}

template <class Prepare>
Task<int> Uring::run(Prepare prepare) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {  // full: give what waits to the kernel, which frees its slots
    io_uring_submit(&ring_);
    prepared_ = 0;
    sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) co_await loop_.sleep(100'000);
  }
  Completion done(loop_);
  prepare(sqe);
  io_uring_sqe_set_data(sqe, &done);
  ++in_flight_;
  if (++prepared_ >= submit_depth_) {
    io_uring_submit(&ring_);
    prepared_ = 0;
  }
  co_return co_await done;
}

bool Uring::reap() {
  // More were done than the completion queue holds: the kernel keeps the rest until asked.
  if (io_uring_cq_has_overflow(&ring_)) io_uring_get_events(&ring_);
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    static_cast<Completion*>(io_uring_cqe_get_data(cqe))->finish(cqe->res);
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  in_flight_ -= count;
  return count != 0;
}

bool Uring::poll() {
  if (prepared_ != 0) {
    io_uring_submit(&ring_);
    prepared_ = 0;
  }
  return in_flight_ != 0 && reap();
}

bool Uring::arm() {
  if (prepared_ != 0) return false;
  return in_flight_ == 0 || (io_uring_cq_ready(&ring_) == 0 && !io_uring_cq_has_overflow(&ring_));
}

Task<int> Uring::read(int fd, void* data, std::uint32_t size, std::uint64_t offset) {
  const auto prepare = [=](io_uring_sqe* sqe) { io_uring_prep_read(sqe, fd, data, size, offset); };
  co_return co_await run(prepare);
}
Task<int> Uring::write(int fd, const void* data, std::uint32_t size, std::uint64_t offset) {
  const auto prepare = [=](io_uring_sqe* sqe) { io_uring_prep_write(sqe, fd, data, size, offset); };
  co_return co_await run(prepare);
}
Task<int> Uring::openat(int dir, const char* name, int flags, mode_t mode) {
  const auto prepare = [=](io_uring_sqe* sqe) {
    io_uring_prep_openat(sqe, dir, name, flags, mode);
  };
  co_return co_await run(prepare);
}
Task<int> Uring::close(int fd) {
  const auto prepare = [=](io_uring_sqe* sqe) { io_uring_prep_close(sqe, fd); };
  co_return co_await run(prepare);
}
Task<int> Uring::unlinkat(int dir, const char* name, int flags) {
  const auto prepare = [=](io_uring_sqe* sqe) { io_uring_prep_unlinkat(sqe, dir, name, flags); };
  co_return co_await run(prepare);
}
Task<int> Uring::renameat(int dir, const char* from, const char* to) {
  const auto prepare = [=](io_uring_sqe* sqe) {
    io_uring_prep_renameat(sqe, dir, from, dir, to, 0);
  };
  co_return co_await run(prepare);
}
Task<int> Uring::fallocate(int fd, std::uint64_t offset, std::uint64_t size) {
  const auto prepare = [=](io_uring_sqe* sqe) {
    io_uring_prep_fallocate(sqe, fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size));
  };
  co_return co_await run(prepare);
}
Task<int> Uring::fsync(int fd) {
  const auto prepare = [=](io_uring_sqe* sqe) { io_uring_prep_fsync(sqe, fd, 0); };
  co_return co_await run(prepare);
}

}  // namespace benchfs
