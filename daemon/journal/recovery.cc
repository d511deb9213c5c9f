#include "daemon/journal/recovery.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "common/log.h"
#include "daemon/journal/frame.h"

namespace benchfs {
namespace {

constexpr std::string_view log_prefix = "log.";
constexpr std::string_view snapshot_prefix = "snapshot.";

std::optional<std::uint64_t> number_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  return parse_number<std::uint64_t>(name.substr(prefix.size()));
}

class CountingSink final : public RecordSink {
 public:
  explicit CountingSink(RecordSink& sink) : sink_(sink) {}
  bool take(RecordType type, std::span<const std::byte> body) override {
    if (type == RecordType::snapshot_end) {
      const auto end = wire::parse<SnapshotEndRecord>(body);
      complete = end.ok() && end->records == count;
      return complete;
    }
    ++count;
    return sink_.take(type, body);
  }
  std::uint64_t count = 0;
  bool complete = false;  // a snapshot's end was read, and it is right

 private:
  RecordSink& sink_;
};

class Recovery {
 public:
  Recovery(int directory, const std::string& path, const JournalIdentity& identity,
           RecordSink& sink, std::string& why)
      : directory_(directory), path_(path), identity_(identity), sink_(sink), why_(why) {}

  Result<Recovered> run();

 private:
  // What a log is, by its header.
  enum class State { missing, not_begun, foreign, ours, headless };
  State state_of(std::uint64_t number) const;

  bool is_snapshot_ours(std::uint64_t number) const;
  Status list();
  Status read_snapshot(std::uint64_t number);
  // `later`: the log that was begun after it, or 0.
  Status read_log(std::uint64_t number, std::uint64_t later);
  // All frames from `offset` on; returns where they end.
  Result<std::size_t> read_frames(std::span<const std::byte> file, const std::string& name,
                                  std::size_t offset);
  // The rest of the newest log holds no frame that counts.
  void cut_tail(const Segment& segment, const std::string& name, std::size_t offset);
  Result<std::shared_ptr<Segment>> open(const std::string& name, std::uint64_t number);
  // `first` is the first log to read, `begun` are those that are there.
  Status read(const std::vector<std::uint64_t>& begun, std::uint64_t first);
  Error damaged(const std::string& name, std::size_t offset, const std::string& what);

