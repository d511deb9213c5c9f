// Processes that replace, remove and change files by name while others open and read them.
//
//   replaced_files DIRECTORY TAG SECONDS      TAG: differs between those that run on one directory
//
// Every version of a file is whole when it gets its name, so whoever has one open reads that and
// nothing else, whatever becomes of the name, and so does a child that inherits it. Prints what was
// read wrong and how many files were read; exit code 0: none was wrong.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  files = 4,
  writers = 2,
  readers = 4,
  small = 64,
  large = 9000
};  // bytes: in a cell, in chunks

static const char *directory, *tag;
static time_t end;
static unsigned data[large / sizeof(unsigned)], seen[large / sizeof(unsigned) + 1];

static void give_up(const char *what) {
  perror(what);
  exit(2);
}

static void put_new(const char *name, unsigned version, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof *data; ++i) data[i] = version;
  const int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes || close(fd) != 0) give_up(name);
}

static void replace_files(int writer) {
  char made[300], name[300];
  snprintf(made, sizeof made, "%s/new.%s.%d", directory, tag, writer);
  for (unsigned version = 1; time(NULL) < end; ++version) {
    snprintf(name, sizeof name, "%s/%d", directory, rand() % files);
    if (rand() % 3 == 0) unlink(name);
    put_new(made, version, rand() % 2 == 0 ? small : large);
    if (rename(made, name) != 0) give_up("rename");
    if (rand() % 3 != 0) continue;
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    utimensat(AT_FDCWD, name, now, 0);
    chmod(name, 0600 + (mode_t)(rand() % 64));
  }
}

static void expect(int fact, const char *what, ssize_t bytes) {
  if (fact) return;
  fprintf(stderr, "%s: %zd bytes of %u ... %u\n", what, bytes, seen[0], seen[small / sizeof *seen]);
  exit(1);
}

// The version that a file is of.
static unsigned version_of(int fd) {
  struct stat before, after;
  if (fstat(fd, &before) != 0) give_up("fstat");
  const ssize_t bytes = pread(fd, seen, sizeof seen, 0);
  expect(bytes == small || bytes == large, "no version", bytes);
  for (size_t i = 1; i < (size_t)bytes / sizeof *seen; ++i)
    expect(seen[i] == seen[0], "two versions in one", bytes);
  if (fstat(fd, &after) != 0) give_up("fstat");
  expect(before.st_size == bytes && after.st_size == bytes, "another size", bytes);
  return seen[0];
}

static void child_reads(int fd, unsigned version) {
  expect(version_of(fd) == version, "another version in a child", 0);
  if (rand() % 2 == 0) kill(getpid(), SIGKILL);
  exit(0);
}

static void read_files(void) {
  char name[300];
  long count = 0;
  while (time(NULL) < end) {
    snprintf(name, sizeof name, "%s/%d", directory, rand() % files);
    const int fd = open(name, O_RDONLY);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0) give_up("open");
    const unsigned version = version_of(fd);
    if (rand() % 4 == 0) usleep((useconds_t)(rand() % 300));
    expect(version_of(fd) == version, "another version", 0);
    if (rand() % 50 == 0) {
      const pid_t child = fork();
      if (child == 0) child_reads(fd, version);
      int status = 0;
      if (waitpid(child, &status, 0) != child) give_up("waitpid");
      if (WIFEXITED(status) && WEXITSTATUS(status) != 0) exit(1);
    }
    close(fd);
    ++count;
  }
  printf("%ld files read\n", count);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: replaced_files DIRECTORY TAG SECONDS\n");
    return 2;
  }
  directory = argv[1];
  tag = argv[2];
  end = time(NULL) + atoi(argv[3]);
  for (int i = 0; i < writers + readers; ++i) {
    if (fork() != 0) continue;
    srand((unsigned)getpid());
    if (i < writers)
      replace_files(i);
    else
      read_files();
    fflush(stdout);
    _exit(0);
  }
  int wrong = 0, status = 0;
  while (wait(&status) > 0) wrong |= status != 0;
  return wrong;
}
