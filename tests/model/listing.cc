// listing: a directory is listed while others create and remove in it.
//
//   listing DIRECTORY ENTRIES PASSES
//
// ENTRIES files are there throughout. Two processes make and remove others; this one lists PASSES
// times, with telldir and seekdir on the way and rewinddir between, and each of the files must be
// seen exactly once a pass, and after a seekdir exactly those that came after the telldir.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/model/steps.h"

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "listing: %s: %s\n", what.c_str(), strerror(errno));
  std::exit(1);
}

std::string name_of(const char* kind, unsigned long number) {
  return std::string(kind) + std::to_string(number);
}

void make(int directory, const std::string& name) {
  const int fd = openat(directory, name.c_str(), O_CREAT | O_WRONLY, 0644);
  if (fd < 0 || close(fd) != 0) fail("create " + name);
}

// Makes and removes names of its own until it is killed; a hundred are there at a time. It pauses,
// or the listing would wait for a core more than it lists.
[[noreturn]] void disturb(int directory, unsigned which) {
  const std::string kind = "other." + std::to_string(which) + ".";
  const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
  for (unsigned long i = 0;; ++i) {
    make(directory, name_of(kind.c_str(), i));
    if (i < 100) continue;
    const std::string old = name_of(kind.c_str(), i - 100);
    if (unlinkat(directory, old.c_str(), 0) != 0) fail("unlink " + old);
    if (i % 20 == 0) nanosleep(&pause, nullptr);
  }
}

// Number of a file that is there throughout; -1: another name.
long number_of(const char* name, unsigned long entries) {
  if (strncmp(name, "kept.", 5) != 0) return -1;
  const unsigned long number = std::strtoul(name + 5, nullptr, 10);
  if (number >= entries) fail(std::string("unknown name ") + name);
  return static_cast<long>(number);
}

struct Mark {
  long position = 0;
  std::vector<bool> seen;  // before it
};

// To the end; false, with a line, if one is missed or seen twice.
bool list_rest(DIR* listing, unsigned long entries, std::vector<bool>& seen, std::size_t mark_at,
               Mark* mark) {
  std::size_t count = 0;
  for (std::size_t i = 0;; ++i) {
    if (mark != nullptr && i == mark_at) {
      mark->position = telldir(listing);
      mark->seen = seen;
    }
    errno = 0;
    const dirent* const entry = readdir(listing);
    if (entry == nullptr && errno != 0) fail("readdir");
    if (entry == nullptr) break;
    const long number = number_of(entry->d_name, entries);
    if (number < 0) continue;
    const auto index = static_cast<std::size_t>(number);
    if (seen[index]) {
      std::printf("%s is listed twice\n", entry->d_name);
      return false;
    }
    seen[index] = true;
    ++count;
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) continue;
    std::printf("kept.%zu is missed, of %zu listed\n", i, count);
    return false;
  }
  return true;
}

bool list(int directory, unsigned long entries, unsigned long passes) {
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY);
  DIR* const listing = copy < 0 ? nullptr : fdopendir(copy);
  if (listing == nullptr) fail("open the directory");
  model::Random random(1);
  for (unsigned long pass = 0; pass < passes; ++pass) {
    Mark mark;
    std::vector<bool> seen(entries);
    const std::size_t mark_at = random.below(entries);
    if (!list_rest(listing, entries, seen, mark_at, &mark)) return false;
    seekdir(listing, mark.position);
    if (telldir(listing) != mark.position) {
      std::printf("telldir after seekdir is another position\n");
      return false;
    }
    if (!list_rest(listing, entries, mark.seen, 0, nullptr)) return false;
    rewinddir(listing);
  }
  closedir(listing);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: listing DIRECTORY ENTRIES PASSES\n");
    return 2;
  }
  const unsigned long entries = std::strtoul(argv[2], nullptr, 10);
  const unsigned long passes = std::strtoul(argv[3], nullptr, 10);
  const int directory = open(argv[1], O_RDONLY | O_DIRECTORY);
  if (directory < 0 || entries < 2) fail(argv[1]);
  for (unsigned long i = 0; i < entries; ++i) make(directory, name_of("kept.", i));
  const pid_t parent = getpid();
  std::vector<pid_t> children;
  for (unsigned i = 0; i < 2; ++i) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      disturb(directory, i);
    }
    children.push_back(child);
  }
  bool good = list(directory, entries, passes);
  for (const pid_t child : children) {
    int status = 0;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) good = false;
  }
  if (good) std::printf("%lu entries, %lu passes: each listed once\n", entries, passes);
  return good ? 0 : 1;
}
