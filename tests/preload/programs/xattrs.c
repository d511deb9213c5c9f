/* Extended attributes. With an argument: what a plain directory need not have (large values) or
   answers otherwise (names of others than users). */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "show.h"

static int by_name(const void* a, const void* b) {
  return strcmp(*(const char* const*)a, *(const char* const*)b);
}

/* The names, in order: filesystems have orders of their own. Not those a security module adds. */
static void list(const char* title, char* names, ssize_t bytes) {
  const char* sorted[100];
  size_t count = 0;
  for (ssize_t at = 0; at < bytes; at += (ssize_t)strlen(names + at) + 1)
    if (strncmp(names + at, "user.", 5) == 0) sorted[count++] = names + at;
  qsort(sorted, count, sizeof *sorted, by_name);
  printf("%s:", title);
  for (size_t i = 0; i < count; ++i) printf(" %s", sorted[i]);
  printf("\n");
  fflush(stdout);
}

static struct timespec changed(const char* name) {
  struct stat status;
  lstat(name, &status);
  return status.st_ctim;
}
static int later(struct timespec a, struct timespec b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static void beyond(void) {
  static char big[65537], out[65537];
  memset(big, 'x', sizeof big);
  const int largest = setxattr("f", "user.big", big, 65536, 0);
  const int more = setxattr("f", "user.big", big, 65537, 0) == 0 ? 0 : errno;
  const ssize_t read = getxattr("f", "user.big", out, sizeof out);
  char name[260];
  int full = 0;
  for (int i = 0; i < 300 && full == 0; ++i) { /* names of 256 bytes with their ends: 256 fit */
    snprintf(name, sizeof name, "user.%0250d", i);
    if (setxattr("d", name, "", 0, 0) != 0) full = i == 256 ? errno : -i;
  }
  printf("65536 bytes: %d, %s above, %zd read, lists %s\n", largest, strerrorname_np(more),
         memcmp(big, out, 65536) == 0 ? read : -1, full > 0 ? strerrorname_np(full) : "end early");
  if (listxattr("d", out, sizeof out) != 65536) printf("the list has not 65536 bytes\n");
  SHOW(setxattr("f", "trusted.x", "y", 1, 0));
  SHOW(setxattr("f", "security.x", "y", 1, 0));
  SHOW(getxattr("f", "security.x", NULL, 0));
  SHOW(setxattr("f", "system.posix_acl_access", "y", 1, 0));
  SHOW(getxattr("f", "system.posix_acl_default", NULL, 0));
  SHOW(getxattr("missing", "system.posix_acl_access", NULL, 0));
}

int main(int argc, char** argv) {
  (void)argv;
  char text[1024] = "";
  void* volatile const null = NULL; /* which the compiler does not see */
  const int fd = open("f", O_RDWR | O_CREAT, 0644);
  mkdir("d", 0755);
  symlink("f", "s");
  symlink("nowhere", "broken");
  if (argc > 1) {
    beyond();
    return 0;
  }
  SHOW(getxattr("f", "user.a", text, sizeof text));
  SHOW(setxattr("f", "user.a", "one", 3, 0));
  SHOW(getxattr("f", "user.a", text, sizeof text));
  printf("%.3s\n", text);
  SHOW(getxattr("f", "user.a", NULL, 0));
  SHOW(getxattr("f", "user.a", text, 2));
  SHOW(getxattr("f", "user.a", text, 3));
  SHOW(setxattr("f", "user.a", "other", 5, XATTR_CREATE));
  SHOW(setxattr("f", "user.b", "other", 5, XATTR_REPLACE));
  SHOW(setxattr("f", "user.b", "other", 5, XATTR_CREATE));
  SHOW(setxattr("f", "user.b", "more", 4, XATTR_REPLACE));
  SHOW(setxattr("f", "user.b", "more", 4, 8));
  SHOW(setxattr("f", "user.b", "more", 4, XATTR_CREATE | XATTR_REPLACE));
  SHOW(setxattr("f", "user.c", "more", 4, XATTR_CREATE | XATTR_REPLACE));
  SHOW(getxattr("f", "user.b", text, sizeof text));
  printf("%.4s\n", text);
  SHOW(setxattr("f", "user.empty", "", 0, 0));
  SHOW(setxattr("f", "user.empty", NULL, 0, 0));
  SHOW(getxattr("f", "user.empty", text, sizeof text));
  SHOW(setxattr("f", "user.a\xff\n", "\0x\0", 3, 0));
  SHOW(getxattr("f", "user.a\xff\n", text, sizeof text));
  printf("%d %d %d\n", text[0], text[1], text[2]);
  list("f", text, listxattr("f", text, sizeof text));
  SHOW(listxattr("f", NULL, 0) > 0);
  SHOW(listxattr("f", text, 3));
  SHOW(removexattr("f", "user.a\xff\n"));
  SHOW(removexattr("f", "user.a\xff\n"));
  SHOW(removexattr("f", "user.none"));
  list("f", text, listxattr("f", text, sizeof text));

  char name[300] = "user.";
  memset(name + 5, 'n', 250);
  SHOW(setxattr("f", name, "x", 1, 0));
  SHOW(getxattr("f", name, text, sizeof text));
  SHOW(removexattr("f", name));
  name[255] = 'n';
  SHOW(setxattr("f", name, "x", 1, 0));
  SHOW(getxattr("f", name, text, sizeof text));
  SHOW(removexattr("f", name));
  SHOW(setxattr("f", "", "x", 1, 0));
  SHOW(getxattr("f", "", NULL, 0));
  SHOW(setxattr("f", "user.", "x", 1, 0));
  SHOW(setxattr("f", "user", "x", 1, 0));
  SHOW(setxattr("f", "other.x", "x", 1, 0));
  SHOW(getxattr("f", "other.x", NULL, 0));
  SHOW(removexattr("f", "other.x"));
  SHOW(setxattr("f", null, "x", 1, 0));
  SHOW(setxattr("f", "user.x", null, 1, 0));
  SHOW(setxattr(null, "user.x", "x", 1, 0));
  SHOW(setxattr("missing", "user.x", "x", 1, 0));
  SHOW(getxattr("missing", "user.x", NULL, 0));
  SHOW(listxattr("missing", NULL, 0));
  SHOW(removexattr("missing", "user.x"));
  SHOW(getxattr("f/x", "user.x", NULL, 0));

  SHOW(setxattr("s", "user.by_link", "x", 1, 0));
  SHOW(getxattr("f", "user.by_link", NULL, 0));
  SHOW(lgetxattr("s", "user.by_link", NULL, 0));
  SHOW(lsetxattr("s", "user.x", "x", 1, 0));
  SHOW(lremovexattr("s", "user.x"));
  list("s", text, llistxattr("s", text, sizeof text));
  SHOW(setxattr("broken", "user.x", "x", 1, 0));
  SHOW(lgetxattr("f", "user.by_link", NULL, 0));
  SHOW(lremovexattr("f", "user.by_link"));
  SHOW(setxattr("d", "user.on_directory", "yes", 3, 0));
  SHOW(getxattr("d/.", "user.on_directory", text, sizeof text));
  const int directory = open("d", O_RDONLY | O_DIRECTORY);
  list("d", text, flistxattr(directory, text, sizeof text));

  SHOW(fsetxattr(fd, "user.fd", "value", 5, 0));
  SHOW(fgetxattr(fd, "user.fd", text, sizeof text));
  SHOW(fgetxattr(fd, "user.none", text, sizeof text));
  list("fd", text, flistxattr(fd, text, sizeof text));
  SHOW(fremovexattr(fd, "user.fd"));
  SHOW(fremovexattr(fd, "user.fd"));
  SHOW(fsetxattr(999, "user.fd", "value", 5, 0));
  const int by_path = open("f", O_PATH);
  SHOW(fgetxattr(by_path, "user.a", text, sizeof text));
  SHOW(fsetxattr(by_path, "user.a", "x", 1, 0));

  struct timespec before = changed("f");
  usleep(20000);
  SHOW(setxattr("f", "user.a", "two", 3, 0));
  SHOW(later(changed("f"), before));
  before = changed("f");
  usleep(20000);
  SHOW(getxattr("f", "user.a", text, sizeof text));
  SHOW(later(changed("f"), before));
  SHOW(removexattr("f", "user.a"));
  SHOW(later(changed("f"), before));

  SHOW(link("f", "hard"));
  SHOW(setxattr("hard", "user.name", "shared", 6, 0));
  SHOW(rename("f", "renamed"));
  SHOW(getxattr("renamed", "user.name", NULL, 0));
  SHOW(unlink("renamed"));
  SHOW(unlink("hard"));
  SHOW(fgetxattr(fd, "user.name", text, sizeof text));
  SHOW(fsetxattr(fd, "user.after", "x", 1, 0));
  return 0;
}
