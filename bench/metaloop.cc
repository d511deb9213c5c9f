// benchfs_metaloop: a metadata benchmark of plain libc calls, so that it measures whatever file
// system its directory is on, a preloaded one included.
//
//   benchfs_metaloop run DIRECTORY PROCESSES FILES    create, stat, unlink; rates as JSON
//   benchfs_metaloop names DIRECTORY PROCESSES FILES BYTES own|shared
//       create and write BYTES, stat, open and read, list with attributes, rename, unlink; each
//       process in a directory of its own or all in one
//   benchfs_metaloop hold DIRECTORY PROCESSES         open one file each, hold until input ends
//
// The phases are separated by barriers, and a rate is all files over the time from the first
// process's begin to the last one's end.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr unsigned long processes_max = 1024;
constexpr unsigned long files_max = 10'000'000;
constexpr unsigned long bytes_max = 1 << 20;
constexpr std::array phase_names{"create", "stat", "open", "list", "rename", "unlink"};
enum Phase : std::size_t {
  phase_create,
  phase_stat,
  phase_open,
  phase_list,
  phase_rename,
  phase_unlink
};

// In memory that all processes share.
struct Shared {
  pthread_barrier_t barrier;
  struct Times {
    std::array<timespec, phase_names.size()> begin;
    std::array<timespec, phase_names.size()> end;
  };
  std::array<Times, processes_max> times;  // each written by its process
};

struct Job {
  std::string directory;
  unsigned long process;
  unsigned long processes;
  unsigned long files;
  unsigned long bytes;
  bool all_phases;
  bool shared_directory;
  Shared* shared;
};

[[noreturn]] void fail(const char* what, const std::string& name) {
  std::fprintf(stderr, "benchfs_metaloop: %s %s: %s\n", what, name.c_str(), std::strerror(errno));
  _exit(1);
}

template <class Operation>
void run_phase(const Job& job, Phase phase, Operation operation) {
  auto& times = job.shared->times[job.process];
  pthread_barrier_wait(&job.shared->barrier);
  clock_gettime(CLOCK_MONOTONIC, &times.begin[phase]);
  for (unsigned long i = 0; i < job.files; ++i) operation(i);
  clock_gettime(CLOCK_MONOTONIC, &times.end[phase]);
}

// Into `name`, which keeps its memory: the loop measures the file system, not the allocator.
void name_file(std::string& name, const Job& job, const char* kind, unsigned long file) {
  std::array<char, 48> leaf;
  if (job.shared_directory)
    std::snprintf(leaf.data(), leaf.size(), "/%s.%lu.%08lu", kind, job.process, file);
  else
    std::snprintf(leaf.data(), leaf.size(), "/%s.%08lu", kind, file);
  name.assign(job.directory).append(leaf.data());
}

