// Uring: the io_uring of a worker. Operations are prepared, submitted together once a turn, and
// finish Completions; the kernel's own workers are the thread pool for what would block.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>

#include "common/result.h"
#include "daemon/loop/completion.h"

namespace benchfs {

class Uring final : public Source {
 public:
  // `entries` submission slots; submits early when `submit_depth` are waiting.
  static Result<std::unique_ptr<Uring>> create(EventLoop& loop, std::uint32_t entries,
                                               std::uint32_t submit_depth);
  ~Uring() override;
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // Each returns the operation's result or -errno. Buffers and names must outlive the task.
  Task<int> read(int fd, void* data, std::uint32_t size, std::uint64_t offset);
  Task<int> write(int fd, const void* data, std::uint32_t size, std::uint64_t offset);
  Task<int> openat(int dir, const char* name, int flags, mode_t mode);
  Task<int> close(int fd);
  Task<int> unlinkat(int dir, const char* name, int flags);
  Task<int> renameat(int dir, const char* from, const char* to);
  // Allocates; the file grows to `offset` + `size` if it is shorter.
  Task<int> fallocate(int fd, std::uint64_t offset, std::uint64_t size);
  Task<int> fsync(int fd);

  bool poll() override;
  bool arm() override;

 private:
  Uring(EventLoop& loop, std::uint32_t submit_depth) : loop_(loop), submit_depth_(submit_depth) {}
  template <class Prepare>
  Task<int> run(Prepare prepare);
  bool reap();

  EventLoop& loop_;
  io_uring ring_{};
  std::uint32_t submit_depth_;
  std::uint32_t prepared_ = 0;
  std::uint32_t in_flight_ = 0;
};

}  // namespace benchfs
