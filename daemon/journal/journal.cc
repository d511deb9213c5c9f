#include "daemon/journal/journal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/log.h"

namespace benchfs {

Result<std::unique_ptr<Journal>> Journal::open(EventLoop& loop, Uring& uring,
                                               JournalOptions options, RecordSink& sink,
                                               std::string& why,
                                               std::unique_ptr<SegmentFiles> files) {
  std::unique_ptr<Journal> journal(new Journal(loop, uring, std::move(options)));
  const std::string& path = journal->path();
  const auto fail = [&](Error error) {
    why = "Cannot keep a journal in " + path + ": " + describe(error);
    return error;
  };
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail(Error::last());
  journal->directory_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!journal->directory_) return fail(Error::last());
  const int directory = journal->directory();
  struct statfs kind {};
  if (::fstatfs(directory, &kind) != 0) return fail(Error::last());
  journal->in_memory_ = kind.f_type == TMPFS_MAGIC;
  journal->files_ =
      files != nullptr ? std::move(files) : std::make_unique<UringSegmentFiles>(uring, directory);
  TRY(Recovered recovered, recover_journal(directory, path, journal->options_.identity, sink, why));
  if (recovered.last == nullptr) {
    auto made = journal->make_now(journal->options_.first_segment_bytes);
    if (!made.ok()) return fail(made.error());
    journal->begin(*std::move(made));
    if (journal->options_.sync && ::fsync(directory) != 0) return fail(Error::last());
  } else {
    journal->next_number_ = recovered.last->number() + 1;
    journal->sequence_ = recovered.next_sequence;
    journal->use(std::move(recovered.last), recovered.end);
  }
  journal->older_ = std::move(recovered.older);
  if (const Status mapped = journal->map_older(); !mapped.ok()) return fail(mapped.error());
  journal->log_bytes_ = recovered.log_bytes;
  journal->snapshot_number_ = recovered.snapshot_number;
  journal->snapshot_bytes_ = recovered.snapshot_bytes;
  journal->snapshot_due_ = journal->log_bytes_after(recovered.snapshot_bytes);
  journal->records_recovered_ = recovered.records;
  return journal;
}