// What `ls -l` asks for: every name, and its attributes.
void list_directory(const Job& job) {
  DIR* const listing = opendir(job.directory.c_str());
  if (listing == nullptr) fail("opendir", job.directory);
  unsigned long seen = 0;
  while (const dirent* entry = readdir(listing)) {
    struct stat status;
    if (fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      fail("stat", entry->d_name);
    if (S_ISREG(status.st_mode)) ++seen;
  }
  closedir(listing);
  if (seen != job.files * (job.shared_directory ? job.processes : 1)) {
    errno = ENOENT;
    fail("list", job.directory);
  }
}

void run_phases(const Job& job) {
  std::string name, other;
  std::vector<char> content(job.bytes, 'x');
  if (!job.shared_directory && mkdir(job.directory.c_str(), 0755) != 0)
    fail("mkdir", job.directory);
  run_phase(job, phase_create, [&](unsigned long file) {
    name_file(name, job, "file", file);
    const int fd = open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd < 0) fail("create", name);
    if (job.bytes > 0 &&
        write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      fail("write", name);
    if (close(fd) != 0) fail("close", name);
  });
  run_phase(job, phase_stat, [&](unsigned long file) {
    name_file(name, job, "file", file);
    struct stat status;
    if (stat(name.c_str(), &status) != 0) fail("stat", name);
  });
  if (job.all_phases) {
    run_phase(job, phase_open, [&](unsigned long file) {
      name_file(name, job, "file", file);
      const int fd = open(name.c_str(), O_RDONLY);
      if (fd < 0) fail("open", name);
      if (job.bytes > 0 &&
          read(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
        fail("read", name);
      if (close(fd) != 0) fail("close", name);
    });
    run_phase(job, phase_list, [&](unsigned long file) {
      if (file == 0) list_directory(job);
    });
    run_phase(job, phase_rename, [&](unsigned long file) {
      name_file(name, job, "file", file);
      name_file(other, job, "moved", file);
      if (rename(name.c_str(), other.c_str()) != 0) fail("rename", name);
    });
  }
  run_phase(job, phase_unlink, [&](unsigned long file) {
    name_file(name, job, job.all_phases ? "moved" : "file", file);
    if (unlink(name.c_str()) != 0) fail("unlink", name);
  });
  if (!job.shared_directory && rmdir(job.directory.c_str()) != 0) fail("rmdir", job.directory);
}

// Has a file open, one byte written, until the parent ends it.
void hold_file(const Job& job) {
  const int fd = open(job.directory.c_str(), O_CREAT | O_RDWR, 0644);
  if (fd < 0) fail("create", job.directory);
  if (write(fd, "x", 1) != 1) fail("write", job.directory);
  pthread_barrier_wait(&job.shared->barrier);
  for (;;) pause();
}

unsigned long number(const char* text, unsigned long min, unsigned long max) {
  char* end = nullptr;
  errno = 0;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
    std::fprintf(stderr, "benchfs_metaloop: %s: expected a number from %lu to %lu\n", text, min,
                 max);
    std::exit(2);
  }
  return value;
}

double seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void end_children(std::vector<pid_t>& children) {
  for (const pid_t child : children)
    if (child > 0) kill(child, SIGKILL);
  for (const pid_t child : children)
    if (child > 0) waitpid(child, nullptr, 0);
}

// False when one failed: the others would wait at the barrier for ever and are ended.
bool await_children(std::vector<pid_t>& children) {
  for (std::size_t left = children.size(); left > 0; --left) {
    int status = 0;
    const pid_t ended = wait(&status);
    if (ended < 0) {
      std::perror("benchfs_metaloop: wait");
      return false;
    }
    for (pid_t& child : children)
      if (child == ended) child = 0;
    if (status == 0) continue;
    if (WIFSIGNALED(status))
      std::fprintf(stderr, "benchfs_metaloop: a process was ended by signal %d\n",
                   WTERMSIG(status));
    end_children(children);
    return false;
  }
  return true;
}

void print_rates(const Shared& shared, const Job& job) {
  std::printf("{\"processes\": %lu, \"files\": %lu", job.processes, job.files);
  for (std::size_t phase = 0; phase < phase_names.size(); ++phase) {
    double begin = seconds(shared.times[0].begin[phase]);
    double end = seconds(shared.times[0].end[phase]);
    if (end == 0) continue;
    for (unsigned long i = 1; i < job.processes; ++i) {
      begin = std::min(begin, seconds(shared.times[i].begin[phase]));
      end = std::max(end, seconds(shared.times[i].end[phase]));
    }
    // In one directory each lists the files of all.
    const unsigned long each =
        job.files * (phase == phase_list && job.shared_directory ? job.processes : 1);
    const double rate = static_cast<double>(job.processes * each) / std::max(end - begin, 1e-9);
    std::printf(", \"%s\": %.1f", phase_names[phase], rate);
  }
  std::printf("}\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const bool holding = mode == "hold" && argc == 4;
  const bool naming = mode == "names" && argc == 7;
  const std::string_view place = naming ? argv[6] : "own";
  if ((!holding && !naming && !(mode == "run" && argc == 5)) ||
      (place != "own" && place != "shared")) {
    std::fprintf(stderr,
                 "usage: benchfs_metaloop run DIRECTORY PROCESSES FILES\n"
                 "       benchfs_metaloop names DIRECTORY PROCESSES FILES BYTES own|shared\n"
                 "       benchfs_metaloop hold DIRECTORY PROCESSES\n");
    return 2;
  }
  const std::string directory = argv[2];
  Job plan{.directory = directory,
           .process = 0,
           .processes = number(argv[3], 1, processes_max),
           .files = holding ? 1 : number(argv[4], 1, files_max),
           .bytes = naming ? number(argv[5], 0, bytes_max) : 0,
           .all_phases = naming,
           .shared_directory = place == "shared",
           .shared = nullptr};
  const unsigned long processes = plan.processes;

  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap", "shared memory");
  auto* const shared = new (memory) Shared{};
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  // The parent takes part when it holds: it says when all files are open.
  const unsigned long parties = holding ? processes + 1 : processes;
  errno = pthread_barrier_init(&shared->barrier, &attributes, static_cast<unsigned>(parties));
  if (errno != 0) fail("pthread_barrier_init", "");

  const pid_t self = getpid();
  std::vector<pid_t> children;
  for (unsigned long i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0) {
      std::perror("benchfs_metaloop: fork");
      end_children(children);
      return 1;
    }
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != self) _exit(1);
      Job job = plan;
      job.process = i;
      job.shared = shared;
      if (!job.shared_directory) job.directory += "/process." + std::to_string(i);
      if (holding)
        hold_file(job);
      else
        run_phases(job);
      _exit(0);
    }
    children.push_back(child);
  }
  if (!holding) {
    if (!await_children(children)) return 1;
    print_rates(*shared, plan);
    return 0;
  }
  // A child that failed has said why and would leave the others at the barrier.
  struct sigaction on_child {};
  on_child.sa_handler = [](int) {
    constexpr std::string_view text = "benchfs_metaloop: a process failed\n";
    if (write(2, text.data(), text.size()) < 0) _exit(3);
    _exit(1);
  };
  sigaction(SIGCHLD, &on_child, nullptr);
  for (const pid_t child : children) {  // one may have failed before the handler was there
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid != 0)
      return 1;
  }
  pthread_barrier_wait(&shared->barrier);
  std::printf("holding\n");
  std::fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  signal(SIGCHLD, SIG_DFL);
  end_children(children);
  return 0;
}
