#include "common/text.h"

#include <gtest/gtest.h>

#include <array>

namespace benchfs {
namespace {

TEST(ParseNumber, TakesAllOfTheTextOrNothing) {
  EXPECT_EQ(parse_number<std::uint32_t>("4294967295"), 4294967295U);
  for (const char* bad : {"", " 1", "1 ", "-1", "+1", "1x", "0x1", "4294967296"})
    EXPECT_EQ(parse_number<std::uint32_t>(bad), std::nullopt) << bad;
}

TEST(ParseSize, KnowsSuffixesAndOverflow) {
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("64k"), 65536U);
  EXPECT_EQ(parse_size("3M"), 3U << 20);
  EXPECT_EQ(parse_size("1g"), 1U << 30);
  EXPECT_EQ(parse_size("2t"), std::uint64_t{2} << 40);
  EXPECT_EQ(parse_size("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_size("16777215t"), std::uint64_t{16777215} << 40);
  for (const char* bad :
       {"", "k", "1kk", "1 k", "1kb", "1p", "-1k", "1.5g", "16777216t", "18446744073709551616"})
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
}

TEST(FormatSize, IsReadBack) {
  EXPECT_EQ(format_size(0), "0");
  EXPECT_EQ(format_size(1000), "1000");
  EXPECT_EQ(format_size(65536), "64k");
  EXPECT_EQ(format_size(1U << 30), "1g");
  for (const std::uint64_t bytes :
       {std::uint64_t{1}, std::uint64_t{1025} << 10, std::uint64_t{5} << 50, UINT64_MAX})
    EXPECT_EQ(parse_size(format_size(bytes)), bytes);
}

TEST(ParseBool, KnowsFourWordsForEach) {
  for (const char* yes : {"true", "yes", "on", "1"}) EXPECT_EQ(parse_bool(yes), true);
  for (const char* no : {"false", "no", "off", "0"}) EXPECT_EQ(parse_bool(no), false);
  for (const char* bad : {"", "True", "y", "2", "maybe"}) EXPECT_EQ(parse_bool(bad), std::nullopt);
}

TEST(Hex, RoundTrip) {
  const std::array bytes{std::byte{0}, std::byte{0x7f}, std::byte{0xa5}, std::byte{0xff}};
  EXPECT_EQ(to_hex(bytes), "007fa5ff");
  std::array<std::byte, 4> read{};
  EXPECT_TRUE(from_hex("007fA5Ff", read));
  EXPECT_EQ(read, bytes);
}

TEST(Hex, RefusesOtherLengthsAndDigits) {
  std::array<std::byte, 2> out{std::byte{1}, std::byte{2}};
  const auto before = out;
  for (const char* bad : {"", "0", "000", "00000", "000g", " 000", "0x00"})
    EXPECT_FALSE(from_hex(bad, out)) << bad;
  EXPECT_EQ(out, before);
}

TEST(OneLine, EscapesControlCharactersAndCutsShort) {
  EXPECT_EQ(one_line("a\nb\x1b[31m\x7f"), "a\\x0ab\\x1b[31m\\x7f");
  EXPECT_EQ(one_line("grün"), "grün");
  EXPECT_EQ(one_line("abcdef", 3), "abc…");
  EXPECT_EQ(one_line("abc", 3), "abc");
  EXPECT_EQ(quoted("a'b"), "'a'b'");
}

TEST(Describe, NamesTheErrno) {
  EXPECT_EQ(describe(Error(ENOSPC)), "No space left on device (ENOSPC)");
  EXPECT_EQ(describe(Error(4000)), "error 4000");
}

}  // namespace
}  // namespace benchfs
