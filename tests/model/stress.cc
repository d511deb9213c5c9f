// stress: many processes change names in one directory at once.
//
//   stress mix DIRECTORY PROCESSES SECONDS [FIRST]
//       create, link, rename, unlink, mkdir, rmdir of few names; nothing but the errnos that these
//       calls may give there is allowed. FIRST numbers the processes, for several hosts.
//   stress race DIRECTORY PROCESSES ROUNDS BEGIN_MS [FIRST]
//       all processes, of all hosts, make the same change at the same time, ROUNDS times of each
//       kind, from BEGIN_MS (since the epoch) on. Process 0 prepares. Prints "KIND ROUND RESULT".
//   stress judge PROCESSES
//       reads what all of them printed: in each round exactly one won, the others got Linux's
//       errno.
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

#include <array>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/model/steps.h"

namespace {

using model::Random;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t gap_ns = 20 * ms;  // between two rounds

std::int64_t now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::string_view name_of(int error) {
  const char* const name = error == 0 ? "ok" : strerrorname_np(error);
  return name != nullptr ? name : "?";
}

// False, with a line, unless the call succeeded or failed as it may.
bool allowed(const char* what, const std::string& name, long result,
             std::initializer_list<int> errors) {
  if (result >= 0) return true;
  const int error = errno;
  for (const int one : errors)
    if (one == error) return true;
  std::fprintf(stderr, "stress: %s %s: %s\n", what, name.c_str(), strerrorname_np(error));
  return false;
}

// One process's part. Names: f* are files, d* directories, m* whatever was moved there.
bool mix(const std::string& directory, unsigned process, std::int64_t until_ns) {
  Random random(process + 1);
  std::uint64_t calls = 0;
  bool good = true;
  const auto name = [&](const char* kind, unsigned many) {
    std::string text = directory + "/";
    if (random.percent(25)) text += "d" + std::to_string(random.below(4)) + "/";
    return text + kind + std::to_string(random.below(many));
  };
  while (good && now(CLOCK_MONOTONIC) < until_ns) {
    const std::string file = name("f", 12);
    const std::string other = name("f", 12);
    const std::string made = name("d", 6);
    ++calls;
    switch (random.below(9)) {
      case 0: {
        const int fd = open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
        good = allowed("create", file, fd, {EEXIST, ENOENT, ENOTDIR});
        if (fd >= 0) {
          good = allowed("write", file, write(fd, "content", 7), {});
          close(fd);
        }
        break;
      }
      case 1:
        good = allowed("link", file + " " + other, link(file.c_str(), other.c_str()),
                       {EEXIST, ENOENT, ENOTDIR});
        break;
      case 2:
      case 3:
        good = allowed("rename", file + " " + other, rename(file.c_str(), other.c_str()),
                       {ENOENT, ENOTDIR});
        break;
      case 4:
        good = allowed("unlink", file, unlink(file.c_str()), {ENOENT, ENOTDIR});
        break;
      case 5:
        good = allowed("mkdir", made, mkdir(made.c_str(), 0755), {EEXIST, ENOENT, ENOTDIR});
        break;
      case 6:
        good = allowed("rmdir", made, rmdir(made.c_str()), {ENOENT, ENOTDIR, ENOTEMPTY});
        break;
      case 7: {
        const std::string to = name("d", 6);
        good = allowed("rename", made + " " + to, rename(made.c_str(), to.c_str()),
                       {ENOENT, ENOTDIR, ENOTEMPTY, EINVAL});
        break;
      }
      default: {
        struct stat status {};
        const int fd = open(file.c_str(), O_RDWR | O_CREAT, 0644);
        good = allowed("open", file, fd, {ENOENT, ENOTDIR});
        if (fd >= 0) {
          good = good && allowed("fstat", file, fstat(fd, &status), {});
          if (random.percent(50)) {
            good = good && allowed("unlink", file, unlink(file.c_str()), {ENOENT, ENOTDIR});
            good = good && allowed("write", file, write(fd, "more", 4), {});
          }
          close(fd);
        }
      }
    }
  }
  std::printf("process %u: %llu calls\n", process, static_cast<unsigned long long>(calls));
  return good && std::fflush(stdout) == 0;
}

struct Contest {
  const char* kind;
  int loser;  // errno of all but one
  // What must be there; by process 0.
  int (*prepare)(const std::string& source, const std::string& target);
  int (*compete)(const std::string& source, const std::string& target, unsigned process);
};

int make_file(const std::string& name) {
  const int fd = open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
  return fd < 0 ? -1 : close(fd);
}
int nothing(const std::string&, const std::string&) { return 0; }
int make_source(const std::string& source, const std::string&) { return make_file(source); }
int make_source_directory(const std::string& source, const std::string&) {
  return mkdir(source.c_str(), 0755);
}
std::string own(const std::string& source, unsigned process) {
  return source + "." + std::to_string(process);
}

constexpr std::array contests{
    Contest{"rename", ENOENT, make_source,
            [](const std::string& source, const std::string& target, unsigned) {
              return rename(source.c_str(), target.c_str());
            }},
    Contest{"rename-directory", ENOENT, make_source_directory,
            [](const std::string& source, const std::string& target, unsigned) {
              return rename(source.c_str(), target.c_str());
            }},
    Contest{"rename-noreplace", EEXIST, nothing,
            [](const std::string& source, const std::string& target, unsigned process) {
              const std::string mine = own(source, process);
              if (make_file(mine) != 0) return -1;
              const int done =
                  renameat2(AT_FDCWD, mine.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE);
              const int error = errno;
              if (done != 0) unlink(mine.c_str());
              errno = error;
              return done;
            }},
    Contest{"link", EEXIST, make_source,
            [](const std::string& source, const std::string& target, unsigned) {
              return link(source.c_str(), target.c_str());
            }},
    Contest{"unlink", ENOENT, make_source,
            [](const std::string& source, const std::string&, unsigned) {
              return unlink(source.c_str());
            }},
    Contest{"mkdir", EEXIST, nothing,
            [](const std::string&, const std::string& target, unsigned) {
              return mkdir(target.c_str(), 0755);
            }},
    Contest{"rmdir", ENOENT, make_source_directory,
            [](const std::string& source, const std::string&, unsigned) {
              return rmdir(source.c_str());
            }},
    Contest{"symlink", EEXIST, nothing,
            [](const std::string& source, const std::string& target, unsigned) {
              return symlink(source.c_str(), target.c_str());
            }},
    Contest{
        "create", EEXIST, nothing,
        [](const std::string&, const std::string& target, unsigned) { return make_file(target); }},
};

std::string place(const std::string& directory, const char* kind, unsigned round, const char* end) {
  return directory + "/" + kind + "." + std::to_string(round) + end;
}

bool prepare(const std::string& directory, unsigned rounds) {
  for (const Contest& contest : contests) {
    for (unsigned round = 0; round < rounds; ++round) {
      const std::string source = place(directory, contest.kind, round, ".from");
      if (contest.prepare(source, place(directory, contest.kind, round, ".to")) == 0) continue;
      std::fprintf(stderr, "stress: prepare %s: %s\n", source.c_str(), strerror(errno));
      return false;
    }
  }
  return true;
}

void await(std::int64_t time_ns) {
  const std::int64_t wait_ns = time_ns - now(CLOCK_REALTIME) - ms;
  if (wait_ns > 0) {
    const timespec pause{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
    nanosleep(&pause, nullptr);
  }
  while (now(CLOCK_REALTIME) < time_ns) {
  }
}

bool race(const std::string& directory, unsigned process, unsigned rounds, std::int64_t begin_ns) {
  std::string text;
  std::int64_t next_ns = begin_ns;
  for (unsigned round = 0; round < rounds; ++round) {
    for (const Contest& contest : contests) {
      const std::string source = place(directory, contest.kind, round, ".from");
      const std::string target = place(directory, contest.kind, round, ".to");
      await(next_ns);
      next_ns += gap_ns;
      const int error = contest.compete(source, target, process) == 0 ? 0 : errno;
      text += std::string(contest.kind) + " " + std::to_string(round) + " ";
      text += std::string(name_of(error)) + "\n";
    }
  }
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

int judge(unsigned processes) {
  std::map<std::string, std::map<std::string, unsigned>> rounds;  // results of each
  char kind[64], result[64];
  unsigned round = 0;
  int items = 0;
  while ((items = std::scanf("%63s %u %63s", kind, &round, result)) == 3)
    ++rounds[std::string(kind) + " " + std::to_string(round)][result];
  unsigned bad = 0;
  for (const auto& [name, results] : rounds) {
    const std::string_view contest = std::string_view(name).substr(0, name.find(' '));
    std::map<std::string, unsigned> wanted{{"ok", 1}};
    for (const Contest& one : contests)
      if (contest == one.kind && processes > 1)
        wanted[std::string(name_of(one.loser))] = processes - 1;
    if (results == wanted) continue;
    ++bad;
    std::printf("%s:", name.c_str());
    for (const auto& [what, many] : results) std::printf(" %u %s", many, what.c_str());
    std::printf("\n");
  }
  std::printf("%zu contests, %u wrong\n", rounds.size(), bad);
  return items == EOF && bad == 0 && !rounds.empty() ? 0 : 1;
}

// Runs `part` in each of so many processes; true if all were good.
template <class Part>
bool in_processes(unsigned processes, Part part) {
  const pid_t parent = getpid();
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      std::perror("stress: fork");
      return false;
    }
    if (child > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(getppid() == parent && part(i) ? 0 : 1);
  }
  bool good = true;
  int status = 0;
  while (wait(&status) > 0) good = good && status == 0;
  return good;
}

unsigned number(const char* text) { return static_cast<unsigned>(std::strtoul(text, nullptr, 10)); }

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "mix" && argc >= 5) {
    const std::string directory = argv[2];
    const unsigned first = argc > 5 ? number(argv[5]) : 0;
    const std::int64_t until_ns = now(CLOCK_MONOTONIC) + std::int64_t{number(argv[4])} * 1000 * ms;
    return in_processes(number(argv[3]),
                        [&](unsigned i) { return mix(directory, first + i, until_ns); })
               ? 0
               : 1;
  }
  if (mode == "race" && argc >= 6) {
    const std::string directory = argv[2];
    const unsigned rounds = number(argv[4]);
    const std::int64_t begin_ns = std::strtoll(argv[5], nullptr, 10) * ms;
    const unsigned first = argc > 6 ? number(argv[6]) : 0;
    if (first == 0 && !prepare(directory, rounds)) return 1;
    if (now(CLOCK_REALTIME) > begin_ns) {
      std::fprintf(stderr, "stress: not ready at the time to begin\n");
      return 1;
    }
    return in_processes(number(argv[3]),
                        [&](unsigned i) { return race(directory, first + i, rounds, begin_ns); })
               ? 0
               : 1;
  }
  if (mode == "judge" && argc == 3) return judge(number(argv[2]));
  std::fprintf(stderr,
               "usage: stress mix DIRECTORY PROCESSES SECONDS [FIRST]\n"
               "       stress race DIRECTORY PROCESSES ROUNDS BEGIN_MS [FIRST]\n"
               "       stress judge PROCESSES\n");
  return 2;
}
