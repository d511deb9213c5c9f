// Segment: one file of the log, allocated and mapped as a whole, so that writing to it is writing
// to memory and can neither fail nor wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/fd.h"
#include "common/result.h"
#include "daemon/loop/task.h"
#include "daemon/loop/uring.h"

namespace benchfs {

// Makes the files of a journal, in its directory.
class SegmentFiles {
 public:
  virtual ~SegmentFiles() = default;
  // A new file of `bytes` zeros, all of them allocated, in place of an older one of that name.
  // Nothing is left of one that fails.
  virtual Task<Result<Fd>> make(std::string name, std::uint64_t bytes) = 0;
  // The same at once: the caller waits for storage.
  virtual Result<Fd> make_now(const std::string& name, std::uint64_t bytes) = 0;
};

class UringSegmentFiles final : public SegmentFiles {
 public:
  // `directory` stays open for the life of this.
  UringSegmentFiles(Uring& uring, int directory) : uring_(uring), directory_(directory) {}
  Task<Result<Fd>> make(std::string name, std::uint64_t bytes) override;
  Result<Fd> make_now(const std::string& name, std::uint64_t bytes) override;

 private:
  Task<int> allocate(int fd, std::uint64_t bytes);

  Uring& uring_;
  int directory_;
};

class Segment {
 public:
  // Maps the whole file, for writing.
  static Result<std::shared_ptr<Segment>> map(Fd fd, std::uint64_t number);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  std::uint64_t number() const { return number_; }
  std::size_t size() const { return size_; }
  std::byte* data() const { return data_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  int fd() const { return fd_.get(); }

 private:
  Segment(Fd fd, std::uint64_t number, std::byte* data, std::size_t size)
      : fd_(std::move(fd)), number_(number), data_(data), size_(size) {}

  Fd fd_;
  std::uint64_t number_;
  std::byte* data_;
  std::size_t size_;
};

}  // namespace benchfs
