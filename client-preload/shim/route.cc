#include "client-preload/shim/route.h"

#include <unistd.h>

#include <cstring>
#include <string_view>

#include "client-preload/shim/environment.h"
#include "client-preload/shim/libc.h"
#include "client-preload/shim/streams.h"

namespace benchfs::shim {

constinit std::atomic<std::uintptr_t> instance{0};

namespace {
// The preloaded library has its TLS in the static block: no allocation on first use.
__attribute__((tls_model("initial-exec"))) constinit thread_local bool starting = false;
}  // namespace

FileSystem* start() {
  if (starting) return nullptr;
  starting = true;
  const int error = errno;
  const Settings settings = settings_from_environment();
  std::uintptr_t made = switched_off;
  // Never destroyed: streams are flushed through it after all destructors have run.
  if (!settings.local_dir.empty())
    made = reinterpret_cast<std::uintptr_t>(FileSystem::make(settings).release());
  std::uintptr_t before = 0;
  if (!instance.compare_exchange_strong(before, made) && made > switched_off)
    delete reinterpret_cast<FileSystem*>(made);  // another thread was first
  errno = error;
  starting = false;
  return active();
}

namespace {

struct DescriptorName {
  int fd;
  std::string_view rest;  // after the number: empty, or "/…"
};

std::optional<DescriptorName> parse_descriptor_name(const char* name) {
  const std::string_view text(name);
  if (text == "/dev/stdin") return DescriptorName{0, {}};
  if (text == "/dev/stdout") return DescriptorName{1, {}};
  if (text == "/dev/stderr") return DescriptorName{2, {}};
  constexpr std::string_view prefixes[] = {"/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"};
  for (const std::string_view prefix : prefixes) {
    if (!text.starts_with(prefix)) continue;
    std::size_t at = prefix.size();
    int fd = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && fd < 100'000'000)
      fd = fd * 10 + (text[at++] - '0');
    if (at == prefix.size() || (at < text.size() && text[at] != '/')) return {};
    return DescriptorName{fd, text.substr(at)};
  }
  return {};
}

}  // namespace

std::optional<Path> locate(FileSystem& fs, int dirfd, const char* name, Links links) {
  if (name == nullptr || *name == '\0') return {};  // EFAULT and ENOENT are libc's to say
  if (name[0] == '/' && (name[1] == 'd' || name[1] == 'p')) {
    if (const auto descriptor = parse_descriptor_name(name)) {
      if (descriptor->rest.empty() && links == Links::keep) return {};  // the symlink itself
      const auto file = fs.find(descriptor->fd);
      if (file == nullptr) return {};
      const std::size_t start = descriptor->rest.find_first_not_of('/');
      return Path{.inode = file->inode(),
                  .text = start == std::string_view::npos
                              ? std::string(descriptor->rest.empty() ? "" : ".")
                              : std::string(descriptor->rest.substr(start))};
    }
  }
  return fs.locate(dirfd, name);
}

std::optional<Path> locate_at(FileSystem& fs, int dirfd, const char* name, int flags) {
  if (!means_descriptor(name, flags)) return locate(fs, dirfd, name, links_of(flags));
  if (dirfd == AT_FDCWD) {
    if (!fs.working_directory_is_ours()) return {};
    return fs.locate(AT_FDCWD, ".");
  }
  const auto file = fs.find(dirfd);
  if (file == nullptr) return {};
  return Path{.inode = file->inode(), .text = {}};
}

void passed(int fd) {
  if (fd < 0) return;
  if (FileSystem* fs = active()) fs->not_ours(fd);
  if (fd <= STDERR_FILENO) streams::changed(fd);
}

int close_descriptor(int fd) {
  FileSystem* fs = active();
  if (fs == nullptr) return LIBC(close)(fd);
  if (fs->is_private(fd)) {
    errno = EBADF;
    return -1;
  }
  const bool was_ours = fs->closing(fd);
  const int result = LIBC(close)(fd);
  if (was_ours && fd <= STDERR_FILENO) streams::changed(fd);
  return result;
}

std::mutex& registries() {
  static constinit std::mutex mutex;
  return mutex;
}

}  // namespace benchfs::shim
