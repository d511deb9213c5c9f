// Two processes on two hosts: one changes small files and says so outside of BenchFS, the other
// looks and must see each change at once.
//
//   two_hosts change DIRECTORY TO FROM ROUNDS
//   two_hosts look DIRECTORY FROM TO ROUNDS        the same two pipes
//
// Prints what was seen wrong; exit code 0: nothing was.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { directories = 4, size_max = 5000 };  // homes on either host; sizes on both sides of 4096
enum step { fresh, rewritten, kept_open, appended, truncated, replaced, killed, held, steps };

static int out, in, wrong;
static char text[size_max], seen[size_max + 1];

static void give_up(const char *what) {
  perror(what);
  exit(2);
}

static void turn(void) {
  char token = 't';
  if (write(out, &token, 1) != 1 || read(in, &token, 1) != 1) give_up("turn");
}

static void fill(int round) {
  for (int i = 0; i < size_max; ++i) text[i] = (char)('a' + (i * 7 + round * 13 + i / 50) % 26);
}
static size_t size_in(int round) {
  return (size_t)(round % 9 == 0 ? 4000 + round % 1000 : 1 + round * 37 % 3901);
}

static void change_directory(int round) {
  char name[32];
  snprintf(name, sizeof name, "%d", round % directories);
  if (chdir(name) != 0) give_up(name);
}

static int opened(const char *name, int flags) {
  const int fd = open(name, flags, 0644);
  if (fd < 0) give_up(name);
  return fd;
}
static void put(int fd, const char *data, size_t size) {
  if (write(fd, data, size) != (ssize_t)size) give_up("write");
}
static void put_file(const char *name, int flags, size_t size) {
  const int fd = opened(name, O_WRONLY | O_CREAT | flags);
  put(fd, text, size);
  if (close(fd) != 0) give_up("close");
}

static void change(int round) {
  static int kept[directories];
  const size_t size = size_in(round);
  fill(round);
  switch (round / directories % steps) {
    case fresh:
      put_file("fresh", O_EXCL, size);
      break;
    case rewritten:
      put_file("same", O_TRUNC, size);
      break;
    case kept_open: {
      int *fd = &kept[round % directories];
      if (*fd == 0) *fd = opened("kept", O_RDWR | O_CREAT);
      if (pwrite(*fd, text, size, 0) != (ssize_t)size || ftruncate(*fd, (off_t)size) != 0)
        give_up("pwrite");
      break;
    }
    case appended:
      put_file("log", O_APPEND, 60);
      break;
    case truncated:
      put_file("cut", O_TRUNC, size);
      if (truncate("cut", (off_t)size / 2) != 0) give_up("truncate");
      break;
    case replaced:
      put_file("new", O_EXCL, size);
      if (rename("new", "target") != 0) give_up("rename");
      break;
    case killed: {
      const pid_t child = fork();
      if (child == 0) {
        put(opened("crashed", O_WRONLY | O_CREAT | O_TRUNC), text, size);
        kill(getpid(), SIGKILL);
      }
      int status = 0;
      if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) give_up("killed");
      break;
    }
    default:
      put_file("held", 0, size);
      if (truncate("held", (off_t)size) != 0) give_up("truncate");
  }
}

static void check(int round, const char *name, int fd, size_t size) {
  struct stat status;
  const ssize_t got = pread(fd, seen, sizeof seen, 0);
  if (got == (ssize_t)size && memcmp(seen, text, size) == 0 && fstat(fd, &status) == 0 &&
      status.st_size == (off_t)size)
    return;
  ++wrong;
  printf("round %d: %s: %zd bytes of %zu, %s\n", round, name, got, size,
         got == (ssize_t)size ? "others" : "fewer or more");
}
static void check_file(int round, const char *name, size_t size) {
  const int fd = opened(name, O_RDONLY);
  check(round, name, fd, size);
  close(fd);
}

static void look(int round) {
  static int held_open[directories];
  static int lines[directories];
  const size_t size = size_in(round);
  const int place = round % directories;
  fill(round);
  switch (round / directories % steps) {
    case fresh:
      check_file(round, "fresh", size);
      if (unlink("fresh") != 0) give_up("unlink");
      break;
    case rewritten:
      check_file(round, "same", size);
      break;
    case kept_open:
      check_file(round, "kept", size);
      break;
    case appended: {
      const int fd = opened("log", O_RDONLY);
      const ssize_t got = pread(fd, seen, 60, (off_t)lines[place]++ * 60);
      if (got != 60 || memcmp(seen, text, 60) != 0) {
        ++wrong;
        printf("round %d: log: %zd bytes\n", round, got);
      }
      close(fd);
      break;
    }
    case truncated:
      check_file(round, "cut", size / 2);
      break;
    case replaced:
      check_file(round, "target", size);
      break;
    case killed:
      check_file(round, "crashed", size);
      break;
    default:
      if (held_open[place] == 0) held_open[place] = opened("held", O_RDONLY);
      check(round, "held", held_open[place], size);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const int changes = strcmp(argv[1], "change") == 0;
  const int rounds = atoi(argv[5]);
  out = open(argv[3 + !changes], O_RDWR);
  in = open(argv[4 - !changes], O_RDWR);
  if (out < 0 || in < 0) give_up("pipe");
  if (chdir(argv[2]) != 0) give_up(argv[2]);
  char name[32];
  for (int i = 0; changes && i < directories; ++i) {
    snprintf(name, sizeof name, "%d", i);
    if (mkdir(name, 0755) != 0) give_up(name);
  }
  char token = 't';
  if (!changes && read(in, &token, 1) != 1) give_up("begin");
  for (int round = 0; round < rounds; ++round) {
    change_directory(round);
    if (changes) {
      change(round);
      turn();
    } else {
      look(round);
      if (round + 1 < rounds) turn();
    }
    if (chdir("..") != 0) give_up("..");
  }
  if (!changes && write(out, &token, 1) != 1) give_up("end");
  printf("%d rounds, %d wrong\n", rounds, wrong);
  return wrong != 0;
}
