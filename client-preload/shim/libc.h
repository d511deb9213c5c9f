// The next definition of a libc symbol, typed by libc's own declaration.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace benchfs::shim {

template <std::size_t N>
struct SymbolName {
  constexpr SymbolName(const char (&text)[N]) { std::copy_n(text, N, chars); }
  char chars[N];
};

// Resolved on first use, since other constructors may run before ours. dlsym's answer never
// changes, so two threads racing here store the same pointer.
template <SymbolName name, class Function>
Function* next() {
  static constinit std::atomic<void*> symbol{nullptr};
  void* found = symbol.load(std::memory_order_acquire);
  if (found == nullptr) [[unlikely]] {
    found = dlsym(RTLD_NEXT, name.chars);
    if (found == nullptr) std::abort();  // no libc underneath: nothing sane to return
    symbol.store(found, std::memory_order_release);
  }
  return reinterpret_cast<Function*>(found);
}

}  // namespace benchfs::shim

#define LIBC(name) ::benchfs::shim::next<#name, decltype(::name)>()

// Around each file's extern "C" part: all else of the library is hidden.
#define BENCHFS_EXPORTS_BEGIN _Pragma("GCC visibility push(default)") extern "C" {
#define BENCHFS_EXPORTS_END \
  }                         \
  _Pragma("GCC visibility pop")
#define BENCHFS_ALIAS(name) __attribute__((alias(#name)))
