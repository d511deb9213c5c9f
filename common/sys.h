// System calls, made directly: the preloaded library defines libc's own names (open, close,
// pread, …), so code that must reach the kernel and not a shim calls these. All return the
// result, or -errno; none touches errno and none is a cancellation point.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

namespace benchfs::sys {

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                 long f = 0) {
#if defined(__x86_64__)
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
#else
#error "BenchFS knows the system call convention of x86-64 and AArch64 only"
#endif
}

inline long pointer(const void* p) { return reinterpret_cast<long>(p); }
inline bool failed(long result) { return result < 0 && result > -4096; }

inline int openat(int dir, const char* path, int flags, mode_t mode = 0) {
  return static_cast<int>(call(SYS_openat, dir, pointer(path), flags, static_cast<long>(mode)));
}
inline int close(int fd) { return static_cast<int>(call(SYS_close, fd)); }
inline ssize_t read(int fd, void* data, std::size_t size) {
  return call(SYS_read, fd, pointer(data), static_cast<long>(size));
}
inline ssize_t write(int fd, const void* data, std::size_t size) {
  return call(SYS_write, fd, pointer(data), static_cast<long>(size));
}
inline ssize_t pread(int fd, void* data, std::size_t size, off_t offset) {
  return call(SYS_pread64, fd, pointer(data), static_cast<long>(size), offset);
}
inline ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) {
  return call(SYS_pwrite64, fd, pointer(data), static_cast<long>(size), offset);
}
inline off_t lseek(int fd, off_t offset, int whence) { return call(SYS_lseek, fd, offset, whence); }
inline int fcntl(int fd, int command, long argument = 0) {
  return static_cast<int>(call(SYS_fcntl, fd, command, argument));
}
inline pid_t getpid() { return static_cast<pid_t>(call(SYS_getpid)); }
inline void yield() { call(SYS_sched_yield); }

// Sleeps while *word == expected, at most `timeout_ns`; spurious returns are the caller's to
// expect.
inline void futex_wait(const void* word, std::uint32_t expected, std::int64_t timeout_ns) {
  const timespec timeout{.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  call(SYS_futex, pointer(word), FUTEX_WAIT, static_cast<long>(expected), pointer(&timeout));
}
inline void futex_wake(const void* word, int waiters) {
  call(SYS_futex, pointer(word), FUTEX_WAKE, waiters);
}

inline std::int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

}  // namespace benchfs::sys
