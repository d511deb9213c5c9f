#include "common/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace benchfs {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Error(EINVAL);
  return number / 2;
}

Result<int> quarter(int number) {
  TRY(const int once, half(number));
  TRY(const int twice, half(once));
  return twice;
}

Status check(int number, bool& reached) {
  TRY_OK(half(number));
  reached = true;
  return Done{};
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half(4);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(*good, 2);
  const Result<int> bad = half(3);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), Error(EINVAL));
  EXPECT_EQ(Result<std::string>("abc")->size(), 3U);
}

TEST(Result, TryLeavesAtTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_FALSE(quarter(6).ok());
  EXPECT_FALSE(quarter(5).ok());
  bool reached = false;
  EXPECT_EQ(check(1, reached).error().code(), EINVAL);
  EXPECT_FALSE(reached);
  EXPECT_TRUE(check(2, reached).ok());
  EXPECT_TRUE(reached);
}

Result<std::unique_ptr<int>> make(int value) { return std::make_unique<int>(value); }

Result<int> unwrap(int value) {
  TRY(std::unique_ptr<int> owner, make(value));
  TRY(owner, make(*owner + 1));  // assigns to what is there
  return *owner;
}

TEST(Result, TryMovesTheValueOut) { EXPECT_EQ(*unwrap(5), 6); }

TEST(Error, LastIsErrno) {
  errno = ENOSPC;
  EXPECT_EQ(Error::last(), Error(ENOSPC));
}

}  // namespace
}  // namespace benchfs
