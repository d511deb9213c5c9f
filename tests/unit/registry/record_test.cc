#include "registry/record.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "common/placement.h"

namespace benchfs {
namespace {

NodeRecord sample() {
  NodeRecord record;
  record.state = NodeState::ready;
  record.launch_id = 0x1122334455667788;
  record.instance.fill(std::byte{7});
  record.rank = 3;
  record.size = 8;
  record.host_id = 99;
  record.supervisor = 4711;
  record.exit_code = 0;
  record.fingerprint = 12345;
  record.host_name = "bn3";
  record.data_dir = "/local/benchfs/77";
  record.mount_point = "/benchfs";
  record.settings = "storage.chunk_size=4194304";
  record.address.assign(79, std::byte{0xab});
  return record;
}

std::uint32_t number_at(const std::vector<std::byte>& bytes, std::size_t offset) {
  std::uint32_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

void put_number(std::vector<std::byte>& bytes, std::size_t offset, std::uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

constexpr std::size_t header_bytes = 24;

// Makes the checksum true again, so that what lies behind it is what is found.
void seal(std::vector<std::byte>& bytes) {
  put_number(bytes, 12, static_cast<std::uint32_t>(bytes.size() - header_bytes));
  const std::uint64_t sum = hash_bytes(
      {reinterpret_cast<const char*>(bytes.data()) + header_bytes, bytes.size() - header_bytes});
  std::memcpy(bytes.data() + 16, &sum, sizeof sum);
}

std::string fault_of(const std::vector<std::byte>& bytes) {
  std::string why;
  const auto record = decode_node_record(bytes, why);
  return record.ok() ? "none" : why;
}

TEST(NodeRecord, SurvivesTheWayThroughBytes) {
  std::string why;
  const auto decoded = decode_node_record(encode(sample()), why);
  ASSERT_TRUE(decoded.ok()) << why;
  EXPECT_EQ(*decoded, sample());
}

TEST(NodeRecord, MayHaveEmptyFields) {
  NodeRecord record;
  record.size = 1;
  std::string why;
  const auto decoded = decode_node_record(encode(record), why);
  ASSERT_TRUE(decoded.ok()) << why;
  EXPECT_EQ(*decoded, record);
}

TEST(NodeRecord, IsRefusedAtEveryLengthButItsOwn) {
  const std::vector<std::byte> whole = encode(sample());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<std::byte> part(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_NE(fault_of(part).find("at offset "), std::string::npos) << length;
  }
  std::vector<std::byte> longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(fault_of(longer), "at offset 12: " + std::to_string(whole.size() - header_bytes) +
                                  " bytes announced, " +
                                  std::to_string(longer.size() - header_bytes) + " there");
}

TEST(NodeRecord, IsRefusedWithAnyBitTurned) {
  const std::vector<std::byte> whole = encode(sample());
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::vector<std::byte> turned = whole;
    turned[bit / 8] ^= std::byte(1U << (bit % 8));
    EXPECT_NE(fault_of(turned), "none") << bit;
  }
}

TEST(NodeRecord, SaysWhatIsWrongAndWhere) {
  std::vector<std::byte> bytes = encode(sample());
  bytes[0] = std::byte{'x'};
  EXPECT_EQ(fault_of(bytes), "at offset 0: this is not a BenchFS node record");
  bytes = encode(sample());
  put_number(bytes, 8, 3);
  EXPECT_EQ(fault_of(bytes), "at offset 8: format version 3, this program knows 2");
  bytes = encode(sample());
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(fault_of(bytes), "at offset 16: the checksum does not match");
}

// A checksum keeps accidents out, not whoever writes one himself.
TEST(NodeRecord, ChecksFieldsBehindATrueChecksum) {
  std::vector<std::byte> bytes = encode(sample());
  put_number(bytes, header_bytes, 6);
  seal(bytes);
  EXPECT_EQ(fault_of(bytes), "at offset 24: state 6 does not exist");

  bytes = encode(sample());
  put_number(bytes, header_bytes + 4, 8);
  seal(bytes);
  EXPECT_EQ(fault_of(bytes), "at offset 28: rank 8 of 8");

  bytes = encode(sample());
  put_number(bytes, header_bytes + 8, 0);
  seal(bytes);
  EXPECT_EQ(fault_of(bytes), "at offset 28: rank 3 of 0");

  // The length of the host's name, after three numbers and the exit code, 16 + 4 * 8 bytes further.
  const std::size_t name_at = header_bytes + 16 + 8 + 16 + 3 * 8;
  bytes = encode(sample());
  ASSERT_EQ(number_at(bytes, name_at), 3U);
  for (const std::uint32_t length : {256U, 0x7fffffffU, 0xffffffffU}) {
    put_number(bytes, name_at, length);
    seal(bytes);
    EXPECT_EQ(fault_of(bytes), "at offset 88: a field is cut short or too long") << length;
  }
  bytes = encode(sample());
  bytes[name_at + 4] = std::byte{0};
  seal(bytes);
  EXPECT_EQ(fault_of(bytes), "at offset 88: a field is cut short or too long");
}

TEST(NodeRecord, DecodingRandomBytesEndsWithAnAnswer) {
  std::minstd_rand random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes = encode(sample());
    for (int change = 0; change < 4; ++change)
      bytes[header_bytes + random() % (bytes.size() - header_bytes)] = std::byte(random() & 255);
    bytes.resize(header_bytes + random() % (bytes.size() - header_bytes + 1));
    seal(bytes);
    std::string why;
    const auto record = decode_node_record(bytes, why);
    if (record.ok()) {
      EXPECT_EQ(encode(*record), bytes);
    } else {
      EXPECT_FALSE(why.empty());
    }
  }
}

}  // namespace
}  // namespace benchfs
