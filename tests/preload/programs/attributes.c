/* Modes, owners, times and blocks: what changes them, and what does not. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "show.h"

static struct stat status;
static char text[100000];

static void put(const char* name, size_t bytes) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (write(fd, text, bytes) != (ssize_t)bytes) perror(name);
  close(fd);
}
static long mode_of(const char* name) {
  return lstat(name, &status) == 0 ? (long)status.st_mode : -1;
}
static long blocks_of(const char* name) { return stat(name, &status) == 0 ? status.st_blocks : -1; }
static long long accessed(const char* name) {
  lstat(name, &status);
  return status.st_atim.tv_sec * 1000000000LL + status.st_atim.tv_nsec;
}
static long long modified(const char* name) {
  lstat(name, &status);
  return status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec;
}
static long long changed(const char* name) {
  lstat(name, &status);
  return status.st_ctim.tv_sec * 1000000000LL + status.st_ctim.tv_nsec;
}

/* The kernel's own clock for files may stand still for some milliseconds. */
static void pause_a_little(void) { usleep(15000); }

/* Whether `accessed` moves when `action` is done. */
#define MOVES(name, action)                                                    \
  do {                                                                         \
    const long long before = accessed(name);                                   \
    pause_a_little();                                                          \
    action;                                                                    \
    printf("%s: %s\n", #action, accessed(name) != before ? "moves" : "stays"); \
    fflush(stdout);                                                            \
  } while (0)

static void read_all(const char* name, int flags) {
  const int fd = open(name, O_RDONLY | flags);
  while (read(fd, text, 5000) > 0) {
  }
  close(fd);
}
static void list(const char* name) {
  DIR* const directory = opendir(name);
  while (readdir(directory) != NULL) {
  }
  closedir(directory);
}
static void set_times(const char* name, long atime, long mtime) {
  const struct timespec times[2] = {{atime, 1}, {mtime, 1}};
  utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW);
}

static void access_times(void) {
  put("f", 10000);
  MOVES("f", read_all("f", 0));
  MOVES("f", read_all("f", 0));
  put("f", 10000);
  MOVES("f", read_all("f", O_NOATIME));
  MOVES("f", read_all("f", 0));
  const int fd = open("f", O_RDWR);
  MOVES("f", pread(fd, text, 10, 0));
  pause_a_little();
  if (pwrite(fd, "x", 1, 0) != 1) perror("f");
  MOVES("f", pread(fd, text, 10, 0));
  MOVES("f", pread(fd, text, 10, 0));
  pause_a_little();
  fchmod(fd, 0600);
  MOVES("f", pread(fd, text, 10, 0));
  MOVES("f", pread(fd, text, 10, 0));
  pause_a_little();
  SHOW(ftruncate(fd, 5000));
  MOVES("f", pread(fd, text, 10, 0));
  set_times("f", 1000000000, 900000000);
  SHOW(accessed("f") / 1000000000);
  MOVES("f", pread(fd, text, 10, 0));
  set_times("f", 4000000000, 900000000);
  MOVES("f", pread(fd, text, 10, 0));
  close(fd);
  MOVES("f", read_all("f", 0));
  SHOW(accessed("f") / 1000000000);
  MOVES("f", stat("f", &status));
  MOVES("f", access("f", R_OK));

  mkdir("d", 0755);
  put("d/x", 1);
  MOVES("d", list("d"));
  MOVES("d", list("d"));
  pause_a_little();
  put("d/y", 1);
  MOVES("d", list("d"));
  MOVES("d", stat("d/y", &status));
  symlink("f", "s");
  MOVES("s", readlink("s", text, sizeof text));
  MOVES("s", readlink("s", text, sizeof text));
  MOVES("s", lstat("s", &status));
}

/* Which of the three times `action` moves. */
#define TIMES(name, action)                                                    \
  do {                                                                         \
    const long long a = accessed(name), m = modified(name), c = changed(name); \
    pause_a_little();                                                          \
    action;                                                                    \
    printf("%s:%s%s%s\n", #action, accessed(name) != a ? " a" : "",            \
           modified(name) != m ? " m" : "", changed(name) != c ? " c" : "");   \
    fflush(stdout);                                                            \
  } while (0)

static void change_times(void) {
  const struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  put("t", 100);
  mkdir("td", 0755);
  TIMES("t", chmod("t", 0644));
  TIMES("t", chown("t", (uid_t)-1, (gid_t)-1));
  TIMES("t", link("t", "t2"));
  TIMES("t", unlink("t2"));
  TIMES("t", setxattr("t", "user.x", "y", 1, 0));
  TIMES("t", removexattr("t", "user.x"));
  TIMES("t", utimensat(AT_FDCWD, "t", omit, 0));
  TIMES("t", utimensat(AT_FDCWD, "t", now, 0));
  TIMES("t", utimensat(AT_FDCWD, "t", NULL, 0));
  TIMES("t", truncate("t", 100));
  TIMES("t", truncate("t", 50));
  TIMES("t", truncate("t", 70));
  int fd = open("t", O_WRONLY);
  TIMES("t", ftruncate(fd, 70));
  TIMES("t", if (write(fd, "x", 1) != 1) perror("t"));
  TIMES("t", if (write(fd, "", 0) != 0) perror("t"));
  TIMES("t", fsync(fd));
  close(fd);
  TIMES("t", close(open("t", O_WRONLY)));
  TIMES("t", close(open("t", O_RDONLY | O_TRUNC)));
  TIMES("t", close(open("t", O_RDONLY | O_TRUNC)));
  TIMES("td", put("td/x", 1));
  TIMES("td", put("td/x", 2));
  TIMES("td", rename("td/x", "td/y"));
  TIMES("td", unlink("td/y"));
  TIMES("td", mkdir("td/d", 0755));
  TIMES("td", rmdir("td/d"));
  TIMES("td", chmod("td", 0700));
  TIMES("td", close(open("td", O_TMPFILE | O_RDWR, 0600)));
}

