// Snapshots: lets the journal stay short. When it has grown enough, everything the server knows is
// written to a file, slice by slice while requests go on, and older logs are removed.
//
// A slice shows what is there when its turn comes, so a snapshot is of no one moment. It need not
// be: the log was begun anew before the first slice, and all that changes meanwhile is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/fd.h"
#include "daemon/journal/journal.h"
#include "daemon/rpc/server.h"

namespace benchfs {

// Writes frames of records to a file, a slice at a time.
class SnapshotFile {
 public:
  SnapshotFile(Uring& uring, Fd fd, JournalFileHeader header);

  std::byte* append(RecordType type, std::size_t bytes);
  template <wire::Struct R>
  void append(RecordType type, const R& record, std::span<const std::byte> tail = {}) {
    std::byte* const at = append(type, sizeof record + tail.size());
    std::memcpy(at, &record, sizeof record);
    if (!tail.empty()) std::memcpy(at + sizeof record, tail.data(), tail.size());
  }
  // Enough for one turn of the loop: flush() before more.
  bool is_full() const { return buffer_.size() >= slice_bytes; }
  Task<Status> flush();
  Task<Status> finish();  // on the device when done
  std::uint64_t bytes() const { return offset_; }

 private:
  static constexpr std::size_t slice_bytes = 64 << 10;
  void begin_frame();

  Uring& uring_;
  Fd fd_;
  std::vector<std::byte> buffer_;
  std::size_t frame_ = 0;  // offset of the frame in it
  std::uint64_t offset_ = 0;
  std::uint64_t sequence_ = 1;
  std::uint64_t records_ = 0;
};

class Snapshots {
 public:
  // All of them outlive a snapshot that was started.
  Snapshots(Server& server, Uring& uring, Journal& journal)
      : server_(server), uring_(uring), journal_(journal) {}

  // Takes one in the background, unless one is under way.
  void start();
  bool under_way() const { return under_way_; }
  std::uint64_t taken() const { return taken_; }

 private:
  static Task<int> run(Snapshots& self);
  Task<Status> take();
  Task<Status> write(SnapshotFile& file);
  bool add_inode(SnapshotFile& file, std::uint64_t number) const;
  Task<Status> write_entries(SnapshotFile& file, std::uint64_t directory);
  Task<Status> write_answers(SnapshotFile& file);

  Server& server_;
  Uring& uring_;
  Journal& journal_;
  bool under_way_ = false;
  bool told_ = false;  // in the log that they fail
  std::uint64_t taken_ = 0;
};

}  // namespace benchfs
