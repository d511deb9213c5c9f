/* What each call says to each kind of name and descriptor: a table of calls, a table of names, one
   line for each pair. The tree is made anew after every call that may have changed what others see
   of it. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "show.h"

static char text[PATH_MAX + 100];
static struct stat status;
static struct statx extended;
static struct statfs filesystem;

/* --- the tree -------------------------------------------------------------------------------- */

static void file(const char* name) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, "content", 7) != 7) perror(name);
  close(fd);
}

static void remove_tree(const char* name) {
  if (lstat(name, &status) != 0) return;
  if (S_ISDIR(status.st_mode)) {
    chmod(name, 0700);
    DIR* const directory = opendir(name);
    char inside[PATH_MAX];
    for (struct dirent* entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      snprintf(inside, sizeof inside, "%s/%s", name, entry->d_name);
      remove_tree(inside);
    }
    closedir(directory);
    rmdir(name);
  } else {
    unlink(name);
  }
}

static void make_tree(void) {
  mkdir("tree", 0755);
  if (chdir("tree") != 0) perror("tree");
  file("file");
  file("other");
  mkdir("empty", 0755);
  mkdir("empty2", 0755);
  mkdir("full", 0755);
  file("full/file");
  mkdir("full/sub", 0755);
  file("full/sub/file");
  symlink("file", "to_file");
  symlink("empty", "to_empty");
  symlink("full", "to_full");
  symlink("nowhere", "dangling");
  symlink("missing/x", "lost");
  symlink("loop", "loop");
  mkdir("closed", 0755); /* to all but root */
  file("closed/file");
  chmod("closed", 0);
  file("secret");
  chmod("secret", 0);
  file("read_only");
  chmod("read_only", 0444);
  mkdir("fixed", 0755);
  file("fixed/file");
  chmod("fixed", 0555);
}

static void renew(void) {
  if (chdir("..") != 0) perror("..");
  remove_tree("tree");
  make_tree();
}

/* --- names ----------------------------------------------------------------------------------- */

static char long_name[300], long_path[PATH_MAX + 50], deep_path[PATH_MAX];
static char long_absolute[PATH_MAX + 50], deep_absolute[PATH_MAX];

struct name {
  const char* label;
  const char* path;
};
static const struct name names[] = {
    {"file", "file"},
    {"missing", "missing"},
    {"missing/x", "missing/x"},
    {"file/x", "file/x"},
    {"file/", "file/"},
    {"file/.", "file/."},
    {"empty", "empty"},
    {"empty/", "empty/"},
    {"empty/.", "empty/."},
    {"full", "full"},
    {"full/..", "full/.."},
    {"full/sub/../file", "full/sub/../file"},
    {"full//file", "full//file"},
    {"missing/", "missing/"},
    {"no name", ""},
    {".", "."},
    {"to_file", "to_file"},
    {"to_file/", "to_file/"},
    {"to_empty", "to_empty"},
    {"to_empty/", "to_empty/"},
    {"to_full/file", "to_full/file"},
    {"dangling", "dangling"},
    {"dangling/", "dangling/"},
    {"dangling/x", "dangling/x"},
    {"lost", "lost"},
    {"loop", "loop"},
    {"loop/x", "loop/x"},
    {"256 bytes", long_name},
    {"4096 bytes", long_path},
    {"4095 bytes", deep_path},
    {"absolute, 4096 bytes", long_absolute},
    {"absolute, 4095 bytes", deep_absolute},
    {"closed", "closed"},
    {"closed/file", "closed/file"},
    {"closed/missing", "closed/missing"},
    {"secret", "secret"},
    {"read_only", "read_only"},
    {"fixed/file", "fixed/file"},
    {"fixed/missing", "fixed/missing"},
    {"null", NULL},
};

/* --- calls that take one name ------------------------------------------------------------------
 */