  int directory_;
  const std::string& path_;
  const JournalIdentity& identity_;
  CountingSink sink_;
  std::string& why_;
  std::set<std::uint64_t> logs_;
  std::set<std::uint64_t> snapshots_;
  std::vector<std::string> others_;
  Recovered result_;
};

Error Recovery::damaged(const std::string& name, std::size_t offset, const std::string& what) {
  why_ = "The journal " + path_ + "/" + name + " is damaged at offset " + std::to_string(offset) +
         ": " + what + ": what this rank knew cannot be restored";
  return Error(EBADMSG);
}

Status Recovery::list() {
  DIR* const stream = ::fdopendir(::openat(directory_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (stream == nullptr) {
    const Error error = Error::last();
    why_ = "The journal's directory " + path_ + " cannot be read: " + describe(error);
    return error;
  }
  while (const dirent* const entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (const auto log = number_of(name, log_prefix))
      logs_.insert(*log);
    else if (const auto snapshot = number_of(name, snapshot_prefix))
      snapshots_.insert(*snapshot);
    else
      others_.emplace_back(name);
  }
  ::closedir(stream);
  return Done{};
}

Result<std::shared_ptr<Segment>> Recovery::open(const std::string& name, std::uint64_t number) {
  Fd fd(::openat(directory_, name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  auto segment =
      fd ? Segment::map(std::move(fd), number) : Result<std::shared_ptr<Segment>>(Error::last());
  if (!segment.ok())
    why_ = "The journal " + path_ + "/" + name + " cannot be read: " + describe(segment.error());
  return segment;
}

// A file that was made ahead has no header yet, and nothing that counts.
Recovery::State Recovery::state_of(std::uint64_t number) const {
  Fd fd(::openat(directory_, log_name(number).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return State::missing;
  const auto segment = Segment::map(std::move(fd), number);
  if (!segment.ok()) return State::not_begun;
  const auto file = (*segment)->bytes();
  const auto header = file_header(file, log_magic);
  if (!header.has_value()) return frame_after(file, 0, 1) ? State::headless : State::not_begun;
  const JournalIdentity whose{.instance = header->instance, .rank = header->rank};
  return whose == identity_ ? State::ours : State::foreign;
}

bool Recovery::is_snapshot_ours(std::uint64_t number) const {
  Fd fd(::openat(directory_, snapshot_name(number).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return false;
  const auto segment = Segment::map(std::move(fd), number);
  if (!segment.ok()) return false;
  const auto header = file_header((*segment)->bytes(), snapshot_magic);
  return header.has_value() && header->instance == identity_.instance;
}

Result<std::size_t> Recovery::read_frames(std::span<const std::byte> file, const std::string& name,
                                          std::size_t offset) {
  for (;;) {
    const auto frame = frame_at(file, offset);
    if (!frame.has_value() || frame->sequence != result_.next_sequence) return offset;
    const std::size_t read = read_records(frame->payload, sink_);
    if (read != frame->payload.size())
      return damaged(name, offset + sizeof(FrameHeader) + read,
                     "a record that this version does not know");
    ++result_.next_sequence;
    offset = frame->end;
  }
}

Status Recovery::read_snapshot(std::uint64_t number) {
  const std::string name = snapshot_name(number);
  TRY(const auto segment, open(name, number));
  const auto file = segment->bytes();
  const auto header = file_header(file, snapshot_magic);
  if (!header.has_value() || header->number != number || header->rank != identity_.rank ||
      header->instance != identity_.instance)
    return damaged(name, 0, "no header of this instance");
  result_.next_sequence = 1;  // a snapshot counts its own frames
  TRY(const std::size_t end, read_frames(file, name, sizeof(JournalFileHeader)));
  if (!sink_.complete || end < file.size()) return damaged(name, end, "no valid frame");
  result_.snapshot_number = number;
  result_.snapshot_bytes = file.size();
  result_.next_sequence = header->first_sequence;
  return Done{};
}

void Recovery::cut_tail(const Segment& segment, const std::string& name, std::size_t offset) {
  const std::size_t end = end_of_content(segment.bytes(), offset);
  if (end == offset) return;
  log::warn("cut {} bytes at offset {} of {}/{}: a change that was not finished, nor answered",
            end - offset, offset, path_, name);
  std::memset(segment.data() + offset, 0, end - offset);
}

Status Recovery::read_log(std::uint64_t number, std::uint64_t later) {
  const std::string name = log_name(number);
  TRY(const auto segment, open(name, number));
  const auto file = segment->bytes();
  const auto header = file_header(file, log_magic);
  if (!header.has_value() || header->number != number)
    return damaged(name, 0, "no header of this instance");
  if (header->first_sequence != result_.next_sequence)
    return damaged(name, 0,
                   "it begins with frame " + std::to_string(header->first_sequence) +
                       ", but frame " + std::to_string(result_.next_sequence) + " is next");
  TRY(const std::size_t end, read_frames(file, name, sizeof(JournalFileHeader)));
  if (frame_after(file, end, result_.next_sequence))
    return damaged(name, end, "valid frames follow");
  if (later != 0 && end_of_content(file, end) != end)
    return damaged(name, end, log_name(later) + " was begun after it");
  result_.log_bytes += end - sizeof(JournalFileHeader);
  if (result_.last != nullptr)
    result_.older.push_back({result_.last->number(), result_.last->size()});
  result_.last = segment;
  result_.end = end;
  return Done{};
}

Status Recovery::read(const std::vector<std::uint64_t>& begun, std::uint64_t first) {
  if (!snapshots_.empty()) {
    TRY_OK(read_snapshot(first));
  }
  if (begun.front() != first) return damaged(log_name(first), 0, "it is missing");
  for (std::size_t i = 0; i < begun.size(); ++i) {
    TRY_OK(read_log(begun[i], i + 1 < begun.size() ? begun[i + 1] : 0));
  }
  cut_tail(*result_.last, log_name(begun.back()), result_.end);
  return Done{};
}

Result<Recovered> Recovery::run() {
  TRY_OK(list());
  const std::uint64_t first = snapshots_.empty() ? 1 : *snapshots_.rbegin();
  std::vector<std::uint64_t> begun;
  for (const std::uint64_t number : logs_) {
    const State state = state_of(number);
    if (state == State::headless)
      return damaged(log_name(number), 0, "no header, but valid frames follow");
    if (state == State::ours && number >= first)
      begun.push_back(number);
    else
      others_.push_back(log_name(number));  // superfluous, foreign, or made ahead
  }
  if (!begun.empty()) {
    TRY_OK(read(begun, first));
  } else if (!snapshots_.empty() && is_snapshot_ours(first)) {
    return damaged(log_name(first), 0, "it is missing");
  }
  for (const std::uint64_t number : snapshots_)
    if (begun.empty() || number != first) others_.push_back(snapshot_name(number));
  for (const std::string& name : others_) ::unlinkat(directory_, name.c_str(), 0);
  result_.records = sink_.count;
  return result_;
}

}  // namespace

std::string log_name(std::uint64_t number) {
  return std::string(log_prefix) + std::to_string(number);
}
std::string snapshot_name(std::uint64_t number) {
  return std::string(snapshot_prefix) + std::to_string(number);
}

Result<Recovered> recover_journal(int directory, const std::string& path,
                                  const JournalIdentity& identity, RecordSink& sink,
                                  std::string& why) {
  return Recovery(directory, path, identity, sink, why).run();
}

}  // namespace benchfs
