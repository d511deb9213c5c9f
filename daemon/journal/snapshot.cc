#include "daemon/journal/snapshot.h"

#include <fcntl.h>

#include <utility>

#include "common/log.h"
#include "daemon/journal/inode_record.h"

namespace benchfs {

SnapshotFile::SnapshotFile(Uring& uring, Fd fd, JournalFileHeader header)
    : uring_(uring), fd_(std::move(fd)), buffer_(sizeof header) {
  write_file_header(buffer_.data(), header);
  begin_frame();
}

void SnapshotFile::begin_frame() {
  frame_ = buffer_.size();
  buffer_.resize(frame_ + sizeof(FrameHeader));
}

std::byte* SnapshotFile::append(RecordType type, std::size_t bytes) {
  const RecordHeader header{.type = static_cast<std::uint16_t>(type),
                            .reserved = 0,
                            .length = static_cast<std::uint32_t>(bytes)};
  const std::size_t at = buffer_.size();
  buffer_.resize(at + sizeof header + bytes);
  std::memcpy(buffer_.data() + at, &header, sizeof header);
  ++records_;
  return buffer_.data() + at + sizeof header;
}

Task<Status> SnapshotFile::flush() {
  const std::size_t length = buffer_.size() - frame_ - sizeof(FrameHeader);
  if (length == 0) co_return Done{};
  buffer_.resize(padded(buffer_.size()));
  finish_frame(buffer_.data() + frame_, length, sequence_++);
  for (std::size_t done = 0; done < buffer_.size();) {
    const int written =
        co_await uring_.write(fd_.get(), buffer_.data() + done,
                              static_cast<std::uint32_t>(buffer_.size() - done), offset_);
    if (written == -EINTR || written == -EAGAIN) continue;
    if (written <= 0) co_return Error(written == 0 ? ENOSPC : -written);
    done += static_cast<std::size_t>(written);
    offset_ += static_cast<std::uint64_t>(written);
  }
  buffer_.clear();
  begin_frame();
  co_return Done{};
}

Task<Status> SnapshotFile::finish() {
  const SnapshotEndRecord end{.records = records_};
  append(RecordType::snapshot_end, end);
  CO_TRY_OK(co_await flush());
  const int synced = co_await uring_.fsync(fd_.get());
  if (synced < 0) co_return Error(-synced);
  co_return Done{};
}

void Snapshots::start() {
  if (std::exchange(under_way_, true)) return;
  server_.loop.spawn(run(*this));
}

Task<int> Snapshots::run(Snapshots& self) {
  co_await self.server_.loop.later();  // it may be in the middle of a commit
  const Status taken = co_await self.take();
  if (taken.ok()) {
    ++self.taken_;
  } else {
    self.journal_.snapshot_failed();
    if (!self.told_)
      log::warn("cannot write a snapshot to {}: {}: the journal grows on", self.journal_.path(),
                describe(taken.error()));
  }
  self.told_ = !taken.ok();
  self.under_way_ = false;
  co_return 0;
}

Task<Status> Snapshots::take() {
  CO_TRY(const JournalFileHeader header, co_await journal_.begin_snapshot());
  const std::string name = snapshot_name(header.number);
  const std::string temporary = name + ".tmp";
  const int directory = journal_.directory();
  const int opened = co_await uring_.openat(directory, temporary.c_str(),
                                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (opened < 0) co_return Error(-opened);
  SnapshotFile file(uring_, Fd(opened), header);
  Status written = co_await write(file);
  if (written.ok()) {
    // What a slice has shown must count before the snapshot does.
    server_.commit();
    written = co_await journal_.synced();
  }
  if (written.ok()) {
    const int renamed = co_await uring_.renameat(directory, temporary.c_str(), name.c_str());
    if (renamed < 0) written = Error(-renamed);
  }
  if (!written.ok()) {
    co_await uring_.unlinkat(directory, temporary.c_str(), 0);
    co_return written;
  }
  if (const int synced = co_await uring_.fsync(directory); synced < 0) co_return Error(-synced);
  co_await journal_.snapshot_done(header.number, file.bytes());
  co_return Done{};
}

Task<Status> Snapshots::write(SnapshotFile& file) {
  const CounterRecord counters{.inode_counter = server_.names.counter_end(),
                               .session = server_.sessions_logged()};
  file.append(RecordType::counters, counters);
  for (std::size_t shard = 0; shard < InodeTable::shards; ++shard) {
    const std::vector<std::uint64_t> numbers = server_.names.numbers(shard);
    for (const std::uint64_t number : numbers) {
      if (file.is_full()) {
        CO_TRY_OK(co_await file.flush());
      }
      if (add_inode(file, number)) {
        CO_TRY_OK(co_await write_entries(file, number));
      }
    }
  }
  for (const auto& [number, size] : server_.names.uncut()) {  // few: one slice
    const ErasedRecord erased{.inode = number, .size = size};
    file.append(RecordType::inode_erased, erased);
  }
  for (const auto& [key, bytes] : server_.blobs.all())
    file.append(RecordType::blob, Blobs::record_of(key), bytes);
  CO_TRY_OK(co_await write_answers(file));
  co_return co_await file.finish();
}

// Whether it has entries, too.
bool Snapshots::add_inode(SnapshotFile& file, std::uint64_t number) const {
  const Inode* const inode = server_.names.find(number);
  if (inode == nullptr || inode->is_removed()) return false;  // meanwhile: the log says so
  encode_inode(*inode, file.append(RecordType::inode, inode_record_bytes(*inode)));
  return inode->is_directory() && !inode->directory->entries.empty();
}

Task<Status> Snapshots::write_entries(SnapshotFile& file, std::uint64_t number) {
  EntryKey last{.cookie = 0, .name = {}};
  for (;;) {
    const Inode* const directory = server_.names.find(number);
    if (directory == nullptr) co_return Done{};
    const auto& entries = directory->directory->entries;
    auto at = entries.upper_bound({last.cookie, last.name});
    const EntryKey* shown = nullptr;
    for (; at != entries.end() && !file.is_full(); ++at) {
      const auto& [key, entry] = *at;
      const EntryRecord record{.directory = number,
                               .inode = entry.inode,
                               .modified = 0,
                               .changed = 0,
                               .type = entry.type,
                               .name_bytes = static_cast<std::uint32_t>(key.name.size())};
      file.append(RecordType::entry, record, wire::bytes_of(std::string_view(key.name)));
      shown = &key;
    }
    if (at == entries.end()) co_return Done{};
    if (shown != nullptr) last = *shown;
    CO_TRY_OK(co_await file.flush());
  }
}

Task<Status> Snapshots::write_answers(SnapshotFile& file) {
  const std::vector<ClientKey> clients = server_.answers.all();
  for (const ClientKey& client : clients) {
    if (file.is_full()) {
      CO_TRY_OK(co_await file.flush());
    }
    server_.answers.visit(client, [&](const RequestKey& request, const Answer& answer) {
      file.append(RecordType::answer, Answers::record_of(request, answer), answer.body);
    });
  }
  co_return Done{};
}

}  // namespace benchfs
