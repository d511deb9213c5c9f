// Reading a journal back: the newest snapshot, then the logs after it. What a kill left unfinished
// at the end is cut; damage in the middle is refused.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "daemon/journal/record.h"
#include "daemon/journal/segment.h"

namespace benchfs {

struct JournalIdentity {
  std::array<std::byte, 16> instance{};
  std::uint32_t rank = 0;
  friend bool operator==(const JournalIdentity&, const JournalIdentity&) = default;
};

struct LogFile {
  std::uint64_t number;
  std::uint64_t bytes;
};

struct Recovered {
  std::shared_ptr<Segment> last;  // null: there was no journal of this instance; all is wiped
  std::vector<LogFile> older;     // the logs before it that are still needed
  std::size_t end = 0;            // where the next frame goes in it
  std::uint64_t next_sequence = 1;
  std::uint64_t records = 0;
  std::uint64_t snapshot_number = 0;  // 0: there is none
  std::uint64_t snapshot_bytes = 0;
  std::uint64_t log_bytes = 0;  // of frames after the snapshot
};

// Gives all records to `sink` and removes files that are not needed any more. `path` is the
// directory's, for messages; after an error `why` says what is wrong with which file at which
// offset. May wait for storage: for the start.
Result<Recovered> recover_journal(int directory, const std::string& path,
                                  const JournalIdentity& identity, RecordSink& sink,
                                  std::string& why);

std::string log_name(std::uint64_t number);
std::string snapshot_name(std::uint64_t number);

}  // namespace benchfs
