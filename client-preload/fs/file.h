// File: one open file description of the host, as this process sees it. Shared by all descriptors
// of the process that refer to it; the offset and flags lie in the host's open-file table, so dup,
// fork and exec share them.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"

namespace benchfs {

struct DirectoryEntry {
  std::uint64_t inode;
  std::uint64_t cookie;  // to go on after this entry; survives other processes' changes
  std::uint8_t type;     // DT_*
  std::string name;
};

class File {
 public:
  virtual ~File() = default;

  virtual std::uint64_t inode() const = 0;
  virtual bool is_directory() const = 0;
  virtual int flags() const = 0;            // O_*: access mode and status flags, as F_GETFL answers
  virtual Status set_flags(int flags) = 0;  // as F_SETFL: O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME

  // At the shared offset, which they move. Short only at the end of the file or when a device is
  // full. EISDIR, EBADF (access mode) as Linux.
  virtual Result<std::size_t> read(std::span<std::byte> out) = 0;
  virtual Result<std::size_t> write(std::span<const std::byte> data) = 0;  // O_APPEND honoured
  virtual Result<std::size_t> read_at(std::span<std::byte> out, off_t offset) = 0;
  virtual Result<std::size_t> write_at(std::span<const std::byte> data, off_t offset) = 0;
  // Several pieces as one operation: readv and writev are atomic in the offset.
  virtual Result<std::size_t> read_pieces(std::span<const std::span<std::byte>> pieces,
                                          const off_t* offset) = 0;
  virtual Result<std::size_t> write_pieces(std::span<const std::span<const std::byte>> pieces,
                                           const off_t* offset) = 0;
  virtual Result<off_t> seek(off_t offset, int whence) = 0;  // SEEK_SET, CUR, END, DATA, HOLE

  virtual Result<struct stat> stat() = 0;
  virtual Status truncate(off_t size) = 0;
  virtual Status allocate(int mode, off_t offset,
                          off_t length) = 0;  // fallocate: 0, KEEP_SIZE, PUNCH
  virtual Status sync(bool data_only) = 0;
  virtual Status change_mode(mode_t mode) = 0;
  virtual Status change_owner(uid_t uid, gid_t gid) = 0;
  virtual Status set_times(const struct timespec times[2]) = 0;

  // flock(2): LOCK_SH, LOCK_EX or LOCK_UN, with or without LOCK_NB.
  virtual Status lock_whole(int operation) = 0;
  // fcntl(2): F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ forms.
  virtual Status lock_range(int command, struct flock& range) = 0;

  // A page of entries after `cookie` (0: from the start; "." and ".." first). Empty: the end.
  virtual Result<std::vector<DirectoryEntry>> list(std::uint64_t cookie) = 0;
};

}  // namespace benchfs