// Whoever wrote them need not have waited for the device.
Status Journal::map_older() {
  if (!waits_for_device()) return Done{};
  for (const LogFile& log : older_) {
    Fd fd(::openat(directory(), log_name(log.number).c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) return Error::last();
    TRY(auto segment, Segment::map(std::move(fd), log.number));
    unsynced_.push_back(std::move(segment));
  }
  return Done{};
}

Journal::~Journal() = default;

void Journal::use(std::shared_ptr<Segment> segment, std::size_t offset) {
  segment_ = std::move(segment);
  data_ = segment_->data();
  frame_ = offset;
  cursor_ = offset + sizeof(FrameHeader);
  limit_ = segment_->size() - 8;  // a frame's padding
}

void Journal::begin(std::shared_ptr<Segment> segment) {
  const std::shared_ptr<Segment> old = std::move(segment_);
  const std::size_t frame = frame_;
  const std::size_t bytes = old == nullptr ? 0 : pending();
  use(std::move(segment), sizeof(JournalFileHeader));
  if (old != nullptr) {
    std::byte* const from = old->data() + frame + sizeof(FrameHeader);
    std::memcpy(data_ + cursor_, from, bytes);
    cursor_ += bytes;
    // Before the new one has begun: a log that another follows ends in zeros.
    std::memset(from, 0, bytes);
    older_.push_back({old->number(), old->size()});
    if (waits_for_device()) unsynced_.push_back(old);
  }
  write_file_header(data_, {.magic = log_magic,
                            .version = journal_version,
                            .rank = options_.identity.rank,
                            .instance = options_.identity.instance,
                            .number = segment_->number(),
                            .first_sequence = sequence_,
                            .reserved = 0,
                            .checksum = 0});
}

Result<std::shared_ptr<Segment>> Journal::make_now(std::uint64_t bytes) {
  const std::uint64_t number = next_number_++;
  TRY(Fd fd, files_->make_now(log_name(number), bytes));
  ++names_made_;
  return Segment::map(std::move(fd), number);
}

// A file costs about three times as much in the log as in a snapshot.
std::uint64_t Journal::log_bytes_after(std::uint64_t snapshot_bytes) const {
  return std::max(options_.snapshot_after_bytes, 2 * snapshot_bytes);
}

std::uint64_t Journal::next_bytes() const {
  return std::min<std::uint64_t>(segment_->size() * 2, options_.segment_bytes_max);
}

// Requests are let in only while there is room, so this finds a spare segment. If it does not, what
// was changed already must not be lost: it waits for storage, or gives up.
void Journal::go_on(std::size_t bytes) {
  const std::size_t needed =
      sizeof(JournalFileHeader) + sizeof(FrameHeader) + pending() + bytes + 8;
  if (spare_ != nullptr && spare_->size() >= needed) return begin(std::move(spare_));
  if (spare_ != nullptr) {
    ::unlinkat(directory_.get(), log_name(spare_->number()).c_str(), 0);
    spare_.reset();
  }
  auto made = make_now(std::max<std::uint64_t>(next_bytes(), padded(needed)));
  if (!made.ok()) {
    log::error("no room for the journal in {}: {}: this server ends", path(),
               describe(made.error()));
    std::abort();
  }
  begin(*std::move(made));
}

void Journal::commit() {
  const std::size_t length = pending();
  if (length == 0) return;
  finish_frame(data_ + frame_, length, sequence_++);
  const std::size_t next = padded(cursor_);
  log_bytes_ += next - frame_;
  frame_ = next;
  cursor_ = next + sizeof(FrameHeader);
  if (left() < limit_ / 2 && spare_ == nullptr && !preparing_ && spare_error_ == 0) prepare_spare();
  if (log_bytes_ > snapshot_due_ && on_snapshot_due) on_snapshot_due();
}

void Journal::prepare_spare() {
  preparing_ = true;
  loop_.spawn(prepare(*this));
}

Task<Result<std::shared_ptr<Segment>>> Journal::make_ahead() {
  const std::uint64_t number = next_number_++;
  CO_TRY(Fd fd, co_await files_->make(log_name(number), next_bytes()));
  ++names_made_;
  if (options_.sync) {
    const int synced = co_await sync_names();
    if (synced < 0) co_return Error(-synced);
  }
  if (number < segment_->number()) {  // the log went on without it
    co_await uring_.unlinkat(directory_.get(), log_name(number).c_str(), 0);
    co_return std::shared_ptr<Segment>();
  }
  co_return Segment::map(std::move(fd), number);
}

Task<int> Journal::prepare(Journal& journal) {
  journal.spare_error_ = 0;
  auto made = co_await journal.make_ahead();
  journal.preparing_ = false;
  if (made.ok()) {
    journal.spare_ = *std::move(made);
    journal.told_ = false;
  } else {
    journal.spare_error_ = made.error().code();
    if (!journal.told_)
      log::warn("no room to let the journal in {} grow: {}: changes will be refused",
                journal.path(), describe(made.error()));
    journal.told_ = true;
  }
  for (Completion* const waiter : std::exchange(journal.room_waiters_, {})) waiter->finish(0);
  co_return 0;
}

Task<Status> Journal::make_room(std::size_t bytes) {
  while (!has_room(bytes)) {
    if (!preparing_) prepare_spare();
    if (preparing_) {
      Completion done(loop_);
      room_waiters_.push_back(&done);
      co_await done;
    }
    if (!has_room(bytes) && spare_error_ != 0) co_return Error(spare_error_);
  }
  co_return Done{};
}

Task<int> Journal::sync_names() {
  const std::uint64_t made = names_made_;
  if (names_synced_ >= made) co_return 0;
  const int synced = co_await uring_.fsync(directory_.get());
  if (synced >= 0) names_synced_ = std::max(names_synced_, made);
  co_return std::min(synced, 0);
}

Task<int> Journal::sync_all() {
  const std::uint64_t target = sequence_ - 1;
  std::vector<std::shared_ptr<Segment>> segments = std::exchange(unsynced_, {});
  segments.push_back(segment_);
  for (const auto& segment : segments) {
    const int synced = co_await uring_.fsync(segment->fd());
    if (synced < 0) {
      unsynced_.insert(unsynced_.begin(), segments.begin(), segments.end() - 1);
      co_return synced;
    }
  }
  const int named = co_await sync_names();
  if (named < 0) co_return named;
  synced_ = target;
  co_return 0;
}

Task<Status> Journal::synced() {
  if (options_.sync) co_return co_await on_device();
  co_return Done{};
}

Task<Status> Journal::on_device() {
  if (!waits_for_device()) co_return Done{};
  const std::uint64_t wanted = sequence_ - 1;
  while (synced_ < wanted) {  // who gets the lock syncs for all that came meanwhile
    co_await syncing_.lock(loop_);
    const int error = synced_ < wanted ? co_await sync_all() : 0;
    syncing_.unlock();
    if (error < 0) {
      log::error("the journal in {} cannot be synced: {}", path(), describe(Error(-error)));
      co_return Error(-error);
    }
  }
  co_return Done{};
}

Task<Result<JournalFileHeader>> Journal::begin_snapshot() {
  snapshot_due_ = UINT64_MAX;
  CO_TRY_OK(co_await make_room(SIZE_MAX));
  begin(std::move(spare_));
  log_bytes_before_ = log_bytes_;
  co_return JournalFileHeader{.magic = snapshot_magic,
                              .version = journal_version,
                              .rank = options_.identity.rank,
                              .instance = options_.identity.instance,
                              .number = segment_->number(),
                              .first_sequence = sequence_,
                              .reserved = 0,
                              .checksum = 0};
}

Task<int> Journal::snapshot_done(std::uint64_t number, std::uint64_t bytes) {
  std::vector<std::string> superfluous;
  if (snapshot_number_ != 0) superfluous.push_back(snapshot_name(snapshot_number_));
  for (const LogFile& log : older_)
    if (log.number < number) superfluous.push_back(log_name(log.number));
  std::erase_if(older_, [number](const LogFile& log) { return log.number < number; });
  std::erase_if(unsynced_, [number](const auto& log) { return log->number() < number; });
  log_bytes_ -= log_bytes_before_;
  snapshot_number_ = number;
  snapshot_bytes_ = bytes;
  snapshot_due_ = log_bytes_after(bytes);
  for (const std::string& name : superfluous)
    co_await uring_.unlinkat(directory_.get(), name.c_str(), 0);
  co_return 0;
}

void Journal::snapshot_failed() { snapshot_due_ = log_bytes_ + options_.snapshot_after_bytes; }

std::uint64_t Journal::file_bytes() const {
  std::uint64_t bytes = segment_->size() + snapshot_bytes_;
  if (spare_ != nullptr) bytes += spare_->size();
  for (const LogFile& log : older_) bytes += log.bytes;
  return bytes;
}

}  // namespace benchfs
