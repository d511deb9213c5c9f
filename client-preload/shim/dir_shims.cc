// Directory streams and scandir.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "client-preload/shim/directory.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/route.h"
#include "client-preload/shim/streams.h"

using namespace benchfs;
using namespace benchfs::shim;

static_assert(sizeof(dirent) == sizeof(dirent64), "on 64-bit targets they are one layout");

namespace {

Result<Directory*> directory_on(int fd, std::shared_ptr<File> file) {
  if (file == nullptr) return Error(EBADF);
  if (!file->is_directory()) return Error(ENOTDIR);
  auto* const made = new (std::nothrow) Directory(fd, std::move(file));
  if (made == nullptr) return Error(ENOMEM);
  return made;
}

Result<Directory*> open_directory(FileSystem& fs, const Path& path) {
  TRY(const int fd, fs.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK, 0));
  auto made = directory_on(fd, fs.find(fd));
  if (!made.ok()) {
    close_descriptor(fd);
  } else if (fd <= STDERR_FILENO) {
    streams::changed(fd);
  }
  return made;
}

int close_directory(Directory* directory) {
  const int fd = directory->fd();
  delete directory;
  return close_descriptor(fd);
}

dirent* next_entry(Directory& directory) {
  const std::lock_guard lock(directory.lock());
  return to_c(directory.next());
}

using Select = int (*)(const dirent*);
using Compare = int (*)(const dirent**, const dirent**);

struct Names {
  dirent** entries = nullptr;
  std::size_t count = 0;
  std::size_t capacity = 0;

  bool add(const dirent& entry) {
    if (count == capacity) {
      const std::size_t wanted = capacity == 0 ? 16 : capacity * 2;
      auto* const larger = static_cast<dirent**>(std::realloc(entries, wanted * sizeof(dirent*)));
      if (larger == nullptr) return false;
      entries = larger;
      capacity = wanted;
    }
    auto* const copy = static_cast<dirent*>(std::malloc(entry.d_reclen));
    if (copy == nullptr) return false;
    std::memcpy(copy, &entry, entry.d_reclen);
    entries[count++] = copy;
    return true;
  }
  void clear() {
    for (std::size_t i = 0; i < count; ++i) std::free(entries[i]);
    std::free(entries);
  }
};

// The caller frees the list and each entry, so both come from malloc.
Result<int> scan(FileSystem& fs, const Path& path, dirent*** out, Select select, Compare compare) {
  TRY(Directory* const directory, open_directory(fs, path));
  Names names;
  int error = 0;
  while (error == 0) {
    const auto entry = directory->next();
    if (!entry.ok()) {
      error = entry.error().code();
    } else if (*entry == nullptr) {
      break;
    } else if ((select == nullptr || select(*entry) != 0) && !names.add(**entry)) {
      error = ENOMEM;
    }
  }
  close_directory(directory);
  if (error != 0) {
    names.clear();
    return Error(error);
  }
  if (compare != nullptr && names.count > 0)
    std::qsort(names.entries, names.count, sizeof(dirent*),
               reinterpret_cast<int (*)(const void*, const void*)>(compare));
  *out = names.entries;
  return static_cast<int>(names.count);
}

// The offset of a directory's open file is its cookie, shared as an offset is.
Result<std::size_t> read_entries(File& file, std::byte* out, std::size_t size) {
  if (!file.is_directory()) return Error(ENOTDIR);
  TRY(const off_t cookie, file.seek(0, SEEK_CUR));
  TRY(const auto page, file.list(static_cast<std::uint64_t>(cookie)));
  std::size_t used = 0;
  off_t last = cookie;
  for (const DirectoryEntry& found : page) {
    const dirent entry = to_dirent(found);
    if (entry.d_reclen > size - used) break;
    std::memcpy(out + used, &entry, entry.d_reclen);
    used += entry.d_reclen;
    last = entry.d_off;
  }
  if (used == 0 && !page.empty()) return Error(EINVAL);
  if (used > 0) {
    TRY([[maybe_unused]] const off_t at, file.seek(last, SEEK_SET));
  }
  return used;
}

}  // namespace

