/* Renames of every kind, and what they do to times and link counts: results and errors. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

static void touch(const char* name) { close(open(name, O_WRONLY | O_CREAT, 0644)); }
static long links_of(const char* name) {
  struct stat status;
  return lstat(name, &status) == 0 ? (long)status.st_nlink : -1;
}
static char kind_of(const char* name) {
  struct stat status;
  if (lstat(name, &status) != 0) return '-';
  return S_ISDIR(status.st_mode) ? 'd' : S_ISLNK(status.st_mode) ? 'l' : 'f';
}
static ino_t number_of(const char* name) {
  struct stat status;
  return lstat(name, &status) == 0 ? status.st_ino : 0;
}

/* Which times a call changes: seen against a time long ago. */
static struct timespec changed_before[8];
static void remember(const char* const* names) {
  struct stat status;
  const struct timespec past[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
  for (int i = 0; names[i] != NULL; ++i) {
    utimensat(AT_FDCWD, names[i], past, AT_SYMLINK_NOFOLLOW);
    changed_before[i] =
        lstat(names[i], &status) == 0 ? status.st_ctim : (struct timespec){.tv_sec = 0};
  }
  usleep(20000); /* kernels stamp a plain directory by the tick */
}
static void show_times(const char* const* names) {
  struct stat status;
  for (int i = 0; names[i] != NULL; ++i) {
    if (lstat(names[i], &status) != 0) {
      printf("%s: gone\n", names[i]);
      continue;
    }
    const int changed = status.st_ctim.tv_sec != changed_before[i].tv_sec ||
                        status.st_ctim.tv_nsec != changed_before[i].tv_nsec;
    printf("%s:%s%s\n", names[i], status.st_mtim.tv_sec == 1000000000 ? "" : " mtime",
           changed ? " ctime" : "");
  }
}
#define TIMES(call, ...)                             \
  do {                                               \
    const char* const names[] = {__VA_ARGS__, NULL}; \
    remember(names);                                 \
    SHOW(call);                                      \
    show_times(names);                               \
  } while (0)

static int swap(const char* a, const char* b) {
  return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}
static int keep(const char* a, const char* b) {
  return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
}

int main(void) {
  char text[PATH_MAX];
  umask(022);
  /* So many that some are at home at any server. */
  for (int i = 0; i < 8; ++i) {
    char name[32], inner[64];
    snprintf(name, sizeof name, "d%d", i);
    mkdir(name, 0755);
    snprintf(inner, sizeof inner, "%s/f", name);
    touch(inner);
    snprintf(inner, sizeof inner, "%s/sub", name);
    mkdir(inner, 0755);
  }
  touch("d0/sub/inside");
  symlink("f", "d0/l");

  for (int i = 1; i < 8; ++i) {
    char a[32], b[32], c[32];
    snprintf(a, sizeof a, "d%d/f", i - 1);
    snprintf(b, sizeof b, "d%d/f", i);
    const ino_t one = number_of(a), two = number_of(b);
    SHOW(swap(a, b));
    SHOW(number_of(a) == two && number_of(b) == one);
    snprintf(a, sizeof a, "d%d/sub", i - 1);
    snprintf(c, sizeof c, "d%d/sub", i);
    SHOW(swap(a, c));
    SHOW(swap(b, c)); /* a file and a directory */
    SHOW(kind_of(b) == 'd' && kind_of(c) == 'f');
    SHOW(swap(c, b));
  }
  SHOW(links_of("d0"));
  SHOW(links_of("d7"));
  SHOW(kind_of("d7/sub/inside"));
  SHOW(swap("d0", "d0"));
  SHOW(swap("d0", "d0/sub"));
  SHOW(swap("d0/sub", "d0"));
  SHOW(swap("d0/f", "d0"));
  SHOW(swap("d0/f", "missing"));
  SHOW(swap("missing", "d0/f"));
  SHOW(swap("d0/f/", "d1"));
  SHOW(swap("d0", "d1/f/"));
  SHOW(swap("d0/sub/", "d1/sub/"));
  SHOW(swap("d0/l", "d1/f"));
  SHOW(kind_of("d1/f"));
  SHOW(swap("d1/f", "d0/l"));
  SHOW(renameat2(AT_FDCWD, "d0/f", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
  SHOW(renameat2(AT_FDCWD, "d0/f", AT_FDCWD, "x", 64));

  SHOW(keep("d0/f", "d1/f"));
  SHOW(keep("d0/f", "d1/."));
  SHOW(keep("d0/f", "d0/f"));
  SHOW(keep("missing", "d0/f"));
  SHOW(keep("d0/f", "d1/new"));
  SHOW(rename("d1/new", "d0/f"));
  SHOW(rename("d0/f", "d1/."));
  SHOW(rename("d0/.", "d1/x"));
  SHOW(rename("d0/sub/..", "d1/x"));
  SHOW(rename("d0/f/", "d1/f"));
  SHOW(rename("d0/f", "d1/x/"));
  SHOW(rename("d0/f", "d1/sub/"));
  SHOW(rename("missing", "d1/x/"));
  SHOW(rename("d0", "d0/sub/x"));
  SHOW(rename("d0/sub", "d0"));
  SHOW(rename("d0/f", "d0"));
  SHOW(rename("d0", "d0/sub/inside"));
  SHOW(rename("missing/..", "d1/x"));
  SHOW(rename("d0", "d1/f"));
  SHOW(rename("d0/f", "d1"));
  SHOW(rename("d0/sub", "d1"));
  SHOW(rename("d0/sub/", "d1/moved/"));
  SHOW(rename("d1/moved", "d0/sub"));
  SHOW(rename("d0/sub", "d2/sub"));
  SHOW(kind_of("d0/sub"));
  SHOW(links_of("d0"));
  SHOW(links_of("d2"));
  SHOW(links_of("."));

  SHOW(link("d0/f", "d3/g"));
  SHOW(rename("d0/f", "d3/g"));
  SHOW(links_of("d3/g"));
  SHOW(rename("d3/g", "d0/f"));
  SHOW(links_of("d0/f"));
  SHOW(link("d0", "d3/g"));
  SHOW(link("d0", "d3/h"));

  TIMES(rename("d0/f", "d0/h"), "d0", "d0/h");
  TIMES(rename("d0/h", "d4/h"), "d0", "d4", "d0/h");
  TIMES(link("d4/h", "d5/h"), "d4", "d5", "d4/h");
  TIMES(unlink("d5/h"), "d5", "d4/h");
  TIMES(link("d5/f", "f5"), ".", "d5", "d5/f");
  TIMES(rename("d4/h", "d5/f"), "d4", "d5", "f5");
  TIMES(rename("d4/sub", "d5/new"), "d4", "d5");
  TIMES(rename("d5/new", "d6/sub"), "d5", "d6");
  TIMES(swap("d6/sub", "d7/f"), "d6", "d7", "d6/sub", "d7/f");
  TIMES(mkdir("d4/made", 0755), "d4");
  TIMES(rmdir("d4/made"), "d4");

  SHOW(chdir("d7/f"));
  SHOW(rename("../../d7/f", "../../d6/here"));
  SHOW(getcwd(text, sizeof text) != NULL && strcmp(text + strlen(text) - 8, "/d6/here") == 0);
  SHOW(number_of("..") == number_of("../../d6"));
  return 0;
}
