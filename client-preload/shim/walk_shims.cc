// What libc builds on directories by calls of its own: glob, ftw and nftw are done here over the
// public calls; fts is refused on our files.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"

using namespace benchfs;
using namespace benchfs::shim;

static_assert(sizeof(glob_t) == sizeof(glob64_t));

namespace {

bool in_mount(const char* name) {
  FileSystem* fs = active();
  return fs != nullptr && locate(*fs, AT_FDCWD, name, Links::follow).has_value();
}

// One walk of nftw. Names are built as libc does, from what the caller gave.
class Walk {
 public:
  Walk(__nftw_func_t call, int flags) : call_(call), flags_(flags) {}

  int start(const char* name) {
    name_ = name;
    while (name_.size() > 1 && name_.back() == '/') name_.pop_back();
    const std::size_t slash = name_.rfind('/');
    base_ = slash == std::string::npos || name_.size() == 1 ? 0 : static_cast<int>(slash) + 1;
    struct stat status {};
    if (::lstat(name_.c_str(), &status) != 0) return -1;
    device_ = status.st_dev;
    if (!has(FTW_PHYS) && S_ISLNK(status.st_mode)) {
      struct stat target {};
      if (::stat(name_.c_str(), &target) == 0) device_ = target.st_dev;
    }
    const int result = visit(0);
    // What the actions mean beyond here ends with the walk.
    return has(FTW_ACTIONRETVAL) && (result == FTW_SKIP_SUBTREE || result == FTW_SKIP_SIBLINGS)
               ? 0
               : result;
  }

 private:
  bool has(int flag) const { return (flags_ & flag) != 0; }

  int report(const struct stat& status, int type, int level) {
    FTW where{.base = base_, .level = level};
    return call_(name_.c_str(), &status, type, &where);
  }

  int visit(int level) {
    struct stat status {};
    int type = FTW_F;
    if (::lstat(name_.c_str(), &status) != 0) {
      if (errno != EACCES && errno != ENOENT) return -1;
      type = FTW_NS;
    } else if (S_ISLNK(status.st_mode)) {
      struct stat target {};
      if (has(FTW_PHYS)) {
        type = FTW_SL;
      } else if (::stat(name_.c_str(), &target) != 0) {
        type = FTW_SLN;
      } else {
        status = target;
      }
    }
    if (type == FTW_F && S_ISDIR(status.st_mode)) type = FTW_D;
    if (type != FTW_NS && has(FTW_MOUNT) && status.st_dev != device_) return 0;
    if (type != FTW_D) return report(status, type, level);
    // Following links, a directory may be met again.
    if (!has(FTW_PHYS) && !seen_.insert({status.st_dev, status.st_ino}).second) return 0;
    return visit_directory(status, level);
  }

  int visit_directory(const struct stat& status, int level) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(name_.c_str()), ::closedir);
    if (directory == nullptr) return errno == EACCES ? report(status, FTW_DNR, level) : -1;
    if (!has(FTW_DEPTH)) {
      const int result = report(status, FTW_D, level);
      if (has(FTW_ACTIONRETVAL) && result == FTW_SKIP_SUBTREE) return 0;
      if (result != 0) return result;
    }
    const std::size_t length = name_.size();
    const int base = base_;
    int result = 0;
    while (result == 0) {
      const dirent* const entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string child = entry->d_name;
      if (child == "." || child == "..") continue;
      if (name_.back() != '/') name_ += '/';
      base_ = static_cast<int>(name_.size());
      name_ += child;
      result = visit(level + 1);
      name_.resize(length);
      base_ = base;
    }
    if (has(FTW_ACTIONRETVAL) && result == FTW_SKIP_SIBLINGS) result = 0;
    if (result == 0 && has(FTW_DEPTH)) result = report(status, FTW_DP, level);
    return result;
  }

  __nftw_func_t call_;
  int flags_;
  std::string name_;
  int base_ = 0;
  dev_t device_ = 0;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

__attribute__((tls_model("initial-exec"))) constinit thread_local __ftw_func_t plain_call = nullptr;

int call_plain(const char* name, const struct stat* status, int type, FTW*) {
  return plain_call(name, status, type == FTW_SLN ? FTW_NS : type);
}

void* open_for_glob(const char* name) { return ::opendir(name); }
dirent* read_for_glob(void* directory) { return ::readdir(static_cast<DIR*>(directory)); }
void close_for_glob(void* directory) { ::closedir(static_cast<DIR*>(directory)); }

}  // namespace

BENCHFS_EXPORTS_BEGIN

int nftw(const char* name, __nftw_func_t call, int descriptors, int flags) {
  constexpr int known = FTW_PHYS | FTW_MOUNT | FTW_CHDIR | FTW_DEPTH | FTW_ACTIONRETVAL;
  if (!in_mount(name)) return LIBC(nftw)(name, call, descriptors, flags);
  // FTW_CHDIR would change directory at every step; who needs it is told so.
  if ((flags & ~known) != 0 || (flags & FTW_CHDIR) != 0) {
    errno = (flags & FTW_CHDIR) != 0 ? ENOTSUP : EINVAL;
    return -1;
  }
  return Walk(call, flags).start(name);
}
int nftw64(const char*, __nftw64_func_t, int, int) BENCHFS_ALIAS(nftw);

int ftw(const char* name, __ftw_func_t call, int descriptors) {
  if (!in_mount(name)) return LIBC(ftw)(name, call, descriptors);
  const __ftw_func_t outer = std::exchange(plain_call, call);
  const int result = Walk(call_plain, 0).start(name);
  plain_call = outer;
  return result;
}
int ftw64(const char*, __ftw64_func_t, int) BENCHFS_ALIAS(ftw);

// libc matches; directories are read through the caller's functions, and these are ours.
int glob(const char* pattern, int flags, int (*error)(const char*, int), glob_t* result) {
  if ((flags & GLOB_ALTDIRFUNC) != 0 || !in_mount(pattern))
    return LIBC(glob)(pattern, flags, error, result);
  result->gl_opendir = open_for_glob;
  result->gl_readdir = read_for_glob;
  result->gl_closedir = close_for_glob;
  result->gl_stat = [](const char* name, struct stat* out) { return ::stat(name, out); };
  result->gl_lstat = [](const char* name, struct stat* out) { return ::lstat(name, out); };
  const int status = LIBC(glob)(pattern, flags | GLOB_ALTDIRFUNC, error, result);
  result->gl_flags &= ~GLOB_ALTDIRFUNC;
  return status;
}
int glob64(const char*, int, int (*)(const char*, int), glob64_t*) BENCHFS_ALIAS(glob);

FTS* fts_open(char* const* names, int options, int (*compare)(const FTSENT**, const FTSENT**)) {
  for (char* const* name = names; name != nullptr && *name != nullptr; ++name) {
    if (!in_mount(*name)) continue;
    errno = ENOSYS;
    return nullptr;
  }
  return LIBC(fts_open)(names, options, compare);
}
FTS64* fts64_open(char* const*, int, int (*)(const FTSENT64**, const FTSENT64**))
    BENCHFS_ALIAS(fts_open);

BENCHFS_EXPORTS_END
