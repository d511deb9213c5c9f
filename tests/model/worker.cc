#include "tests/model/worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tests/model/observation.h"

namespace model {
namespace {

constexpr std::size_t child_text_bytes = 1 << 20;

std::int64_t ns(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// A time that is later than all that file systems have stamped, and not later than what they will
// stamp from now on. The kernel's clock of stamps stands still for milliseconds, except after
// somebody looked at a stamp: then the next one is of the precise clock, if it would be the same,
// and no later one is before it (since Linux 6.13). Others stamp by the precise clock.
std::int64_t advance_clock() {
  static const int probe = ::memfd_create("clock", MFD_CLOEXEC);
  timespec begin{};
  ::clock_gettime(CLOCK_REALTIME, &begin);
  for (int i = 0; i < 8; ++i) {
    struct stat status {};
    ::fstat(probe, &status);
    ::fchmod(probe, status.st_mode ^ S_IRUSR);
    ::fstat(probe, &status);
    if (ns(status.st_ctim) > ns(begin)) return ns(status.st_ctim);
  }
  timespec now{};
  do {
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (ns(now) <= ns(begin));
  return ns(now);
}

// " = 3", or " = ENOENT".
std::string result(long value) {
  if (value >= 0) return " = " + std::to_string(value);
  const char* const name = strerrorname_np(errno);
  return std::string(" = ") + (name != nullptr ? name : "unknown errno");
}

std::string hash_of(const char* bytes, std::size_t length) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (std::size_t i = 0; i < length; ++i)
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3U;
  char text[20];
  std::snprintf(text, sizeof text, " %016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::string content(const Step& step) {
  std::string bytes(step.length, '\0');
  Random random(step.number);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 8 == 0) word = random.next() | 0x0101010101010101U;  // no zeros: those are holes
    bytes[i] = static_cast<char>(word >> (i % 8 * 8));
  }
  return bytes;
}

timespec time_of(std::int64_t ns) {
  if (ns == times_now) return {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  if (ns == times_omit) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000),
          .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

const char* type_name(unsigned char type) {
  switch (type) {
    case DT_DIR:
      return "dir";
    case DT_REG:
      return "file";
    case DT_LNK:
      return "link";
    default:
      return "other";
  }
}

// All but the last component: where the name is.
std::string parent_of(const std::string& path) {
  std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  end = path.find_last_of('/', end);
  if (end == std::string::npos) return ".";
  return path.substr(0, end + 1);
}

}  // namespace

int Worker::base(int slot) const {
  if (slot == working) return AT_FDCWD;
  const int fd = descriptor(slot);
  return fd < 0 ? 9999 : fd;  // AT_FDCWD is negative too
}

std::string Worker::absolute(const std::string& path) const {
  return path.starts_with('@') ? directory_ + path.substr(1) : path;
}

std::string Worker::look(int slot, const std::string& path, bool parent_too) const {
  std::string text;
  struct stat status {};
  const auto add = [&](const std::string& where) {
    const int done = ::fstatat(base(slot), where.c_str(), &status, AT_SYMLINK_NOFOLLOW);
    text += done == 0 ? " | " + raw(status) : " |" + result(-1);
  };
  add(absolute(path));
  if (parent_too) add(parent_of(absolute(path)));
  return text;
}

std::string Worker::look_fd(int slot) const {
  struct stat status {};
  if (is_lost(slot)) return " | removed";
  return ::fstat(descriptor(slot), &status) == 0 ? " | " + raw(status) : " |" + result(-1);
}

bool Worker::is_lost(int slot) const {
  if (features_.removed || slot == working || descriptor(slot) < 0) return false;
  struct stat status {};
  if (::fstat(descriptor(slot), &status) != 0) return errno == ENOENT;
  return S_ISDIR(status.st_mode) && status.st_nlink == 0;
}

std::string Worker::list(int fd) const {
  DIR* const listing = ::fdopendir(fd);
  if (listing == nullptr) {
    const std::string text = result(-1);
    ::close(fd);
    return text;
  }
  std::vector<std::pair<std::string, std::string>> names;
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string name = entry->d_name;
    // The directory above that of the test belongs to neither.
    names.emplace_back(name, std::string(type_name(entry->d_type)) +
                                 (name == ".." ? "" : " " + raw_inode(entry->d_ino)));
  }
  std::string text = errno == 0 ? " =" : result(-1);
  ::closedir(listing);
  std::ranges::sort(names);
  for (const auto& [name, rest] : names)
    text += " " + (name.size() < 100 ? name : "…" + std::to_string(name.size())) + " " + rest + ",";
  return text;
}

std::string Worker::put(int slot, int opened) {
  std::string text = result(opened >= 0 ? 0 : -1);
  int& place = slots_[static_cast<std::size_t>(slot)];
  if (opened < 0) return text;
  if (place >= 0 && ::close(place) != 0) text += " close" + result(-1);
  place = opened;
  return text;
}

void Worker::open_inherited() {
  for (int slot = 0; slot < inherited; ++slot) {
    const std::string name = directory_ + "/" + static_cast<char>('a' + slot);
    slots_[static_cast<std::size_t>(slot)] =
        ::open(name.c_str(), O_CREAT | O_RDWR | (slot == 0 ? O_APPEND : 0), 0644);
  }
}

void Worker::close_all() {
  for (int& fd : slots_) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
}

std::string Worker::act(const Step& step) {
  if (is_lost(step.base) || is_lost(step.base2)) return " removed";
  if (step.kind != Kind::open && step.kind != Kind::close && is_lost(step.slot)) return " removed";
  const int fd = descriptor(step.slot);
  const std::string path = absolute(step.path);
  const int at = base(step.base);
  // What the call returned comes as an argument: it is made before anything is looked at.
  const auto named = [&](const std::string& done) {
    return done + look(step.base, step.path, true);
  };
  const auto known = [&](const std::string& done) {
    return done + look(step.base, step.path, false);
  };
  const auto here = [&](const std::string& done) { return done + look(working, step.path, false); };
  const auto opened = [&](const std::string& done) { return done + look_fd(step.slot); };
  switch (step.kind) {
    case Kind::open: {
      std::string text = put(step.slot, ::openat(at, path.c_str(), step.flags, step.mode));
      if (text == " = 0") text += look_fd(step.slot);
      if ((step.flags & O_CREAT) != 0 && step.base != step.slot)
        text += look(step.base, step.path, true);
      return text;
    }
    case Kind::close: {
      const std::string text = result(::close(fd));
      slots_[static_cast<std::size_t>(step.slot)] = -1;
      return text;
    }
    case Kind::duplicate: {
      const int to = static_cast<int>(step.count);
      if (to == step.slot) return result(::dup2(fd, fd) >= 0 ? 0 : -1);
      const int old = descriptor(to);
      if (old < 0) return put(to, ::dup(fd));
      return opened(result(::dup2(fd, old) >= 0 ? 0 : -1));
    }
    case Kind::read:
    case Kind::pread: {
      std::string bytes(step.length, '\0');
      const ssize_t n = step.kind == Kind::read
                            ? ::read(fd, bytes.data(), bytes.size())
                            : ::pread(fd, bytes.data(), bytes.size(), step.offset);
      std::string text = result(n);
      if (n >= 0) text += hash_of(bytes.data(), static_cast<std::size_t>(n));
      return opened(text);
    }
    case Kind::write:
    case Kind::pwrite: {
      const std::string bytes = content(step);
      const ssize_t n = step.kind == Kind::write
                            ? ::write(fd, bytes.data(), bytes.size())
                            : ::pwrite(fd, bytes.data(), bytes.size(), step.offset);
      return opened(result(n));
    }
    case Kind::seek:
      // Where the end of a directory is is each file system's own affair.
      if (struct stat status{}; ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) return "";
      return result(::lseek(fd, step.offset, step.flags));
    case Kind::set_flags: {
      const int was = ::fcntl(fd, F_GETFL);
      if (was < 0) return result(-1);
      const std::string text = result(::fcntl(fd, F_SETFL, (was & ~O_APPEND) | step.flags));
      const int now = ::fcntl(fd, F_GETFL);
      return text + " " + std::to_string(now & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    }
    case Kind::truncate_fd:
      return opened(result(::ftruncate(fd, step.offset)));
    case Kind::stat_fd:
      return look_fd(step.slot);
    case Kind::chmod_fd:
      return opened(result(::fchmod(fd, step.mode)));
    case Kind::times_fd: {
      const timespec times[2] = {time_of(step.accessed), time_of(step.modified)};
      return opened(result(::futimens(fd, times)));
    }
    case Kind::sync:
      return result(step.flags != 0 ? ::fsync(fd) : ::fdatasync(fd));
    case Kind::list_fd: {
      // Its own position: the slot's is where earlier listings left it.
      const int again = ::openat(fd < 0 ? 9999 : fd, ".", O_RDONLY | O_DIRECTORY);
      return again < 0 ? result(-1) : list(again);
    }
    case Kind::stat: {
      struct stat status {};
      const int flags = step.flags != 0 ? AT_SYMLINK_NOFOLLOW : 0;
      const int done = ::fstatat(at, path.c_str(), &status, flags);
      return done == 0 ? " | " + raw(status) : result(-1);
    }
    case Kind::lstat:
      return look(step.base, step.path, false);
    case Kind::access:
      return result(::faccessat(at, path.c_str(), step.flags, 0));
    case Kind::read_link: {
      std::string target(5000, '\0');
      const ssize_t n = ::readlinkat(at, path.c_str(), target.data(), target.size());
      if (n < 0) return result(-1);
      target.resize(static_cast<std::size_t>(n));
      if (target.starts_with(directory_)) target = "@" + target.substr(directory_.size());
      return " = " + target;
    }
    case Kind::link: {
      const int flags = step.flags != 0 ? AT_SYMLINK_FOLLOW : 0;
      const std::string text = known(result(
          ::linkat(at, path.c_str(), base(step.base2), absolute(step.path2).c_str(), flags)));
      return text + look(step.base2, step.path2, true);
    }
    case Kind::symlink:
      return named(result(::symlinkat(absolute(step.path2).c_str(), at, path.c_str())));
    case Kind::unlink:
      return named(result(::unlinkat(at, path.c_str(), 0)));
    case Kind::make_directory:
      return named(result(::mkdirat(at, path.c_str(), step.mode | 0700)));
    case Kind::remove_directory:
      return named(result(::unlinkat(at, path.c_str(), AT_REMOVEDIR)));
    case Kind::rename: {
      const auto flags = static_cast<unsigned>(step.flags);
      const std::string text = named(result(
          ::renameat2(at, path.c_str(), base(step.base2), absolute(step.path2).c_str(), flags)));
      return text + look(step.base2, step.path2, true);
    }
    case Kind::chmod:
      return known(result(::fchmodat(at, path.c_str(), step.mode, 0)));
    case Kind::times: {
      const timespec times[2] = {time_of(step.accessed), time_of(step.modified)};
      const int flags = step.flags != 0 ? AT_SYMLINK_NOFOLLOW : 0;
      return known(result(::utimensat(at, path.c_str(), times, flags)));
    }
    case Kind::truncate: {
      // Whether the size that a file has already changes its times is each file system's own affair.
      struct stat status {};
      const bool same = ::stat(path.c_str(), &status) == 0 && status.st_size == step.offset;
      return here(result(::truncate(path.c_str(), step.offset + (same ? 1 : 0))));
    }
    case Kind::list: {
      const int listed = ::openat(at, path.c_str(), O_RDONLY | O_DIRECTORY);
      return listed < 0 ? result(-1) : known(list(listed));
    }
    case Kind::set_xattr: {
      const std::string value = content(step);
      const auto set = step.flags != 0 ? ::lsetxattr : ::setxattr;
      return here(result(set(path.c_str(), step.path2.c_str(), value.data(), value.size(),
                             static_cast<int>(step.mode))));
    }
    case Kind::get_xattr: {
      std::string value(1000, '\0');
      const auto get = step.flags != 0 ? ::lgetxattr : ::getxattr;
      const ssize_t n = get(path.c_str(), step.path2.c_str(), value.data(), value.size());
      if (n < 0) return result(-1);
      return result(n) + hash_of(value.data(), static_cast<std::size_t>(n));
    }
    case Kind::list_xattr: {
      std::string names(1000, '\0');
      const auto get = step.flags != 0 ? ::llistxattr : ::listxattr;
      const ssize_t n = get(path.c_str(), names.data(), names.size());
      if (n < 0) return result(-1);
      std::vector<std::string> sorted;
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); i += sorted.back().size() + 1)
        sorted.emplace_back(names.c_str() + i);
      std::ranges::sort(sorted);
      std::string text = " =";
      for (const std::string& name : sorted)
        if (name.starts_with("user.")) text += " " + name;
      return text;
    }
    case Kind::remove_xattr: {
      const auto remove = step.flags != 0 ? ::lremovexattr : ::removexattr;
      return here(result(remove(path.c_str(), step.path2.c_str())));
    }
    case Kind::link_fd: {
      const std::string name = "/proc/self/fd/" + std::to_string(fd);
      return opened(
          named(result(::linkat(AT_FDCWD, name.c_str(), at, path.c_str(), AT_SYMLINK_FOLLOW))));
    }
    case Kind::fork:
      break;
  }
  return "";
}

