// Two processes: one changes names and attributes and says so through a pipe, the other looks and
// must see each change. Prints what was seen wrong, and how many rounds there were.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { rounds = 400 };

static int to_looker[2], to_changer[2];

static void check(int good, const char *what, int round) {
  if (!good) printf("stale in round %d: %s\n", round, what);
}

// The other's turn; returns when it is ours again.
static void turn(int out, int in) {
  char token = 't';
  if (write(out, &token, 1) != 1 || read(in, &token, 1) != 1) exit(3);
}

static int missing(const char *name) {
  struct stat status;
  return stat(name, &status) != 0 && errno == ENOENT && access(name, F_OK) != 0;
}

static void look(void) {
  struct stat s;
  char token;
  if (read(to_looker[0], &token, 1) != 1) exit(3);
  for (int i = 0; i < rounds; ++i) {
    check(stat("a", &s) == 0 && s.st_size == 0 && (s.st_mode & 07777) == 0644, "created", i);
    check(missing("b"), "not there yet", i);
    turn(to_changer[1], to_looker[0]);
    check(stat("a", &s) == 0 && s.st_size == 3 + i % 7, "written", i);
    turn(to_changer[1], to_looker[0]);
    check(stat("a", &s) == 0 && (s.st_mode & 07777) == 0600, "mode", i);
    turn(to_changer[1], to_looker[0]);
    check(stat("a", &s) == 0 && s.st_mtim.tv_sec == 1000 + i, "time", i);
    turn(to_changer[1], to_looker[0]);
    check(stat("a", &s) == 0 && s.st_size == 1, "truncated", i);
    turn(to_changer[1], to_looker[0]);
    check(missing("a") && stat("b", &s) == 0 && s.st_size == 1, "renamed", i);
    turn(to_changer[1], to_looker[0]);
    check(stat("b", &s) == 0 && s.st_nlink == 2 && stat("d/c", &s) == 0, "linked", i);
    turn(to_changer[1], to_looker[0]);
    check(missing("b") && stat("d/c", &s) == 0 && s.st_nlink == 1, "unlinked", i);
    turn(to_changer[1], to_looker[0]);
    check(missing("d/c") && missing("d") && stat("e/c", &s) == 0, "directory renamed", i);
    turn(to_changer[1], to_looker[0]);
    check(missing("e/c") && missing("e"), "removed", i);
    if (i + 1 < rounds) turn(to_changer[1], to_looker[0]);
  }
}

static void change(void) {
  const struct timespec no_change = {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  for (int i = 0; i < rounds; ++i) {
    const int fd = open("a", O_CREAT | O_EXCL | O_RDWR, 0644);
    if (fd < 0 || mkdir("d", 0755) != 0) exit(4);
    turn(to_looker[1], to_changer[0]);
    if (write(fd, "0123456789", (size_t)(3 + i % 7)) < 0) exit(5);
    turn(to_looker[1], to_changer[0]);
    if (chmod("a", 0600) != 0) exit(6);
    turn(to_looker[1], to_changer[0]);
    const struct timespec times[2] = {no_change, {.tv_sec = 1000 + i, .tv_nsec = 0}};
    if (utimensat(AT_FDCWD, "a", times, 0) != 0) exit(7);
    turn(to_looker[1], to_changer[0]);
    if (i % 2 != 0) close(fd);
    if (truncate("a", 1) != 0) exit(8);
    turn(to_looker[1], to_changer[0]);
    if (rename("a", "b") != 0) exit(9);
    turn(to_looker[1], to_changer[0]);
    if (link("b", "d/c") != 0) exit(10);
    turn(to_looker[1], to_changer[0]);
    if (unlink("b") != 0) exit(11);
    turn(to_looker[1], to_changer[0]);
    if (rename("d", "e") != 0) exit(12);
    turn(to_looker[1], to_changer[0]);
    if (i % 2 == 0) close(fd);
    if (unlink("e/c") != 0 || rmdir("e") != 0) exit(13);
    if (i + 1 < rounds) turn(to_looker[1], to_changer[0]);
  }
  char token = 't';
  if (write(to_looker[1], &token, 1) != 1) exit(3);
}

int main(void) {
  umask(022);
  if (pipe(to_looker) != 0 || pipe(to_changer) != 0) return 1;
  const pid_t looker = fork();
  if (looker < 0) return 2;
  if (looker == 0) {
    // The changer alone holds the other ends: whoever is left alone reads the end, and leaves.
    close(to_looker[1]);
    close(to_changer[0]);
    look();
    fflush(stdout);
    close(to_changer[1]);  // the last turn has nobody to come back to
    _exit(0);
  }
  close(to_looker[0]);
  close(to_changer[1]);
  change();
  int status = -1;
  waitpid(looker, &status, 0);
  printf("%d rounds, exit %d\n", rounds, status);
  return 0;
}
