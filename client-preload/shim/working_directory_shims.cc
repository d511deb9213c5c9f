// The working directory and the creation mask.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

namespace {

// Null `out`: memory of the caller's, `capacity` bytes or as many as needed for 0.
Result<char*> copy_out(const std::string& path, char* out, std::size_t capacity) {
  const std::size_t needed = path.size() + 1;
  if (out != nullptr || capacity != 0) {
    if (capacity == 0) return Error(EINVAL);
    if (needed > capacity) return Error(ERANGE);
  }
  char* const text =
      out != nullptr ? out : static_cast<char*>(std::malloc(std::max(needed, capacity)));
  if (text == nullptr) return Error(ENOMEM);
  std::memcpy(text, path.c_str(), needed);
  return text;
}

template <class Libc>
char* working_directory(char* out, std::size_t capacity, Libc libc) {
  FileSystem* fs = active();
  if (fs == nullptr || !fs->working_directory_is_ours()) return libc();
  return to_c([&]() -> Result<char*> {
    TRY(const std::string path, fs->working_directory());
    return copy_out(path, out, capacity);
  }());
}

int left(int result) {
  if (result == 0) {
    if (FileSystem* fs = active()) fs->left_by_chdir();
  }
  return result;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

int chdir(const char* name) {
  return route(
      AT_FDCWD, name, Links::follow,
      [](FileSystem& fs, const Path& path) { return fs.change_directory(path); },
      [](int, const char* elsewhere) { return left(LIBC(chdir)(elsewhere)); });
}

int fchdir(int fd) {
  if (const auto directory = file(fd)) return to_c(active()->change_directory(directory));
  return left(LIBC(fchdir)(fd));
}

char* getcwd(char* out, size_t capacity) {
  return working_directory(out, capacity, [&] { return LIBC(getcwd)(out, capacity); });
}

[[noreturn]] void __chk_fail(void);

char* __getcwd_chk(char* out, size_t size, size_t capacity) {
  if (size > capacity) __chk_fail();
  return getcwd(out, size);
}

char* getwd(char* out) {
  if (out == nullptr) {
    errno = EINVAL;
    return nullptr;
  }
  return getcwd(out, PATH_MAX);
}

char* __getwd_chk(char* out, size_t capacity) {
  if (capacity < PATH_MAX) __chk_fail();
  return getcwd(out, PATH_MAX);
}

// $PWD is taken only if it is the working directory, which it is not a saving to find out here.
char* get_current_dir_name(void) {
  return working_directory(nullptr, 0, [] { return LIBC(get_current_dir_name)(); });
}

// What the mask makes of new files is decided where they are made.
mode_t umask(mode_t mask) {
  const mode_t before = LIBC(umask)(mask);
  if (FileSystem* fs = active()) fs->umask_changed(mask & 0777);
  return before;
}

BENCHFS_EXPORTS_END