std::string Worker::fork(const Step& step, Generator& generator) {
  std::vector<Step> steps;
  for (unsigned i = 0; i < step.count; ++i) steps.push_back(generator.next());
  static char* const shared = static_cast<char*>(
      ::mmap(nullptr, child_text_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  shared[0] = '\0';
  const pid_t child = ::fork();
  if (child < 0) return result(-1);
  if (child == 0) {
    std::string text;
    for (const Step& each : steps) text += run(each, generator);
    const std::size_t length = std::min(text.size(), child_text_bytes - 1);
    ::memcpy(shared, text.data(), length);
    shared[length] = '\0';
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return " = " + std::to_string(status) + "\n" + shared;
}

std::string Worker::run(const Step& step, Generator& generator) {
  std::string text =
      std::to_string(step.number) + " p" + std::to_string(step.process) + " " + describe(step);
  if (step.kind == Kind::fork) return text + fork(step, generator);
  const std::string begin = raw_begin(advance_clock(), step.number);
  return begin + text + act(step) + "\n";
}

std::string Worker::read_all(int fd) const {
  std::string all;
  std::string part(1 << 20, '\0');
  for (;;) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n < 0) return result(-1);
    if (n == 0) break;
    all.append(part, 0, static_cast<std::size_t>(n));
  }
  return " = " + std::to_string(all.size()) + hash_of(all.data(), all.size());
}

void Worker::walk(const std::string& path, std::string& text) const {
  struct stat status {};
  text += path;
  if (::lstat(path.c_str(), &status) != 0) {
    text += result(-1) + "\n";
    return;
  }
  text += " " + raw(status);
  if (S_ISLNK(status.st_mode)) {
    Step step;
    step.kind = Kind::read_link;
    step.path = path;
    text += Worker(*this).act(step) + "\n";
    return;
  }
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (fd < 0) {
    text += result(-1) + "\n";
    return;
  }
  if (!S_ISDIR(status.st_mode)) {
    text += read_all(fd) + "\n";
    ::close(fd);
    return;
  }
  text += "\n";
  std::vector<std::string> names;
  DIR* const listing = ::fdopendir(fd);
  while (const dirent* entry = ::readdir(listing))
    if (::strcmp(entry->d_name, ".") != 0 && ::strcmp(entry->d_name, "..") != 0)
      names.emplace_back(entry->d_name);
  ::closedir(listing);
  std::ranges::sort(names);
  for (const std::string& name : names) walk(path + "/" + name, text);
}

std::string Worker::tree() {
  std::string text;
  walk(".", text);
  return text;
}

}  // namespace model
