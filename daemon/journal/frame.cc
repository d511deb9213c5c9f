#include "daemon/journal/frame.h"

// Compiled in: for lengths it knows, and so that nobody needs libxxhash.so.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace benchfs {
namespace {

constexpr std::size_t checksum_bytes = sizeof(std::uint64_t);

// What is before it in the program is before it in the file, whenever the process is killed.
void store_last(std::byte* at, std::uint64_t value) {
  std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)).store(value, std::memory_order_release);
}

}  // namespace

void write_file_header(std::byte* at, JournalFileHeader header) {
  header.checksum = XXH3_64bits(&header, offsetof(JournalFileHeader, checksum));
  std::memcpy(at, &header, offsetof(JournalFileHeader, checksum));
  store_last(at + offsetof(JournalFileHeader, checksum), header.checksum);
}

std::optional<JournalFileHeader> file_header(std::span<const std::byte> file, std::uint64_t magic) {
  const auto header = wire::parse<JournalFileHeader>(file);
  if (!header.ok() || header->magic != magic ||
      header->checksum != XXH3_64bits(file.data(), offsetof(JournalFileHeader, checksum)))
    return std::nullopt;
  return *header;
}

void finish_frame(std::byte* at, std::size_t length, std::uint64_t sequence) {
  const FrameHeader header{.checksum = 0,
                           .magic = frame_magic,
                           .length = static_cast<std::uint32_t>(length),
                           .sequence = sequence};
  std::memcpy(at + checksum_bytes, wire::bytes_of(header).data() + checksum_bytes,
              sizeof header - checksum_bytes);
  store_last(at, XXH3_64bits(at + checksum_bytes, sizeof header - checksum_bytes + length));
}

std::optional<Frame> frame_at(std::span<const std::byte> file, std::size_t offset) {
  if (offset > file.size()) return std::nullopt;
  const auto rest = file.subspan(offset);
  const auto header = wire::parse<FrameHeader>(rest);
  if (!header.ok() || header->magic != frame_magic || header->length == 0 ||
      header->length > rest.size() - sizeof(FrameHeader))
    return std::nullopt;
  const std::size_t bytes = sizeof(FrameHeader) + header->length;
  if (header->checksum != XXH3_64bits(rest.data() + checksum_bytes, bytes - checksum_bytes))
    return std::nullopt;
  return Frame{.sequence = header->sequence,
               .payload = rest.subspan(sizeof(FrameHeader), header->length),
               .end = offset + padded(bytes)};
}

bool frame_after(std::span<const std::byte> file, std::size_t offset, std::uint64_t sequence) {
  for (; offset + sizeof(FrameHeader) <= file.size(); offset += 8) {
    std::uint32_t magic = 0;
    std::memcpy(&magic, file.data() + offset + offsetof(FrameHeader, magic), sizeof magic);
    if (magic != frame_magic) continue;
    const auto frame = frame_at(file, offset);
    if (frame.has_value() && frame->sequence >= sequence) return true;
  }
  return false;
}

std::size_t end_of_content(std::span<const std::byte> file, std::size_t offset) {
  std::size_t end = file.size();
  for (std::uint64_t word = 0; end >= offset + sizeof word; end -= sizeof word) {
    std::memcpy(&word, file.data() + end - sizeof word, sizeof word);
    if (word != 0) break;
  }
  while (end > offset && file[end - 1] == std::byte{0}) --end;
  return std::max(end, offset);
}

}  // namespace benchfs
