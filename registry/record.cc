#include "registry/record.h"

#include "common/placement.h"
#include "registry/bytes.h"

namespace benchfs {
namespace {

constexpr std::uint64_t magic = 0x65646f6e73666362;  // "bcfsnode"
constexpr std::uint32_t format_version = 2;

struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t body_bytes;
  std::uint64_t checksum;  // xxHash64 of the body
};
static_assert(sizeof(Header) == 24 && std::has_unique_object_representations_v<Header>);

constexpr std::size_t name_bytes_max = 255;
constexpr std::size_t path_bytes_max = 4095;
constexpr std::size_t settings_bytes_max = 64U << 10;
constexpr std::size_t address_bytes_max = 64U << 10;

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// The body starts behind the header; offsets in messages are those of the file.
Error fault(std::string& why, std::size_t offset, const std::string& what) {
  why = "at offset " + std::to_string(offset) + ": " + what;
  return Error(EBADMSG);
}

}  // namespace

std::vector<std::byte> encode(const NodeRecord& record) {
  ByteWriter body;
  body.number(static_cast<std::uint32_t>(record.state));
  body.number(record.rank);
  body.number(record.size);
  body.number(record.exit_code);
  body.number(record.launch_id);
  body.fixed(record.instance);
  body.number(record.host_id);
  body.number(record.supervisor);
  body.number(record.fingerprint);
  body.text(record.host_name);
  body.text(record.data_dir);
  body.text(record.mount_point);
  body.text(record.settings);
  body.counted(record.address);
  body.number(record.incarnation);

  ByteWriter out;
  out.number(magic);
  out.number(format_version);
  out.number(static_cast<std::uint32_t>(body.bytes().size()));
  out.number(checksum(body.bytes()));
  out.bytes().insert(out.bytes().end(), body.bytes().begin(), body.bytes().end());
  return std::move(out.bytes());
}

Result<NodeRecord> decode_node_record(std::span<const std::byte> bytes, std::string& why) {
  if (bytes.size() < sizeof(Header))
    return fault(why, bytes.size(),
                 "ends within the header of " + std::to_string(sizeof(Header)) + " bytes");
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != magic) return fault(why, 0, "this is not a BenchFS node record");
  if (header.version != format_version)
    return fault(why, offsetof(Header, version),
                 "format version " + std::to_string(header.version) + ", this program knows " +
                     std::to_string(format_version));
  const auto body = bytes.subspan(sizeof(Header));
  if (header.body_bytes != body.size())
    return fault(why, offsetof(Header, body_bytes),
                 std::to_string(header.body_bytes) + " bytes announced, " +
                     std::to_string(body.size()) + " there");
  if (header.checksum != checksum(body))
    return fault(why, offsetof(Header, checksum), "the checksum does not match");

  ByteReader in(body);
  NodeRecord record;
  const auto state = in.number<std::uint32_t>();
  record.rank = in.number<std::uint32_t>();
  record.size = in.number<std::uint32_t>();
  record.exit_code = in.number<std::uint32_t>();
  record.launch_id = in.number<std::uint64_t>();
  record.instance = in.fixed<16>();
  record.host_id = in.number<std::uint64_t>();
  record.supervisor = in.number<std::uint64_t>();
  record.fingerprint = in.number<std::uint64_t>();
  record.host_name = in.text(name_bytes_max);
  record.data_dir = in.text(path_bytes_max);
  record.mount_point = in.text(path_bytes_max);
  record.settings = in.text(settings_bytes_max);
  const auto address = in.counted(address_bytes_max);
  record.address.assign(address.begin(), address.end());
  record.incarnation = in.number<std::uint32_t>();
  if (in.failed())
    return fault(why, sizeof(Header) + in.fault_offset(), "a field is cut short or too long");
  if (!in.complete()) return fault(why, sizeof(Header) + in.fault_offset(), "bytes are left over");
  if (state < 1 || state > static_cast<std::uint32_t>(NodeState::failed))
    return fault(why, sizeof(Header), "state " + std::to_string(state) + " does not exist");
  record.state = static_cast<NodeState>(state);
  // A rank that failed early may not have learnt the size.
  const bool size_known = record.size != 0 || record.state != NodeState::failed;
  if (record.rank >= ranks_max || record.size > ranks_max ||
      (size_known && record.rank >= record.size))
    return fault(why, sizeof(Header) + 4,
                 "rank " + std::to_string(record.rank) + " of " + std::to_string(record.size));
  return record;
}

std::string node_record_name(std::uint32_t rank) {
  return "node_" + std::to_string(rank) + ".addr";
}

}  // namespace benchfs