static void blocks(void) {
  put("dense", 100000);
  SHOW(blocks_of("dense"));
  put("one", 1);
  SHOW(blocks_of("one"));
  put("none", 0);
  SHOW(blocks_of("none"));
  int fd = open("holes", O_RDWR | O_CREAT, 0644);
  for (int i = 0; i < 3; ++i)
    if (pwrite(fd, text, 8192, i * 10000000L / 4096 * 4096) != 8192) perror("holes");
  fsync(fd);
  SHOW(blocks_of("holes"));
  if (pwrite(fd, text, 8192, 4096000) != 8192) perror("holes");
  close(fd);
  SHOW(blocks_of("holes"));
  SHOW(truncate("holes", 5000));
  SHOW(blocks_of("holes"));
  SHOW(truncate("holes", 50000000));
  SHOW(blocks_of("holes"));
  SHOW(status.st_size);
  fd = open("holes", O_WRONLY);
  if (pwrite(fd, text, 4096, 40960000) != 4096) perror("holes");
  close(fd);
  SHOW(blocks_of("holes"));
  SHOW(truncate("holes", 0));
  SHOW(blocks_of("holes"));
  fd = open("empty", O_RDWR | O_CREAT, 0644);
  SHOW(ftruncate(fd, 1000000));
  SHOW(blocks_of("empty"));
  for (long at = 0; at < 1000000; at += 100000)
    if (pwrite(fd, text, 100000, at) != 100000) perror("empty");
  close(fd);
  SHOW(blocks_of("empty") >= 1000000 / 512 && blocks_of("empty") < 1100000 / 512);
  fd = open("appended", O_WRONLY | O_CREAT | O_APPEND, 0644);
  for (int i = 0; i < 10; ++i)
    if (write(fd, text, 1000) != 1000) perror("appended");
  close(fd);
  SHOW(blocks_of("appended"));
}

static void privileges(void) {
  put("p", 10);
  SHOW(chmod("p", 06755));
  SHOW(mode_of("p"));
  int fd = open("p", O_WRONLY);
  if (write(fd, "x", 1) != 1) perror("p");
  SHOW(mode_of("p"));
  fchmod(fd, 06755);
  if (write(fd, "x", 1) != 1) perror("p");
  SHOW(mode_of("p"));
  close(fd);
  chmod("p", 06755);
  SHOW(chown("p", (uid_t)-1, (gid_t)-1));
  SHOW(mode_of("p"));
  chmod("p", 06745);
  SHOW(chown("p", getuid(), getgid()));
  SHOW(mode_of("p"));
  chmod("p", 06755);
  SHOW(truncate("p", 1));
  SHOW(mode_of("p"));
  chmod("p", 06755);
  close(open("p", O_WRONLY | O_TRUNC));
  SHOW(mode_of("p"));
  SHOW(chmod("p", 07777));
  SHOW(mode_of("p"));
  mkdir("shared", 0755);
  SHOW(chmod("shared", 02775));
  SHOW(mkdir("shared/sub", 0755));
  SHOW(mode_of("shared/sub"));
  SHOW(chown("shared", (uid_t)-1, getgid()));
  SHOW(mode_of("shared"));
  put("shared/file", 1);
  SHOW(mode_of("shared/file"));
  SHOW(status.st_gid == getgid());
  SHOW(mkdir("asked", 07777));
  SHOW(mode_of("asked"));
  close(open("made", O_WRONLY | O_CREAT, 06755));
  SHOW(mode_of("made"));
  if (getuid() == 0) { /* others may not give files away */
    SHOW(chown("p", 1234, 5678));
    stat("p", &status);
    printf("%u %u\n", status.st_uid, status.st_gid);
    SHOW(lchown("s", 12, 34));
    lstat("s", &status);
    printf("%u %u\n", status.st_uid, status.st_gid);
    SHOW(chown("shared", (uid_t)-1, 4321));
    put("shared/theirs", 1);
    stat("shared/theirs", &status);
    printf("%u\n", status.st_gid);
    SHOW(mkdir("shared/more", 0755));
    stat("shared/more", &status);
    printf("%u\n", status.st_gid);
  } else {
    SHOW(chown("p", getuid() + 1, (gid_t)-1));
    SHOW(chown("p", (uid_t)-1, 0));
  }
}

int main(void) {
  umask(022);
  memset(text, 'x', sizeof text);
  access_times();
  change_times();
  blocks();
  privileges();
  struct statx extended;
  put("born", 10);
  SHOW(statx(AT_FDCWD, "born", 0, STATX_BASIC_STATS | STATX_BTIME, &extended));
  SHOW((extended.stx_mask & (STATX_BASIC_STATS | STATX_BTIME)) ==
       (STATX_BASIC_STATS | STATX_BTIME));
  const long long born = extended.stx_btime.tv_sec * 1000000000LL + extended.stx_btime.tv_nsec;
  SHOW(born > 0 && born <= modified("born"));
  pause_a_little();
  put("born", 20);
  SHOW(statx(AT_FDCWD, "born", 0, STATX_BTIME, &extended));
  SHOW(extended.stx_btime.tv_sec * 1000000000LL + extended.stx_btime.tv_nsec == born);
  SHOW(stat(".", &status));
  const long links = (long)status.st_nlink;
  SHOW(mkdir("sub", 0755));
  stat(".", &status);
  SHOW((long)status.st_nlink - links);
  stat("sub", &status);
  SHOW((long)status.st_nlink);
  return 0;
}
