/* Directory streams, scandir, walks, glob and the working directory. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

enum { many = 700 };

static int names_seen[many];

static int compare(const void* a, const void* b) {
  return strcmp(*(char* const*)a, *(char* const*)b);
}

static char* lines[4096];
static int line_count;
static int keep(const char* path, const struct stat* status, int type, struct FTW* where) {
  char line[PATH_MAX];
  snprintf(line, sizeof line, "%s type %d level %d base %s size %ld", path, type, where->level,
           path + where->base, type == FTW_F ? (long)status->st_size : 0);
  lines[line_count++] = strdup(line);
  return 0;
}
static int keep_plain(const char* path, const struct stat* status, int type) {
  struct FTW where = {0, 0};
  return keep(path, status, type, &where);
}
static void print_sorted(const char* title) {
  printf("%s\n", title);
  qsort(lines, (size_t)line_count, sizeof *lines, compare);
  for (int i = 0; i < line_count; ++i) printf("  %s\n", lines[i]);
  line_count = 0;
}
static int only_b(const struct dirent* entry) { return entry->d_name[0] == 'b'; }
static void where(const char* what, const char* base) {
  char text[PATH_MAX];
  printf("%s: %s\n", what,
         getcwd(text, sizeof text) != NULL && strncmp(text, base, strlen(base)) == 0
             ? text + strlen(base)
             : "elsewhere");
}

/* What is left of a directory that somebody has open. */
static void removed_while_open(void) {
  SHOW(mkdir("gone", 0755));
  const int fd = open("gone", O_RDONLY | O_DIRECTORY);
  SHOW(rmdir("gone"));
  struct stat status;
  SHOW(fstat(fd, &status));
  printf("links %ju\n", (uintmax_t)status.st_nlink);
  SHOW(fchmod(fd, 0711));
  const struct timespec times[2] = {{.tv_sec = 100}, {.tv_sec = 200}};
  SHOW(futimens(fd, times));
  SHOW(fstatat(fd, ".", &status, 0));
  printf("mode %o, modified %jd\n", status.st_mode & 07777, (intmax_t)status.st_mtime);
  SHOW(mkdirat(fd, "below", 0755));
  SHOW(symlinkat("a", fd, "link"));
  SHOW(symlinkat("a", fd, "."));
  SHOW(renameat(fd, "none", AT_FDCWD, "t/b/c"));
  SHOW(faccessat(fd, "none", F_OK, 0));
  const int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
  SHOW(mkdirat(up, "gone", 0755));
  SHOW(rmdir("gone"));
  DIR* const dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY));
  errno = 0;
  SHOW(readdir(dir) == NULL);
  printf("errno %d\n", errno);
  closedir(dir);
  const struct timespec omitted[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
  const int path = open("..", O_PATH);
  SHOW(futimens(path, omitted));
  SHOW(futimens(path, NULL));
  close(path);
  close(up);
  close(fd);
}