BENCHFS_EXPORTS_BEGIN

DIR* opendir(const char* name) {
  return route(
      AT_FDCWD, name, Links::follow,
      [&](FileSystem& fs, const Path& path) -> Result<DIR*> {
        TRY(Directory* const made, open_directory(fs, path));
        return made->stream();
      },
      [&](int, const char* elsewhere) { return LIBC(opendir)(elsewhere); });
}

DIR* fdopendir(int fd) {
  if (auto open_file = file(fd)) {
    const auto made = directory_on(fd, std::move(open_file));
    if (made.ok()) return (*made)->stream();
    errno = made.error().code();
    return nullptr;
  }
  return LIBC(fdopendir)(fd);
}

dirent* readdir(DIR* stream) {
  if (Directory* const ours = Directory::of(stream)) return next_entry(*ours);
  return LIBC(readdir)(stream);
}
dirent64* readdir64(DIR*) BENCHFS_ALIAS(readdir);

int readdir_r(DIR* stream, dirent* entry, dirent** result) {
  if (Directory* const ours = Directory::of(stream)) {
    const std::lock_guard lock(ours->lock());
    const auto found = ours->next();
    *result = nullptr;
    if (!found.ok()) return found.error().code();
    if (*found != nullptr) {
      std::memcpy(entry, *found, (*found)->d_reclen);
      *result = entry;
    }
    return 0;
  }
  return LIBC(readdir_r)(stream, entry, result);
}
int readdir64_r(DIR*, dirent64*, dirent64**) BENCHFS_ALIAS(readdir_r);

int closedir(DIR* stream) {
  if (stream != nullptr) {
    if (Directory* const ours = Directory::of(stream)) return close_directory(ours);
  }
  return LIBC(closedir)(stream);
}

int dirfd(DIR* stream) {
  if (const Directory* const ours = Directory::of(stream)) return ours->fd();
  return LIBC(dirfd)(stream);
}

void rewinddir(DIR* stream) {
  if (Directory* const ours = Directory::of(stream)) {
    const std::lock_guard lock(ours->lock());
    ours->seek(0);
    return;
  }
  LIBC(rewinddir)(stream);
}

void seekdir(DIR* stream, long cookie) {
  if (Directory* const ours = Directory::of(stream)) {
    const std::lock_guard lock(ours->lock());
    ours->seek(cookie);
    return;
  }
  LIBC(seekdir)(stream, cookie);
}

long telldir(DIR* stream) {
  if (Directory* const ours = Directory::of(stream)) {
    const std::lock_guard lock(ours->lock());
    return ours->tell();
  }
  return LIBC(telldir)(stream);
}

int scandirat(int directory, const char* name, dirent*** out, Select select, Compare compare) {
  return route(
      directory, name, Links::follow,
      [&](FileSystem& fs, const Path& path) { return scan(fs, path, out, select, compare); },
      [&](int elsewhere_directory, const char* elsewhere) {
        return LIBC(scandirat)(elsewhere_directory, elsewhere, out, select, compare);
      });
}
int scandirat64(int, const char*, dirent64***, int (*)(const dirent64*),
                int (*)(const dirent64**, const dirent64**)) BENCHFS_ALIAS(scandirat);

int scandir(const char* name, dirent*** out, Select select, Compare compare) {
  return scandirat(AT_FDCWD, name, out, select, compare);
}
int scandir64(const char*, dirent64***, int (*)(const dirent64*),
              int (*)(const dirent64**, const dirent64**)) BENCHFS_ALIAS(scandir);

ssize_t getdents64(int fd, void* out, size_t size) {
  return on_file(
      fd, [&](File& file) { return read_entries(file, static_cast<std::byte*>(out), size); },
      [&] { return LIBC(getdents64)(fd, out, size); });
}

BENCHFS_EXPORTS_END
