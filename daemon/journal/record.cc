#include "daemon/journal/record.h"

namespace benchfs {

std::size_t read_records(std::span<const std::byte> payload, RecordSink& sink) {
  std::size_t offset = 0;
  while (offset < payload.size()) {
    const auto rest = payload.subspan(offset);
    const auto header = wire::parse<RecordHeader>(rest);
    if (!header.ok() || header->length > rest.size() - sizeof(RecordHeader)) break;
    const auto body = rest.subspan(sizeof(RecordHeader), header->length);
    if (!sink.take(static_cast<RecordType>(header->type), body)) break;
    offset += sizeof(RecordHeader) + header->length;
  }
  return offset;
}

}  // namespace benchfs