int main(void) {
  char base[PATH_MAX], text[PATH_MAX];
  if (getcwd(base, sizeof base) == NULL) return 1;
  SHOW(mkdir("many", 0755));
  for (int i = 0; i < many; ++i) {
    snprintf(text, sizeof text, "many/%d", i);
    close(open(text, O_WRONLY | O_CREAT, 0644));
  }
  DIR* dir = opendir("many");
  SHOW_OK(dir != NULL);
  int count = 0, dots = 0, types = 0;
  long middle = 0;
  char next[256] = "";
  for (struct dirent* e = readdir(dir); e != NULL; e = readdir(dir)) {
    if (e->d_name[0] == '.') {
      ++dots;
      continue;
    }
    types += e->d_type == DT_REG || e->d_type == DT_UNKNOWN;
    names_seen[atoi(e->d_name)]++;
    if (++count == many / 2) {
      middle = telldir(dir);
      strcpy(next, readdir(dir)->d_name);
      seekdir(dir, middle);
    }
  }
  int once = 0;
  for (int i = 0; i < many; ++i) once += names_seen[i] == 1;
  printf("%d entries, %d once, %d dots, %d types\n", count, once, dots, types);
  seekdir(dir, middle);
  printf("seekdir %d\n", strcmp(readdir(dir)->d_name, next));
  /* Removing what was listed does not disturb the rest. */
  rewinddir(dir);
  count = 0;
  for (struct dirent* e = readdir(dir); e != NULL; e = readdir(dir)) {
    if (e->d_name[0] == '.') continue;
    ++count;
    snprintf(text, sizeof text, "many/%s", e->d_name);
    if (unlink(text) != 0) printf("unlink %s\n", strerrorname_np(errno));
  }
  printf("%d removed\n", count);
  struct stat status;
  SHOW(fstat(dirfd(dir), &status));
  SHOW(S_ISDIR(status.st_mode));
  SHOW(closedir(dir));
  SHOW(rmdir("many"));
  SHOW_OK(opendir("missing") != NULL);
  removed_while_open();

  for (const char* const* name = (const char* const[]){"t", "t/a", "t/a/x", "t/b", NULL};
       *name != NULL; ++name)
    SHOW(mkdir(*name, 0755));
  for (const char* const* name =
           (const char* const[]){"t/f1", "t/a/f2", "t/a/x/f3", "t/bc", "t/be", NULL};
       *name != NULL; ++name)
    close(open(*name, O_WRONLY | O_CREAT, 0644));
  SHOW(symlink("a", "t/link"));
  SHOW(symlink("none", "t/broken"));
  SHOW_OK(opendir("t/f1") != NULL);
  const int fd = open("t", O_RDONLY | O_DIRECTORY);
  dir = fdopendir(fd);
  SHOW(dirfd(dir) == fd);
  count = 0;
  while (readdir(dir) != NULL) ++count;
  printf("%d in t\n", count);
  closedir(dir);
  SHOW(fcntl(fd, F_GETFD));
  const int file = open("t/f1", O_RDONLY);
  SHOW_OK(fdopendir(file) != NULL);

  struct dirent** list = NULL;
  const int found = scandir("t", &list, only_b, alphasort);
  for (int i = 0; i < found; ++i) printf("scandir %s\n", list[i]->d_name);
  SHOW(scandir("missing", &list, NULL, NULL));
  SHOW(scandir("t/f1", &list, NULL, NULL));

  SHOW(nftw("t", keep, 16, FTW_PHYS));
  print_sorted("nftw physical");
  SHOW(nftw("t", keep, 16, FTW_PHYS | FTW_DEPTH));
  print_sorted("nftw depth");
  SHOW(nftw("missing", keep, 16, 0));
  SHOW(ftw("t/b", keep_plain, 16));
  print_sorted("ftw");
  glob_t matches;
  SHOW(glob("t/*", 0, NULL, &matches));
  for (size_t i = 0; i < matches.gl_pathc; ++i) printf("glob %s\n", matches.gl_pathv[i]);
  globfree(&matches);
  snprintf(text, sizeof text, "%.3000s/t/?/f*", base);
  SHOW(glob(text, GLOB_MARK, NULL, &matches));
  for (size_t i = 0; i < matches.gl_pathc; ++i)
    printf("glob %s\n", matches.gl_pathv[i] + strlen(base));
  globfree(&matches);
  SHOW(glob("t/none*", 0, NULL, &matches));

  SHOW(chdir("t"));
  where("chdir", base);
  SHOW(chdir("a/x"));
  where("deeper", base);
  SHOW(access("f3", F_OK));
  SHOW(chdir("../.."));
  where("up", base);
  SHOW(chdir("link"));
  where("by link", base);
  SHOW(chdir("missing"));
  SHOW(chdir("f2"));
  SHOW(chdir(".."));
  const int here = open(".", O_RDONLY | O_DIRECTORY);
  SHOW(chdir("/"));
  where("root", base);
  SHOW(access("f1", F_OK));
  SHOW(fchdir(here));
  where("fchdir", base);
  SHOW(fchdir(file));
  SHOW_OK(getcwd(text, 1) != NULL);
  char* allocated = getcwd(NULL, 0);
  SHOW_OK(allocated != NULL && strcmp(allocated + strlen(base), "/t") == 0);
  free(allocated);
  allocated = get_current_dir_name();
  SHOW_OK(allocated != NULL);
  free(allocated);
  SHOW(system("test -e f1"));
  SHOW(mkdir("gone", 0755));
  SHOW(chdir("gone"));
  SHOW(rmdir("../gone"));
  SHOW_OK(getcwd(text, sizeof text) != NULL);
  SHOW(stat(".", &status));
  SHOW(status.st_nlink);
  SHOW_OK(S_ISDIR(status.st_mode));
  SHOW(access(".", R_OK));
  SHOW(stat("f", &status));
  SHOW(open("f", O_CREAT | O_WRONLY, 0644));
  SHOW(mkdir("d", 0755));
  SHOW(stat("..", &status));
  SHOW(chdir(".."));
  where("back", base);
  SHOW(mkdir("gone", 0750));
  const int gone = open("gone", O_RDONLY | O_DIRECTORY);
  SHOW(rmdir("gone"));
  SHOW(fstat(gone, &status));
  SHOW(status.st_nlink);
  SHOW(status.st_mode & 07777);
  SHOW(fstatat(gone, "", &status, AT_EMPTY_PATH));
  SHOW(openat(gone, "f", O_CREAT | O_WRONLY, 0644));
  SHOW(fsync(gone));
  SHOW(close(gone));
  return 0;
}
