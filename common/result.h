// Result<T>: a value, or the POSIX errno that says why there is none.
//
// Every failure in BenchFS ends as an errno in some application, so errno is the one error
// vocabulary: on disk calls, on the wire and in the shims alike. The text belongs into the log
// line written where the failure is first seen.
#pragma once

#include <cassert>
#include <cerrno>
#include <type_traits>
#include <utility>
#include <variant>

namespace benchfs {

class Error {
 public:
  constexpr explicit Error(int code) : code_(code) { assert(code > 0); }
  static Error last() { return Error(errno); }
  constexpr int code() const { return code_; }
  friend constexpr bool operator==(Error, Error) = default;

 private:
  int code_;
};

template <class T>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, Error>);

 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, error) {}

  bool ok() const { return state_.index() == 0; }
  Error error() const { return std::get<1>(state_); }
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

 private:
  std::variant<T, Error> state_;
};

struct Done {};
using Status = Result<Done>;

}  // namespace benchfs

#define BENCHFS_CAT2(a, b) a##b
#define BENCHFS_CAT(a, b) BENCHFS_CAT2(a, b)

// Declares `decl` from a Result, or leaves the function with its error. TRY_OK and CO_TRY_OK are
// for a Status.
#define TRY(decl, expr) BENCHFS_TRY_(return, decl, expr, BENCHFS_CAT(try_, __LINE__))
#define CO_TRY(decl, expr) BENCHFS_TRY_(co_return, decl, expr, BENCHFS_CAT(try_, __LINE__))
#define BENCHFS_TRY_(leave, decl, expr, tmp) \
  auto tmp = (expr);                         \
  if (!tmp.ok()) leave tmp.error();          \
  decl = *std::move(tmp)
#define TRY_OK(expr) BENCHFS_TRY_OK_(return, expr, BENCHFS_CAT(try_, __LINE__))
#define CO_TRY_OK(expr) BENCHFS_TRY_OK_(co_return, expr, BENCHFS_CAT(try_, __LINE__))
#define BENCHFS_TRY_OK_(leave, expr, tmp) \
  auto tmp = (expr);                      \
  if (!tmp.ok()) leave tmp.error()
