// Frames: what was changed together, in the files of the journal. A frame is valid or does not
// count; the checksum is written last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/wire.h"

namespace benchfs {

// In front of each file, frames follow.
struct JournalFileHeader {
  std::uint64_t magic;  // log_magic or snapshot_magic
  std::uint32_t version;
  std::uint32_t rank;
  std::array<std::byte, 16> instance;
  std::uint64_t number;          // of the log; a snapshot: of the first log that is newer
  std::uint64_t first_sequence;  // of the first frame
  std::uint64_t reserved;        // zero
  std::uint64_t checksum;        // XXH3-64 of all before
};
static_assert(wire::Struct<JournalFileHeader> && sizeof(JournalFileHeader) == 64);

inline constexpr std::uint64_t log_magic = 0x006c6e726a666362;       // "bcfjrnl"
inline constexpr std::uint64_t snapshot_magic = 0x0070616e73666362;  // "bcfsnap"
inline constexpr std::uint32_t journal_version = 1;

struct FrameHeader {
  std::uint64_t checksum;  // XXH3-64 of all that follows, the payload included
  std::uint32_t magic;
  std::uint32_t length;    // bytes of the payload, which follows; then zeros up to a multiple of 8
  std::uint64_t sequence;  // one more than that of the frame before
};
static_assert(wire::Struct<FrameHeader> && sizeof(FrameHeader) == 24);

inline constexpr std::uint32_t frame_magic = 0x6d617266;  // "fram"

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 7) & ~std::size_t{7}; }

// Writes `header` with its checksum, which comes last: until then the file has not begun.
void write_file_header(std::byte* at, JournalFileHeader header);
// None unless magic and checksum are right.
std::optional<JournalFileHeader> file_header(std::span<const std::byte> file, std::uint64_t magic);

// Makes a frame of the `length` bytes at `at` + sizeof(FrameHeader). The padding must be zero.
void finish_frame(std::byte* at, std::size_t length, std::uint64_t sequence);

struct Frame {
  std::uint64_t sequence;
  std::span<const std::byte> payload;
  std::size_t end;  // offset in the file where the next one may begin
};
// The frame at `offset`, a multiple of 8, if there is a valid one.
std::optional<Frame> frame_at(std::span<const std::byte> file, std::size_t offset);
// Whether there is a valid frame of number `sequence` or more at or after `offset`.
bool frame_after(std::span<const std::byte> file, std::size_t offset, std::uint64_t sequence);

// Offset just after the last byte that is not zero, at least `offset`.
std::size_t end_of_content(std::span<const std::byte> file, std::size_t offset);

}  // namespace benchfs
