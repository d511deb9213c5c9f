/* Names, attributes and the *at calls: results and errors. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "show.h"

static void touch(const char* name) { close(open(name, O_WRONLY | O_CREAT, 0644)); }
static long mode_of(const char* name) {
  struct stat status;
  return lstat(name, &status) == 0 ? (long)status.st_mode : -1;
}
static long links_of(const char* name) {
  struct stat status;
  return stat(name, &status) == 0 ? (long)status.st_nlink : -1;
}
static void times(const char* name) {
  struct stat status;
  if (lstat(name, &status) != 0) return;
  printf("%s: %ld.%09ld %ld.%09ld\n", name, (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
         (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

int main(void) {
  char text[PATH_MAX];
  char name[300];
  umask(022);
  SHOW(mkdir("d", 0777));
  SHOW(mode_of("d"));
  SHOW(mkdir("d", 0777));
  SHOW(mkdir("missing/d", 0777));
  SHOW(mkdir("d/../e/", 0700));
  SHOW(mkdir("", 0777));
  SHOW(mkdir(".", 0777));
  SHOW(umask(077));
  touch("private");
  SHOW(mode_of("private"));
  SHOW(umask(022));
  touch("f");
  SHOW(mkdir("f/x", 0777));
  SHOW(open("f/", O_RDONLY));
  SHOW(open("f", O_RDONLY | O_DIRECTORY));
  SHOW(open("d", O_WRONLY));
  SHOW(open("new/", O_WRONLY | O_CREAT, 0644));
  SHOW(open("missing", O_RDONLY));
  SHOW(open("missing/x", O_WRONLY | O_CREAT, 0644));
  SHOW(open("", O_RDONLY));
  memset(name, 'n', sizeof name);
  name[256] = '\0';
  SHOW(open(name, O_WRONLY | O_CREAT, 0644));
  name[255] = '\0';
  SHOW_OK(open(name, O_WRONLY | O_CREAT, 0644) >= 0);
  SHOW(unlink(name));

  SHOW(symlink("f", "s"));
  SHOW(symlink("f", "s"));
  SHOW(symlink("nowhere", "broken"));
  SHOW(symlink("loop", "loop"));
  SHOW(symlink("", "empty"));
  SHOW(symlink("d", "sd"));
  SHOW(readlink("s", text, sizeof text));
  SHOW(readlink("s", text, 0));
  SHOW(readlink("broken", text, 3));
  SHOW(strncmp(text, "now", 3) != 0);
  SHOW(readlink("f", text, sizeof text));
  SHOW(readlink("missing", text, sizeof text));
  SHOW(open("loop", O_RDONLY));
  SHOW(open("broken", O_RDONLY));
  SHOW(open("s", O_RDONLY | O_NOFOLLOW));
  SHOW_OK(open("broken", O_WRONLY | O_CREAT, 0644) >= 0);
  SHOW(mode_of("nowhere"));
  SHOW(open("broken", O_WRONLY | O_CREAT | O_EXCL, 0644));
  SHOW(mode_of("s"));
  touch("sd/inside");
  SHOW(mode_of("d/inside"));

  SHOW(link("f", "g"));
  SHOW(links_of("f"));
  SHOW(link("f", "g"));
  SHOW(link("d", "dd"));
  SHOW(link("missing", "x"));
  SHOW(link("s", "ls"));
  SHOW(mode_of("ls"));
  SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "lf", AT_SYMLINK_FOLLOW));
  SHOW(mode_of("lf"));
  SHOW(links_of("f"));

  SHOW(rename("g", "h"));
  SHOW(mode_of("g"));
  SHOW(rename("missing", "x"));
  SHOW(rename("h", "d"));
  SHOW(rename("d", "h"));
  SHOW(rename("h", "d/h"));
  SHOW(rename("d/h", "lf"));
  SHOW(links_of("f"));
  SHOW(rename("f", "f"));
  SHOW(renameat2(AT_FDCWD, "f", AT_FDCWD, "lf", RENAME_NOREPLACE));

  SHOW(rmdir("f"));
  SHOW(rmdir("d"));
  SHOW(rmdir("missing"));
  SHOW(rmdir("."));
  SHOW(rmdir("e/."));
  SHOW(unlink("d"));
  SHOW(unlink("missing"));
  SHOW(unlink("f/"));
  SHOW(rmdir("sd"));
  SHOW(unlink("sd"));
  SHOW(remove("e"));
  SHOW(remove("broken"));
  SHOW(remove("missing"));

  SHOW(access("f", R_OK | W_OK));
  SHOW(access("f", X_OK));
  SHOW(access("missing", F_OK));
  SHOW(access("f", 77));
  SHOW(access("d", X_OK));
  SHOW(euidaccess("f", R_OK));
  SHOW(eaccess("missing", F_OK));
  SHOW(faccessat(AT_FDCWD, "s", F_OK, AT_SYMLINK_NOFOLLOW));
  SHOW(chmod("f", 0751));
  SHOW(mode_of("f"));
  SHOW(access("f", X_OK));
  SHOW(chmod("missing", 0700));
  SHOW(fchmodat(AT_FDCWD, "f", 0600, 0));
  SHOW(mode_of("f"));
  SHOW(chown("f", (uid_t)-1, (gid_t)-1));
  SHOW(lchown("s", (uid_t)-1, (gid_t)-1));

  const struct timespec set[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
  SHOW(utimensat(AT_FDCWD, "f", set, 0));
  times("f");
  const struct timespec omit[2] = {{0, UTIME_OMIT}, {1200000000, 5}};
  SHOW(utimensat(AT_FDCWD, "f", omit, 0));
  times("f");
  SHOW(utimensat(AT_FDCWD, "s", set, AT_SYMLINK_NOFOLLOW));
  times("s");
  const struct timespec wrong[2] = {{0, -5}, {0, 0}};
  SHOW(utimensat(AT_FDCWD, "f", wrong, 0));
  const struct timeval micro[2] = {{900000000, 1}, {900000001, 2}};
  SHOW(utimes("f", micro));
  times("f");
  SHOW(lutimes("s", micro));
  times("s");
  const struct utimbuf plain = {800000000, 800000001};
  SHOW(utime("f", &plain));
  times("f");
  int fd = open("f", O_RDWR);
  SHOW(futimens(fd, set));
  SHOW(fchmod(fd, 0644));
  SHOW(fchown(fd, (uid_t)-1, (gid_t)-1));
  times("f");
  SHOW(utimensat(AT_FDCWD, "missing", NULL, 0));

  const int dir = open("d", O_RDONLY | O_DIRECTORY);
  SHOW_OK(openat(dir, "inside", O_RDONLY) >= 0);
  SHOW(openat(dir, "../missing", O_RDONLY));
  SHOW_OK(openat(dir, "../f", O_RDONLY) >= 0);
  SHOW(openat(fd, "x", O_RDONLY));
  SHOW(openat(999, "x", O_RDONLY));
  SHOW(mkdirat(dir, "sub", 0755));
  SHOW(symlinkat("sub", dir, "to_sub"));
  SHOW(readlinkat(dir, "to_sub", text, sizeof text));
  SHOW(renameat(dir, "inside", AT_FDCWD, "outside"));
  SHOW(linkat(AT_FDCWD, "outside", dir, "linked", 0));
  SHOW(fchmodat(dir, "linked", 0640, 0));
  struct stat status;
  SHOW(fstatat(dir, "linked", &status, 0));
  SHOW(status.st_mode);
  SHOW(fstatat(dir, "", &status, 0));
  SHOW(fstatat(dir, "", &status, AT_EMPTY_PATH));
  SHOW(S_ISDIR(status.st_mode));
  SHOW(fstatat(fd, "", &status, AT_EMPTY_PATH));
  SHOW(S_ISREG(status.st_mode));
  SHOW(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH));
  SHOW(fstatat(dir, "linked", &status, 0x40000000));
  struct statx extended;
  SHOW(statx(dir, "linked", 0, STATX_BASIC_STATS, &extended));
  SHOW(extended.stx_nlink);
  SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended));
  SHOW(unlinkat(dir, "linked", 0));
  SHOW(unlinkat(dir, "sub", 0));
  SHOW(unlinkat(dir, "sub", AT_REMOVEDIR));
  SHOW(read(dir, text, 10));
  SHOW(write(dir, text, 10));
  SHOW(ftruncate(dir, 10));
  SHOW(fsync(dir));
  struct statfs filesystem;
  struct statvfs portable;
  SHOW(statfs("f", &filesystem));
  SHOW(fstatfs(fd, &filesystem));
  SHOW(statvfs(".", &portable));
  SHOW(portable.f_namemax);
  SHOW(statfs("missing", &filesystem));
  SHOW(pathconf("f", _PC_NAME_MAX));
  SHOW(fpathconf(fd, _PC_PATH_MAX));
  SHOW(fstat(999, &status));

  SHOW_OK(realpath("d/../s", text) != NULL);
  SHOW_OK(strcmp(strrchr(text, '/'), "/f") == 0);
  SHOW_OK(realpath("missing", text) != NULL);
  SHOW_OK(realpath("missing/x", text) != NULL);
  SHOW_OK(realpath("f/x", text) != NULL);
  SHOW_OK(realpath("loop", text) != NULL);

  char from[] = "tmp.XXXXXX", bad[] = "tmp.XXX", with[] = "tmp.XXXXXX.c", made[] = "dir.XXXXXX";
  fd = mkstemp(from);
  SHOW_OK(fd >= 0);
  SHOW(mode_of(from));
  SHOW(unlink(from));
  SHOW(mkstemp(bad));
  SHOW_OK(mkostemps(with, 2, O_CLOEXEC) >= 0);
  SHOW(unlink(with));
  SHOW_OK(mkdtemp(made) != NULL);
  SHOW(mode_of(made));
  SHOW(rmdir(made));
  SHOW(rename("/proc/self/stat", "there"));
  SHOW(rename("f", "/proc/self/stat"));
  SHOW(link("/proc/self/stat", "there"));
  return 0;
}
