// Names that do not exist yet: mkstemp and its family, which libc makes by calls we do not see.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "common/sys.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

bool in_mount(const char* name) {
  FileSystem* fs = active();
  return fs != nullptr && locate(*fs, AT_FDCWD, name, Links::keep).has_value();
}

void fill(char* six) {
  static constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::uint64_t random = 0;
  if (sys::call(SYS_getrandom, sys::pointer(&random), sizeof random, 0) < 0)
    random = static_cast<std::uint64_t>(sys::now_ns()) * 0x9e3779b97f4a7c15;
  for (int i = 0; i < 6; ++i) {
    six[i] = letters[random % letters.size()];
    random /= letters.size();
  }
}

// `make` answers -1 with EEXIST as long as another name is to be tried.
template <class Make>
int make_unique(char* name, int suffix, Make make) {
  const std::size_t length = std::strlen(name);
  const std::size_t tail = static_cast<std::size_t>(suffix) + 6;
  if (suffix < 0 || length < tail || std::memcmp(name + length - tail, "XXXXXX", 6) != 0) {
    errno = EINVAL;
    return -1;
  }
  const int before = errno;
  constexpr int attempts = 10'000;
  for (int i = 0; i < attempts; ++i) {
    fill(name + length - tail);
    const int result = make();
    if (result >= 0) errno = before;
    if (result >= 0 || errno != EEXIST) return result;
  }
  return -1;
}

int make_file(char* name, int suffix, int flags) {
  return make_unique(name, suffix, [&] {
    return ::open(name, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600);
  });
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

int mkostemps(char* name, int suffix, int flags) {
  return in_mount(name) ? make_file(name, suffix, flags) : LIBC(mkostemps)(name, suffix, flags);
}
int mkostemps64(char*, int, int) BENCHFS_ALIAS(mkostemps);

int mkostemp(char* name, int flags) { return mkostemps(name, 0, flags); }
int mkostemp64(char*, int) BENCHFS_ALIAS(mkostemp);

int mkstemps(char* name, int suffix) { return mkostemps(name, suffix, 0); }
int mkstemps64(char*, int) BENCHFS_ALIAS(mkstemps);

int mkstemp(char* name) { return mkostemps(name, 0, 0); }
int mkstemp64(char*) BENCHFS_ALIAS(mkstemp);

char* mkdtemp(char* name) {
  if (!in_mount(name)) return LIBC(mkdtemp)(name);
  return make_unique(name, 0, [&] { return ::mkdir(name, 0700); }) == 0 ? name : nullptr;
}

BENCHFS_EXPORTS_END
