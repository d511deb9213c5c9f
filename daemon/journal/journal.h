// Journal: the log of one rank. What was changed is appended to a pending frame, in place in the
// mapped file; commit() makes it count. After a kill the next worker reads back what counted.
//
// A commit is stores to memory: it cannot fail and makes no system call. Room for it is made ahead:
// while one segment fills, the next is allocated by io_uring.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/config.h"
#include "common/fd.h"
#include "daemon/journal/frame.h"
#include "daemon/journal/record.h"
#include "daemon/journal/recovery.h"
#include "daemon/journal/segment.h"
#include "daemon/loop/async_mutex.h"
#include "daemon/loop/completion.h"

namespace benchfs {

struct JournalOptions {
  std::string directory;  // made if need be
  JournalIdentity identity;
  bool sync = false;  // synced() waits for the device
  std::uint64_t first_segment_bytes = 1 << 20;
  std::uint64_t segment_bytes_max = 16 << 20;
  std::uint64_t snapshot_after_bytes = 16 << 20;  // or after twice the last snapshot's bytes
};

// What the room that is left is for. A request is let in if there is room for it; what frees space
// may take more of the rest, and what only follows from earlier changes the remainder.
inline constexpr std::size_t room_to_change = 256 << 10;
inline constexpr std::size_t room_to_free = 64 << 10;
inline constexpr std::size_t room_at_last = 32 << 10;

class Journal {
 public:
  // Reads the journal of this instance, if there is one, into `sink`; else begins one. `files` is
  // for tests; null: by `uring`. After an error `why` is a line for the user.
  static Result<std::unique_ptr<Journal>> open(EventLoop& loop, Uring& uring,
                                               JournalOptions options, RecordSink& sink,
                                               std::string& why,
                                               std::unique_ptr<SegmentFiles> files = nullptr);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // A record of `bytes` in the pending frame, to be filled before anything else is called.
  std::byte* append(RecordType type, std::size_t bytes) {
    const std::size_t whole = sizeof(RecordHeader) + bytes;
    if (whole > left()) [[unlikely]]
      go_on(whole);
    const RecordHeader header{.type = static_cast<std::uint16_t>(type),
                              .reserved = 0,
                              .length = static_cast<std::uint32_t>(bytes)};
    std::byte* const at = data_ + cursor_;
    std::memcpy(at, &header, sizeof header);
    cursor_ += whole;
    return at + sizeof header;
  }
  // A struct, and bytes after it.
  template <wire::Struct R>
  void append(RecordType type, const R& record, std::span<const std::byte> tail = {}) {
    std::byte* const at = append(type, sizeof record + tail.size());
    std::memcpy(at, &record, sizeof record);
    if (!tail.empty()) std::memcpy(at + sizeof record, tail.data(), tail.size());
  }
  void append(RecordType type, std::span<const std::byte> body) {
    std::byte* const at = append(type, body.size());
    if (!body.empty()) std::memcpy(at, body.data(), body.size());
  }

  // What was appended since the last commit counts from now on.
  void commit();
  bool syncs() const { return options_.sync; }
  bool is_synced() const { return !options_.sync || is_on_device(); }
  // No frame is left to be synced, whether that is asked for or not.
  bool is_on_device() const { return !waits_for_device() || synced_ + 1 >= sequence_; }
  std::size_t unsynced_segments() const { return unsynced_.size(); }  // beside the current one
  // Frames so far are on the device, if `sync` asks for it. EIO and the like: they are not.
  Task<Status> synced();
  // The same whether it asks for it or not, for one who was told to wait for the device.
  Task<Status> on_device();

  // Whether `bytes` can be appended without waiting, for one of the purposes above.
  bool has_room(std::size_t bytes) const { return left() >= bytes || spare_ != nullptr; }
  // Waits until there is. ENOSPC: the device is full.
  Task<Status> make_room(std::size_t bytes);

  // Called by commit() when it is time for a snapshot.
  std::function<void()> on_snapshot_due;
  // Begins a new segment. A snapshot of everything that is taken from now on, under the header that
  // comes back, makes older logs superfluous. Ends with one of the two below.
  Task<Result<JournalFileHeader>> begin_snapshot();
  // The snapshot's file is there, so many bytes long: removes what is superfluous.
  Task<int> snapshot_done(std::uint64_t number, std::uint64_t bytes);
  void snapshot_failed();  // it is tried again later

  int directory() const { return directory_.get(); }
  const std::string& path() const { return options_.directory; }
  std::uint64_t log_bytes() const { return log_bytes_; }  // since the last snapshot
  std::uint64_t snapshot_bytes() const { return snapshot_bytes_; }
  std::uint64_t file_bytes() const;  // of all files
  std::uint64_t next_sequence() const { return sequence_; }
  std::uint64_t records_recovered() const { return records_recovered_; }

 private:
  Journal(EventLoop& loop, Uring& uring, JournalOptions options)
      : loop_(loop), uring_(uring), options_(std::move(options)) {}

  std::size_t left() const { return cursor_ < limit_ ? limit_ - cursor_ : 0; }
  std::size_t pending() const { return cursor_ - frame_ - sizeof(FrameHeader); }
  void use(std::shared_ptr<Segment> segment, std::size_t offset);
  void begin(std::shared_ptr<Segment> segment);  // takes the pending frame along
  void go_on(std::size_t bytes);
  Result<std::shared_ptr<Segment>> make_now(std::uint64_t bytes);
  std::uint64_t log_bytes_after(std::uint64_t snapshot_bytes) const;
  std::uint64_t next_bytes() const;
  void prepare_spare();
  static Task<int> prepare(Journal& journal);
  Task<Result<std::shared_ptr<Segment>>> make_ahead();
  Status map_older();
  bool waits_for_device() const { return options_.sync || !in_memory_; }
  Task<int> sync_names();
  Task<int> sync_all();

  EventLoop& loop_;
  Uring& uring_;
  JournalOptions options_;
  Fd directory_;
  bool in_memory_ = false;  // there is no device
  std::unique_ptr<SegmentFiles> files_;

  std::shared_ptr<Segment> segment_;
  std::byte* data_ = nullptr;
  std::size_t frame_ = 0;   // offset of the pending frame
  std::size_t cursor_ = 0;  // of the next record in it
  std::size_t limit_ = 0;
  std::uint64_t sequence_ = 1;  // of the pending frame

  std::shared_ptr<Segment> spare_;  // the next segment, made ahead
  int spare_error_ = 0;             // why there is none
  bool preparing_ = false;
  bool told_ = false;  // in the log that there is none
  std::vector<Completion*> room_waiters_;

  std::uint64_t synced_ = 0;                        // frames up to this one are on the device
  std::vector<std::shared_ptr<Segment>> unsynced_;  // older segments that are not
  std::uint64_t names_made_ = 0;                    // of segments
  std::uint64_t names_synced_ = 0;
  AsyncMutex syncing_;

  std::uint64_t next_number_ = 1;
  std::vector<LogFile> older_;  // logs since the last snapshot, but for the current one
  std::uint64_t log_bytes_ = 0;
  std::uint64_t log_bytes_before_ = 0;  // what the snapshot under way covers
  std::uint64_t snapshot_due_ = 0;      // when log_bytes_ is above this
  std::uint64_t snapshot_number_ = 0;   // 0: there is none
  std::uint64_t snapshot_bytes_ = 0;
  std::uint64_t records_recovered_ = 0;
};

}  // namespace benchfs