static int opened(int fd) {
  if (fd >= 0) close(fd);
  return fd < 0 ? -1 : 0;
}
static int read_open(const char* p) { return opened(open(p, O_RDONLY)); }
static int write_open(const char* p) { return opened(open(p, O_WRONLY)); }
static int both_open(const char* p) { return opened(open(p, O_RDWR)); }
static int truncate_open(const char* p) { return opened(open(p, O_RDONLY | O_TRUNC)); }
static int create_open(const char* p) { return opened(open(p, O_WRONLY | O_CREAT, 0644)); }
static int create_to_read(const char* p) { return opened(open(p, O_RDONLY | O_CREAT, 0644)); }
static int exclusive_open(const char* p) {
  return opened(open(p, O_WRONLY | O_CREAT | O_EXCL, 0644));
}
static int directory_open(const char* p) { return opened(open(p, O_RDONLY | O_DIRECTORY)); }
static int nofollow_open(const char* p) { return opened(open(p, O_RDONLY | O_NOFOLLOW)); }
static int nofollow_create(const char* p) {
  return opened(open(p, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
}
static int path_open(const char* p) { return opened(open(p, O_PATH)); }
static int path_nofollow_open(const char* p) { return opened(open(p, O_PATH | O_NOFOLLOW)); }
static int path_directory_open(const char* p) {
  return opened(open(p, O_PATH | O_NOFOLLOW | O_DIRECTORY));
}
static int unnamed_open(const char* p) { return opened(open(p, O_TMPFILE | O_RDWR, 0600)); }
static int noatime_open(const char* p) { return opened(open(p, O_RDONLY | O_NOATIME)); }
static int call_stat(const char* p) { return stat(p, &status); }
static int call_lstat(const char* p) { return lstat(p, &status); }
static int call_statx(const char* p) { return statx(AT_FDCWD, p, 0, STATX_ALL, &extended); }
static int call_statfs(const char* p) { return statfs(p, &filesystem); }
static int exists(const char* p) { return access(p, F_OK); }
static int readable(const char* p) { return access(p, R_OK); }
static int writable(const char* p) { return access(p, W_OK); }
static int executable(const char* p) { return access(p, X_OK); }
static int effectively(const char* p) {
  return faccessat(AT_FDCWD, p, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW);
}
static int call_chmod(const char* p) { return chmod(p, 0700); }
static int call_chown(const char* p) { return chown(p, getuid(), (gid_t)-1); }
static int call_lchown(const char* p) { return lchown(p, (uid_t)-1, getgid()); }
static int call_utimensat(const char* p) {
  const struct timespec times[2] = {{1, 2}, {3, 4}};
  return utimensat(AT_FDCWD, p, times, AT_SYMLINK_NOFOLLOW);
}
static int touch(const char* p) { return utimensat(AT_FDCWD, p, NULL, 0); }
static int omit(const char* p) {
  const struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  return utimensat(AT_FDCWD, p, times, 0);
}
static int call_truncate(const char* p) { return truncate(p, 3); }
static int negative_truncate(const char* p) { return truncate(p, -1); }
static int call_mkdir(const char* p) { return mkdir(p, 0755); }
static int call_rmdir(const char* p) { return rmdir(p); }
static int call_unlink(const char* p) { return unlink(p); }
static int call_remove(const char* p) { return remove(p); }
static int call_mknod(const char* p) { return mknod(p, S_IFREG | 0644, 0); }
static int call_symlink(const char* p) { return symlink("target", p); }
static int call_readlink(const char* p) { return readlink(p, text, sizeof text) < 0 ? -1 : 0; }
static int call_chdir(const char* p) {
  const int here = open(".", O_RDONLY | O_DIRECTORY);
  const int result = chdir(p), error = errno;
  if (result == 0 && fchdir(here) != 0) perror("fchdir");
  close(here);
  errno = error;
  return result;
}
static int call_opendir(const char* p) {
  if (p == NULL) return read_open(p); /* libc's opendir looks at it */
  DIR* const directory = opendir(p);
  if (directory == NULL) return -1;
  closedir(directory);
  return 0;
}
static int call_realpath(const char* p) {
  if (p != NULL && strlen(p) >= PATH_MAX) p = long_path + 1; /* libc takes longer ones to pieces */
  return realpath(p, text) == NULL ? -1 : 0;
}
static int call_pathconf(const char* p) {
  return pathconf(p == NULL ? "" : p, _PC_NAME_MAX) < 0 ? -1 : 0;
}
static int rename_from(const char* p) { return rename(p, "new"); }
static int rename_to(const char* p) { return rename("file", p); }
static int rename_directory_to(const char* p) { return rename("empty2", p); }
static int rename_new(const char* p) {
  return renameat2(AT_FDCWD, "other", AT_FDCWD, p, RENAME_NOREPLACE);
}
static int rename_out(const char* p) { return rename(p, "/dev/benchfs-errnos"); }
static int rename_in(const char* p) { return rename("/dev/null", p); }
static int link_from(const char* p) { return link(p, "new"); }
static int link_to(const char* p) { return link("file", p); }
static int link_directory_to(const char* p) { return link("empty2", p); }
static int link_followed(const char* p) {
  return linkat(AT_FDCWD, p, AT_FDCWD, "new", AT_SYMLINK_FOLLOW);
}
static int link_out(const char* p) { return link(p, "/dev/benchfs-errnos"); }
static int link_in(const char* p) { return link("/dev/null", p); }
static int get_attribute(const char* p) {
  return getxattr(p, "user.none", text, sizeof text) < 0 ? -1 : 0;
}
static int set_attribute(const char* p) { return setxattr(p, "user.new", "x", 1, 0); }
static int set_link_attribute(const char* p) { return lsetxattr(p, "user.new", "x", 1, 0); }
static int list_attributes(const char* p) { return listxattr(p, NULL, 0) < 0 ? -1 : 0; }
static int remove_attribute(const char* p) { return removexattr(p, "user.none"); }
static int by_descriptor(const char* p) {
  const int directory = open("full", O_PATH);
  const int result = fstatat(directory, p, &status, AT_SYMLINK_NOFOLLOW), error = errno;
  close(directory);
  errno = error;
  return result;
}
static int from_file(const char* p) {
  const int directory = open("file", O_RDONLY);
  const int result = opened(openat(directory, p, O_RDONLY)), error = errno;
  close(directory);
  errno = error;
  return result;
}
static int from_nowhere(const char* p) { return opened(openat(999, p, O_RDONLY)); }

struct call {
  const char* label;
  int (*call)(const char*);
  int changes;
};
#define CALL(name) \
  { #name, name, 0 }
#define CHANGE(name) \
  { #name, name, 1 }
static const struct call calls[] = {
    CALL(read_open),
    CALL(write_open),
    CALL(both_open),
    CALL(truncate_open),
    CHANGE(create_open),
    CHANGE(create_to_read),
    CHANGE(exclusive_open),
    CALL(directory_open),
    CALL(nofollow_open),
    CHANGE(nofollow_create),
    CALL(path_open),
    CALL(path_nofollow_open),
    CALL(path_directory_open),
    CALL(unnamed_open),
    CALL(noatime_open),
    CALL(call_stat),
    CALL(call_lstat),
    CALL(call_statx),
    CALL(call_statfs),
    CALL(exists),
    CALL(readable),
    CALL(writable),
    CALL(executable),
    CALL(effectively),
    CHANGE(call_chmod),
    CALL(call_chown),
    CALL(call_lchown),
    CALL(call_utimensat),
    CALL(touch),
    CALL(omit),
    CALL(call_truncate),
    CALL(negative_truncate),
    CHANGE(call_mkdir),
    CHANGE(call_rmdir),
    CHANGE(call_unlink),
    CHANGE(call_remove),
    CHANGE(call_mknod),
    CHANGE(call_symlink),
    CALL(call_readlink),
    CALL(call_chdir),
    CALL(call_opendir),
    CALL(call_realpath),
    CALL(call_pathconf),
    CHANGE(rename_from),
    CHANGE(rename_to),
    CHANGE(rename_directory_to),
    CHANGE(rename_new),
    CHANGE(rename_out),
    CHANGE(rename_in),
    CHANGE(link_from),
    CHANGE(link_to),
    CHANGE(link_directory_to),
    CHANGE(link_followed),
    CHANGE(link_out),
    CHANGE(link_in),
    CALL(get_attribute),
    CALL(set_attribute),
    CALL(set_link_attribute),
    CALL(list_attributes),
    CALL(remove_attribute),
    CALL(by_descriptor),
    CALL(from_file),
    CALL(from_nowhere),
};

/* --- calls that take a descriptor --------------------------------------------------------------
 */

static int close_all(int fd) { return dup2(fd, fd) < 0 ? -1 : 0; }
static int fd_read(int fd) { return read(fd, text, 3) < 0 ? -1 : 0; }
static int fd_write(int fd) { return write(fd, "xyz", 3) < 0 ? -1 : 0; }
static int fd_pread(int fd) { return pread(fd, text, 3, 0) < 0 ? -1 : 0; }
static int fd_pread_negative(int fd) { return pread(fd, text, 3, -1) < 0 ? -1 : 0; }
static int fd_pwrite(int fd) { return pwrite(fd, "xyz", 3, 1) < 0 ? -1 : 0; }
static int fd_readv(int fd) {
  struct iovec piece = {text, 3};
  return readv(fd, &piece, 1) < 0 ? -1 : 0;
}
static int fd_readv_many(int fd) {
  struct iovec piece = {text, 3};
  volatile int pieces = -1;
  return readv(fd, &piece, pieces) < 0 ? -1 : 0;
}
static int fd_lseek(int fd) { return lseek(fd, 2, SEEK_SET) < 0 ? -1 : 0; }
static int fd_lseek_negative(int fd) { return lseek(fd, -2, SEEK_SET) < 0 ? -1 : 0; }
static int fd_lseek_whence(int fd) { return lseek(fd, 0, 77) < 0 ? -1 : 0; }
static int fd_truncate(int fd) { return ftruncate(fd, 5); }
static int fd_truncate_negative(int fd) { return ftruncate(fd, -5); }
static int fd_sync(int fd) { return fsync(fd); }
static int fd_datasync(int fd) { return fdatasync(fd); }
static int fd_allocate(int fd) { return fallocate(fd, 0, 0, 10); }
static int fd_allocate_nothing(int fd) { return fallocate(fd, 0, 0, 0); }
static int fd_chmod(int fd) { return fchmod(fd, 0755); }
static int fd_chown(int fd) { return fchown(fd, (uid_t)-1, (gid_t)-1); }
static int fd_chown_at(int fd) { return fchownat(fd, "", (uid_t)-1, getgid(), AT_EMPTY_PATH); }
static int fd_times(int fd) { return futimens(fd, NULL); }
static int fd_times_wrong(int fd) {
  const struct timespec times[2] = {{0, 1000000000}, {0, 0}};
  return futimens(fd, times);
}
static int fd_stat(int fd) { return fstat(fd, &status); }
static int fd_stat_at(int fd) { return fstatat(fd, "", &status, AT_EMPTY_PATH); }
static int fd_stat_no_name(int fd) { return fstatat(fd, "", &status, 0); }
static int fd_statx(int fd) { return statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &extended); }
static int fd_statfs(int fd) { return fstatfs(fd, &filesystem); }
static int fd_access(int fd) { return faccessat(fd, "", R_OK, AT_EMPTY_PATH); }
static int fd_get_attribute(int fd) {
  return fgetxattr(fd, "user.none", text, sizeof text) < 0 ? -1 : 0;
}
static int fd_set_attribute(int fd) { return fsetxattr(fd, "user.new", "x", 1, 0); }
static int fd_list_attributes(int fd) { return flistxattr(fd, NULL, 0) < 0 ? -1 : 0; }
static int fd_chdir(int fd) {
  const int here = open(".", O_RDONLY | O_DIRECTORY);
  const int result = fchdir(fd), error = errno;
  if (result == 0 && fchdir(here) != 0) perror("fchdir");
  close(here);
  errno = error;
  return result;
}
static int fd_list(int fd) {
  const int copy = dup(fd);
  DIR* const directory = copy < 0 ? NULL : fdopendir(copy);
  const int error = errno;
  if (directory != NULL) closedir(directory);
  if (directory == NULL && copy >= 0) close(copy);
  errno = error;
  return directory == NULL ? -1 : 0;
}
static int fd_open_at(int fd) { return opened(openat(fd, "file", O_RDONLY)); }
static int fd_create_at(int fd) {
  return opened(openat(fd, "file", O_WRONLY | O_CREAT | O_EXCL, 0644));
}
static int fd_open_again(int fd) {
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return opened(open(name, O_RDONLY));
}
static int fd_unlink_at(int fd) { return unlinkat(fd, "file", 0); }
static int fd_unlink_flags(int fd) { return unlinkat(fd, "file", 1); }
static int fd_read_link(int fd) { return readlinkat(fd, "", text, sizeof text) < 0 ? -1 : 0; }
static int fd_link(int fd) { return linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH); }
static int fd_link_proc(int fd) {
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, name, AT_FDCWD, "new", AT_SYMLINK_FOLLOW);
}
static int fd_get_flags(int fd) { return fcntl(fd, F_GETFL) < 0 ? -1 : 0; }
static int fd_set_flags(int fd) { return fcntl(fd, F_SETFL, O_APPEND); }
static int fd_command(int fd) { return fcntl(fd, 9999); }
static int fd_dup(int fd) { return opened(dup(fd)); }

struct descriptor_call {
  const char* label;
  int (*call)(int);
  int changes;
};
static const struct descriptor_call descriptor_calls[] = {
    CALL(close_all),
    CALL(fd_read),
    CALL(fd_write),
    CALL(fd_pread),
    CALL(fd_pread_negative),
    CALL(fd_pwrite),
    CALL(fd_readv),
    CALL(fd_readv_many),
    CALL(fd_lseek),
    CALL(fd_lseek_negative),
    CALL(fd_lseek_whence),
    CALL(fd_truncate),
    CALL(fd_truncate_negative),
    CALL(fd_sync),
    CALL(fd_datasync),
    CALL(fd_allocate),
    CALL(fd_allocate_nothing),
    CHANGE(fd_chmod),
    CALL(fd_chown),
    CALL(fd_chown_at),
    CALL(fd_times),
    CALL(fd_times_wrong),
    CALL(fd_stat),
    CALL(fd_stat_at),
    CALL(fd_stat_no_name),
    CALL(fd_statx),
    CALL(fd_statfs),
    CALL(fd_access),
    CALL(fd_get_attribute),
    CALL(fd_set_attribute),
    CALL(fd_list_attributes),
    CALL(fd_chdir),
    CALL(fd_list),
    CALL(fd_open_at),
    CHANGE(fd_create_at),
    CALL(fd_open_again),
    CHANGE(fd_unlink_at),
    CALL(fd_unlink_flags),
    CALL(fd_read_link),
    CHANGE(fd_link),
    CHANGE(fd_link_proc),
    CALL(fd_get_flags),
    CALL(fd_set_flags),
    CALL(fd_command),
    CALL(fd_dup),
};

struct descriptor {
  const char* label;
  const char* path;
  int flags;
};
static const struct descriptor descriptors[] = {
    {"file, read", "file", O_RDONLY},
    {"file, written", "file", O_WRONLY},
    {"file, both", "file", O_RDWR},
    {"directory", "full", O_RDONLY},
    {"path of file", "file", O_PATH},
    {"path of directory", "full", O_PATH | O_DIRECTORY},
    {"path of link", "to_file", O_PATH | O_NOFOLLOW},
    {"unnamed", "full", O_TMPFILE | O_RDWR},
    {"unnamed for ever", "full", O_TMPFILE | O_RDWR | O_EXCL},
    {"closed", NULL, 0},
};

/* --- flags and numbers that make no sense ------------------------------------------------------
 */

static void senseless(void) {
  SHOW(open("full", O_TMPFILE | O_RDONLY, 0600));
  SHOW(open("full", O_TMPFILE | O_RDWR | O_CREAT, 0600));
  SHOW(open("full", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600));
  SHOW(open("empty", O_RDONLY | O_CREAT | O_DIRECTORY, 0644));
  SHOW(access("file", 8));
  SHOW(faccessat(AT_FDCWD, "file", R_OK, 0x4000));
  SHOW(fchmodat(AT_FDCWD, "file", 0644, 0x4000));
  SHOW(fchmodat(AT_FDCWD, "to_file", 0644, AT_SYMLINK_NOFOLLOW));
  SHOW(fchownat(AT_FDCWD, "file", 0, 0, 0x4000));
  SHOW(utimensat(AT_FDCWD, "file", NULL, 0x4000));
  SHOW(fstatat(AT_FDCWD, "file", &status, 0x40000000));
  SHOW(statx(AT_FDCWD, "file", 0x6000, STATX_ALL, &extended));
  SHOW(statx(AT_FDCWD, "file", 0, 0x80000000U, &extended));
  SHOW(linkat(AT_FDCWD, "file", AT_FDCWD, "new", 0x4000));
  SHOW(unlinkat(AT_FDCWD, "file", 0x4000));
  SHOW(renameat2(AT_FDCWD, "file", AT_FDCWD, "new", 0x4000));
  SHOW(renameat2(AT_FDCWD, "file", AT_FDCWD, "other", RENAME_NOREPLACE | RENAME_EXCHANGE));
  SHOW(renameat2(AT_FDCWD, "missing", AT_FDCWD, "other", RENAME_NOREPLACE));
  SHOW(mknod("new", S_IFDIR | 0755, 0));
  SHOW(symlink("", "new"));
  SHOW(readlink("to_file", text, 0));
  SHOW(truncate("file", LONG_MIN));
  SHOW(getcwd(text, 1) == NULL ? -1 : 0);
  SHOW(pathconf("file", 7777));
  SHOW(rename("full", "full/sub/inside"));
  SHOW(rename("full/sub", "full"));
  SHOW(rename(".", "new"));
  SHOW(rename("full/..", "new"));
  SHOW(rmdir("full/sub/.."));
  SHOW(rmdir("full/sub/."));
}

static void bad_addresses(void) {
  void* volatile const null = NULL; /* which the compiler does not see */
  SHOW(stat("file", null));
  SHOW(fstat(999, null));
  SHOW(statx(AT_FDCWD, "file", 0, STATX_ALL, null));
  SHOW(readlink("to_file", null, 10));
  SHOW(symlink(null, "new"));
  SHOW(getxattr("file", null, text, 10));
  SHOW(setxattr("file", "user.x", null, 10, 0));
}

static const char* name_of(int error) { return error == 0 ? "ok" : strerrorname_np(error); }

int main(void) {
  /* What a sanitizer puts before libc's functions reads where the program says, and crashes. */
  const bool sanitized = getenv("BENCHFS_TEST_PRELOAD") != NULL;
  umask(022);
  setvbuf(stdout, NULL, _IOLBF, 0);
  memset(long_name, 'n', 256);
  memset(long_path, '/', sizeof long_path - 1);
  memcpy(long_path, "full", 4);
  memcpy(long_path + PATH_MAX - 4, "file", 5);
  memset(deep_path, '/', sizeof deep_path - 1);
  memcpy(deep_path, "full", 4);
  memcpy(deep_path + PATH_MAX - 5, "file", 5);
  make_tree();
  memset(long_absolute, '/', sizeof long_absolute - 1);
  memset(deep_absolute, '/', sizeof deep_absolute - 1);
  if (getcwd(text, sizeof text) == NULL) perror("getcwd");
  memcpy(long_absolute, text, strlen(text));
  memcpy(deep_absolute, text, strlen(text));
  memcpy(long_absolute + PATH_MAX - 4, "file", 5);
  memcpy(deep_absolute + PATH_MAX - 5, "file", 5);
  for (size_t c = 0; c < sizeof calls / sizeof *calls; ++c) {
    for (size_t n = 0; n < sizeof names / sizeof *names; ++n) {
      if (names[n].path == NULL && sanitized) continue;
      errno = 0;
      const int result = calls[c].call(names[n].path);
      const int error = result == 0 ? 0 : errno;
      printf("%s: %s: %s\n", calls[c].label, names[n].label, name_of(error));
      if (error == 0 && calls[c].changes) renew();
    }
  }
  for (size_t c = 0; c < sizeof descriptor_calls / sizeof *descriptor_calls; ++c) {
    for (size_t n = 0; n < sizeof descriptors / sizeof *descriptors; ++n) {
      const struct descriptor* const which = &descriptors[n];
      const int fd = which->path == NULL ? 999 : open(which->path, which->flags, 0600);
      errno = 0;
      const int result = descriptor_calls[c].call(fd);
      const int error = result == 0 ? 0 : errno;
      printf("%s: %s: %s\n", descriptor_calls[c].label, which->label, name_of(error));
      if (fd >= 0 && fd != 999) close(fd);
      if (error == 0 && descriptor_calls[c].changes) renew();
    }
  }
  renew();
  senseless();
  if (!sanitized) bad_addresses();
  if (chdir("..") != 0) perror("..");
  remove_tree("tree");
  return 0;
}
