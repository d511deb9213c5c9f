#include "registry/private_directory.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "common/text.h"
#include "registry/start_failure.h"

namespace benchfs {
namespace {

struct CloseDir {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

// A stream of its own: reading it does not move the position of `dir`.
DirStream read_entries(int dir) {
  Fd own(::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return nullptr;
  DirStream stream(::fdopendir(own.get()));
  if (stream) own.release();
  return stream;
}

bool is_dot(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

bool is_empty(int dir) {
  const DirStream stream = read_entries(dir);
  if (!stream) return false;
  while (const dirent* const entry = ::readdir(stream.get()))
    if (!is_dot(entry->d_name)) return false;
  return true;
}

}  // namespace

Fd open_private_directory(const std::string& path, const std::string& what, int code,
                          const std::string& missing_line) {
  Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    const Error error = Error::last();
    if (error.code() == ENOENT) throw StartFailure(code, missing_line, Teller::once_per_host);
    if (error.code() == ENOTDIR)
      throw StartFailure(code, what + " is not a directory: " + path + ": name another one",
                         Teller::once_per_host);
    throw StartFailure(
        code,
        what + " cannot be opened: " + path + ": " + describe(error) + ": name one that is yours",
        Teller::once_per_host);
  }
  struct stat attributes {};
  if (::fstat(dir.get(), &attributes) != 0)
    throw StartFailure(code, what + " " + path + ": " + describe(Error::last()));
  if (attributes.st_uid != ::geteuid())
    throw StartFailure(code,
                       what + " belongs to user " + std::to_string(attributes.st_uid) +
                           ", not to you: " + path + ": name one that is yours",
                       Teller::once_per_host);
  if ((attributes.st_mode & S_ISVTX) != 0)  // as /tmp: made private, it would be lost to all others
    throw StartFailure(code,
                       what + " is shared with other users: " + path +
                           ": name a directory of your own, for example one in it",
                       Teller::once_per_host);
  if ((attributes.st_mode & 0777) != 0700 && is_empty(dir.get())) ::fchmod(dir.get(), 0700);
  // Looked at again: another rank may have made it private and put the first file into it.
  if (::fstat(dir.get(), &attributes) != 0 || (attributes.st_mode & 022) != 0)
    throw StartFailure(
        code, what + " may be written by others: " + path + ": forbid it (chmod go-w " + path + ")",
        Teller::once_per_host);
  return dir;
}

bool wipe_directory(int dir, const char* keep) {
  const DirStream stream = read_entries(dir);
  if (!stream) return false;
  bool wiped = true;
  while (const dirent* const entry = ::readdir(stream.get())) {
    if (is_dot(entry->d_name) || std::strcmp(entry->d_name, keep) == 0) continue;
    if (::unlinkat(dir, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    const Fd below(::openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below || !wipe_directory(below.get())) wiped = false;
    if (::unlinkat(dir, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) wiped = false;
  }
  return wiped;
}

}  // namespace benchfs
