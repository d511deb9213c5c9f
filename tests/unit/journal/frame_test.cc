#include "daemon/journal/frame.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/text.h"
#include "daemon/journal/record.h"

namespace benchfs {
namespace {

// The example of doc/storage.md: inode 7 is erased, by the frame of number 2.
std::vector<std::byte> example() {
  std::vector<std::byte> file(96);
  const RecordHeader header{
      .type = static_cast<std::uint16_t>(RecordType::inode_erased), .reserved = 0, .length = 16};
  const ErasedRecord record{.inode = 7, .size = 0};
  std::byte* const payload = file.data() + 16 + sizeof(FrameHeader);
  std::memcpy(payload, &header, sizeof header);
  std::memcpy(payload + sizeof header, &record, sizeof record);
  finish_frame(file.data() + 16, sizeof header + sizeof record, 2);
  return file;
}

TEST(Frame, IsLaidOutAsDocumented) {
  const auto file = example();
  EXPECT_EQ(to_hex(std::span(file).subspan(24, 16)), "6672616d180000000200000000000000");
  EXPECT_EQ(to_hex(std::span(file).subspan(40, 24)),
            "020000001000000007000000000000000000000000000000");
  EXPECT_EQ(to_hex(std::span(file).subspan(16, 8)), "3a79bf9db7928baa");
  EXPECT_EQ(to_hex(std::span(file).first(16)), std::string(32, '0'));
}

TEST(Frame, CountsOnlyIfEveryBitIsAsItWasWritten) {
  auto file = example();
  const auto frame = frame_at(file, 16);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->sequence, 2u);
  EXPECT_EQ(frame->payload.size(), 24u);
  EXPECT_EQ(frame->end, 64u);
  for (std::size_t bit = 0; bit < 48 * 8; ++bit) {
    file[16 + bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(frame_at(file, 16).has_value()) << bit;
    file[16 + bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Frame, ThatReachesBeyondTheFileDoesNotCount) {
  const auto file = example();
  for (std::size_t size = 0; size < 64; ++size)
    EXPECT_FALSE(frame_at(std::span(file).first(size), 16).has_value()) << size;
  EXPECT_FALSE(frame_at(file, 200).has_value());
}

TEST(Frame, IsFoundBehindDamage) {
  const auto file = example();
  EXPECT_TRUE(frame_after(file, 0, 2));
  EXPECT_FALSE(frame_after(file, 0, 3));  // too old to follow
  EXPECT_FALSE(frame_after(file, 24, 1));
}

TEST(Frame, ContentEndsAtTheLastByteThatIsNotZero) {
  const auto file = example();
  EXPECT_EQ(end_of_content(file, 0), 49u);
  EXPECT_EQ(end_of_content(file, 64), 64u);
  EXPECT_EQ(end_of_content(std::span(file).first(50), 48), 49u);
}

class Records final : public RecordSink {
 public:
  bool take(RecordType type, std::span<const std::byte> body) override {
    lengths.push_back(body.size());
    return type != RecordType::answer;
  }
  std::vector<std::size_t> lengths;
};

TEST(Records, WhoseLengthIsALieAreNotRead) {
  const auto file = example();
  std::vector<std::byte> payload(file.begin() + 40, file.begin() + 64);
  Records whole;
  EXPECT_EQ(read_records(payload, whole), 24u);
  EXPECT_EQ(whole.lengths, std::vector<std::size_t>{16});
  for (std::size_t size = 1; size < 24; ++size) {
    Records cut;
    EXPECT_EQ(read_records(std::span(payload).first(size), cut), 0u) << size;
    EXPECT_TRUE(cut.lengths.empty());
  }
  payload[7] = std::byte{0xff};  // four thousand million bytes
  Records lie;
  EXPECT_EQ(read_records(payload, lie), 0u);
}

TEST(FileHeader, OfTheOtherKindOrWithAWrongBitIsNone) {
  std::vector<std::byte> file(64);
  write_file_header(file.data(), {.magic = log_magic,
                                  .version = journal_version,
                                  .rank = 3,
                                  .instance = {std::byte{9}},
                                  .number = 4,
                                  .first_sequence = 5,
                                  .reserved = 0,
                                  .checksum = 0});
  ASSERT_TRUE(file_header(file, log_magic).has_value());
  EXPECT_EQ(file_header(file, log_magic)->first_sequence, 5u);
  EXPECT_FALSE(file_header(file, snapshot_magic).has_value());
  EXPECT_FALSE(file_header(std::span(file).first(63), log_magic).has_value());
  file[40] ^= std::byte{1};
  EXPECT_FALSE(file_header(file, log_magic).has_value());
}

}  // namespace
}  // namespace benchfs
