/* What descriptors are for that were opened with O_PATH, O_TMPFILE and their kin. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "show.h"

static char text[PATH_MAX];
static struct stat status;

static void put(const char* name, const char* content) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (write(fd, content, strlen(content)) < 0) perror(name);
  close(fd);
}
static const char* content(const char* name) {
  static char line[100];
  const int fd = open(name, O_RDONLY);
  const ssize_t size = read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  line[size > 0 ? size : 0] = '\0';
  return size < 0 ? "cannot be read" : line;
}
static long links_of(int fd) { return fstat(fd, &status) == 0 ? (long)status.st_nlink : -1; }
static int link_by_number(int fd, const char* name) {
  char from[40];
  snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static void unnamed(const char* directory) {
  printf("in %s\n", directory);
  char name[100];
  int fd = open(directory, O_TMPFILE | O_RDWR, 0640);
  SHOW(fd >= 0);
  SHOW(links_of(fd));
  SHOW(status.st_mode);
  SHOW(write(fd, "unnamed", 7));
  SHOW(pread(fd, text, sizeof text, 0));
  SHOW((fcntl(fd, F_GETFL) & (O_TMPFILE | O_ACCMODE)) == (O_TMPFILE | O_RDWR));
  SHOW(linkat(fd, "", AT_FDCWD, "exists", AT_EMPTY_PATH));
  snprintf(name, sizeof name, "%s/named", directory);
  SHOW(linkat(fd, "", AT_FDCWD, name, AT_EMPTY_PATH));
  SHOW(links_of(fd));
  printf("%s\n", content(name));
  SHOW(link_by_number(fd, "also"));
  SHOW(links_of(fd));
  SHOW(write(fd, " no more", 8));
  printf("%s\n", content("also"));
  SHOW(unlink(name));
  SHOW(unlink("also"));
  SHOW(links_of(fd));
  SHOW(link_by_number(fd, "again"));
  SHOW(pread(fd, text, sizeof text, 0));
  close(fd);

  fd = open(directory, O_TMPFILE | O_WRONLY | O_EXCL, 0600);
  SHOW(linkat(fd, "", AT_FDCWD, name, AT_EMPTY_PATH));
  SHOW(link_by_number(fd, name));
  SHOW(write(fd, "x", 1));
  close(fd);

  fd = open(directory, O_TMPFILE | O_RDWR, 0600);
  SHOW(write(fd, "reopened", 8));
  snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
  printf("%s\n", content(text));
  SHOW(link_by_number(fd, name));
  close(fd);
  printf("%s\n", content(name));
  SHOW(unlink(name));
}

static void by_path(void) {
  int fd = open("file", O_PATH);
  SHOW(fd >= 0);
  SHOW(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE | O_DIRECTORY | O_NOFOLLOW | O_CREAT));
  SHOW(fstat(fd, &status));
  SHOW(status.st_size);
  SHOW(read(fd, text, 1));
  SHOW(write(fd, "x", 1));
  SHOW(ftruncate(fd, 0));
  SHOW(fchmod(fd, 0600));
  SHOW(fchown(fd, (uid_t)-1, (gid_t)-1));
  SHOW(fchownat(fd, "", (uid_t)-1, getgid(), AT_EMPTY_PATH));
  SHOW(lseek(fd, 0, SEEK_SET));
  SHOW(fsync(fd));
  const int copy = dup(fd);
  SHOW(fstat(copy, &status));
  close(copy);
  snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
  SHOW(chmod(text, 0640));
  printf("%s\n", content(text));
  SHOW(linkat(fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH));
  SHOW(unlink("file"));
  SHOW(unlink("linked"));
  SHOW(links_of(fd));
  close(fd);

  fd = open("directory", O_PATH);
  SHOW(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE | O_DIRECTORY));
  SHOW_OK(openat(fd, "inside", O_RDONLY) >= 0);
  SHOW(fstatat(fd, "inside", &status, 0));
  SHOW(mkdirat(fd, "made", 0755));
  const int here = open(".", O_PATH | O_DIRECTORY);
  SHOW(fchdir(fd));
  SHOW(access("inside", R_OK));
  SHOW(fchdir(here));
  SHOW(access("directory/made", X_OK));
  SHOW(rename("directory", "moved"));
  SHOW(fstatat(fd, "inside", &status, 0));
  SHOW(rename("moved", "directory"));
  close(fd);

  fd = open("link", O_PATH | O_NOFOLLOW);
  SHOW(fstat(fd, &status));
  SHOW(S_ISLNK(status.st_mode));
  SHOW(status.st_size);
  const ssize_t size = readlinkat(fd, "", text, sizeof text);
  printf("%.*s\n", (int)size, text);
  SHOW(read(fd, text, 1));
  SHOW_OK(openat(fd, "x", O_RDONLY) >= 0);
  SHOW(fchdir(fd));
  SHOW(unlink("link"));
  SHOW(readlinkat(fd, "", text, sizeof text) == size);
  close(fd);

  const pid_t child = fork();
  if (child == 0) {
    const int script = open("script", O_PATH);
    char* const arguments[] = {"script", NULL};
    char* const environment[] = {NULL};
    fexecve(script, arguments, environment);
    _exit(errno);
  }
  int code = 0;
  waitpid(child, &code, 0);
  SHOW(WEXITSTATUS(code));
}

int main(void) {
  umask(022);
  put("exists", "here");
  put("file", "content");
  mkdir("directory", 0755);
  put("directory/inside", "inside");
  symlink("exists", "link");
  put("script", "#!/bin/true\n");
  chmod("script", 0755);
  unnamed(".");
  /* Elsewhere, wherever that is: other directories may be other servers'. */
  for (int i = 0; i < 6; ++i) {
    snprintf(text, sizeof text, "directory/%d", i);
    char name[100];
    strcpy(name, text);
    mkdir(name, 0755);
    unnamed(name);
  }
  by_path();

  symlink("created", "dangling");
  SHOW_OK(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644) >= 0);
  SHOW(access("created", F_OK));
  SHOW_OK(open("dangling", O_WRONLY | O_CREAT, 0644) >= 0);
  SHOW(access("created", F_OK));
  put("created", "0123456789");
  const int fd = open("created", O_RDONLY | O_TRUNC);
  SHOW(fstat(fd, &status));
  SHOW(status.st_size);
  SHOW_OK(open("created", O_RDONLY | O_NOATIME) >= 0);
  struct stat first, second;
  SHOW(stat("created", &first) + stat("exists", &second));
  SHOW(first.st_dev == second.st_dev && first.st_ino != second.st_ino);
  SHOW(rename("created", "renamed") + stat("renamed", &second));
  SHOW(first.st_dev == second.st_dev && first.st_ino == second.st_ino);
  return 0;
}
