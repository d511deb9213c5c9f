/* flock, fcntl (of processes and of open file descriptions) and lockf, between parents, children
   and threads. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "show.h"

static struct flock section(short type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}
static int set(int fd, short type, off_t start, off_t length) {
  struct flock lock = section(type, start, length);
  return fcntl(fd, F_SETLK, &lock);
}
static int set_waiting(int fd, short type, off_t start, off_t length) {
  struct flock lock = section(type, start, length);
  return fcntl(fd, F_SETLKW, &lock);
}
static int set_ofd(int fd, short type, off_t start, off_t length) {
  struct flock lock = section(type, start, length);
  return fcntl(fd, F_OFD_SETLK, &lock);
}
static int open_file(void) { return open("f", O_RDWR | O_CREAT, 0644); }

/* What another process sees of bytes 0 to 15, by F_GETLK: '-' free, 'r' or 'w' locked. */
static void map(void) {
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open_file();
    char text[17] = {0};
    for (int i = 0; i < 16; ++i) {
      struct flock lock = section(F_WRLCK, i, 1);
      if (fcntl(fd, F_GETLK, &lock) != 0) _exit(1);
      text[i] = lock.l_type == F_UNLCK ? '-' : lock.l_type == F_RDLCK ? 'r' : 'w';
    }
    struct flock all = section(F_WRLCK, 0, 0);
    if (fcntl(fd, F_GETLK, &all) != 0) _exit(1);
    printf("%s first: type %d start %ld length %ld of the parent: %d\n", text, all.l_type,
           all.l_type == F_UNLCK ? 0 : (long)all.l_start,
           all.l_type == F_UNLCK ? 0 : (long)all.l_len, all.l_pid == getppid());
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

/* Runs f in a child with the file opened anew, and waits for its end. */
static int in_child(int (*f)(int fd)) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const int result = f(open_file());
    fflush(stdout);
    _exit(result);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int try_read(int fd) {
  SHOW(set(fd, F_RDLCK, 4, 4));
  return 0;
}
static int try_write(int fd) {
  SHOW(set(fd, F_WRLCK, 4, 4));
  return 0;
}
static int try_flock(int fd) {
  SHOW(flock(fd, LOCK_EX | LOCK_NB));
  SHOW(flock(fd, LOCK_SH | LOCK_NB));
  return 0;
}

static void ranges(void) {
  const int fd = open_file();
  SHOW(set(fd, F_WRLCK, 2, 10));
  map();
  SHOW(set(fd, F_UNLCK, 5, 2));
  map();
  SHOW(set(fd, F_RDLCK, 8, 2));
  map();
  in_child(try_read);
  in_child(try_write);
  SHOW(set(fd, F_WRLCK, 0, 16));
  map();
  SHOW(set(fd, F_RDLCK, 0, 0));
  in_child(try_read);
  in_child(try_write);
  map();
  SHOW(set(fd, F_UNLCK, 8, 0));
  map();
  SHOW(set(fd, F_UNLCK, 0, 0));
  map();
  SHOW(write(fd, "0123456789", 10));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = -2, .l_len = -3};
  SHOW(fcntl(fd, F_SETLK, &lock));
  map();
  lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = 0, .l_len = 3};
  SHOW(fcntl(fd, F_SETLK, &lock));
  map();
  close(fd);
  map();
}

static void errors(void) {
  const int fd = open_file();
  const int reader = open("f", O_RDONLY);
  const int writer = open("f", O_WRONLY);
  const int path = open("f", O_PATH);
  const int directory = open(".", O_RDONLY | O_DIRECTORY);
  SHOW(set(reader, F_WRLCK, 0, 1));
  SHOW(set(reader, F_RDLCK, 0, 1));
  SHOW(set(writer, F_RDLCK, 0, 1));
  SHOW(set(writer, F_WRLCK, 0, 1));
  SHOW(set(path, F_RDLCK, 0, 1));
  SHOW(flock(path, LOCK_SH));
  SHOW(set(fd, 7, 0, 1));
  SHOW(set(fd, F_RDLCK, -1, 1));
  SHOW(set(fd, F_RDLCK, 5, -6));
  SHOW(set(fd, F_RDLCK, 0x7fffffffffffffff, 2));
  SHOW(set(fd, F_RDLCK, 0x7fffffffffffffff, 1));
  struct flock lock = {.l_type = F_RDLCK, .l_whence = 9};
  SHOW(fcntl(fd, F_SETLK, &lock));
  lock = section(F_UNLCK, 0, 0);
  SHOW(fcntl(fd, F_GETLK, &lock));
  lock = section(F_RDLCK, 0, 0);
  lock.l_pid = getpid();
  SHOW(fcntl(fd, F_OFD_SETLK, &lock));
  SHOW(flock(fd, 0));
  SHOW(flock(fd, LOCK_SH | LOCK_EX));
  SHOW(flock(-1, LOCK_SH));
  SHOW(set(-1, F_RDLCK, 0, 1));
  SHOW(lockf(fd, 17, 0));
  SHOW(lockf(reader, F_TLOCK, 0));
  SHOW(flock(directory, LOCK_EX | LOCK_NB));
  SHOW(flock(reader, LOCK_EX | LOCK_NB));
  close(fd);
  close(reader);
  close(writer);
  close(path);
  close(directory);
}

/* Any close of the file gives up the process's locks; they are not inherited, and survive exec. */
static void processes(const char* self) {
  const int fd = open_file();
  SHOW(set(fd, F_WRLCK, 0, 8));
  const int again = open_file();
  map();
  SHOW(close(again));
  map();
  SHOW(set(fd, F_WRLCK, 0, 8));
  SHOW(close(dup(fd)));
  map();
  SHOW(set(fd, F_WRLCK, 0, 8));
  SHOW(dup2(STDOUT_FILENO, open_file()) >= 0);
  map();
  SHOW(set(fd, F_WRLCK, 0, 8));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    SHOW(set(fd, F_UNLCK, 0, 0)); /* it has none */
    SHOW(set(fd, F_RDLCK, 0, 1));
    SHOW(close(fd));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  map();
  close(fd);

  fflush(stdout);
  child = fork();
  if (child == 0) {
    const int kept = open_file();
    if (set(kept, F_WRLCK, 1, 3) != 0) _exit(1);
    execl(self, self, "exec", NULL);
    _exit(2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  SHOW(WEXITSTATUS(status));
  map();
}

static void whole_files(void) {
  const int fd = open_file();
  SHOW(flock(fd, LOCK_SH));
  in_child(try_flock);
  SHOW(flock(fd, LOCK_EX));
  in_child(try_flock);
  SHOW(set(fd, F_WRLCK, 0, 0)); /* another kind of lock */
  in_child(try_flock);
  SHOW(set(fd, F_UNLCK, 0, 0));
  const int copy = dup(fd);
  SHOW(flock(copy, LOCK_EX | LOCK_NB)); /* the same open file description */
  close(fd);
  in_child(try_flock);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    SHOW(flock(copy, LOCK_SH | LOCK_NB)); /* shared with the parent */
    close(copy);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  in_child(try_flock);
  child = fork();
  if (child == 0) {
    SHOW(flock(copy, LOCK_UN));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  in_child(try_flock);
  /* A child keeps it while the parent closes. */
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) exit(1);
  SHOW(flock(copy, LOCK_EX));
  fflush(stdout);
  child = fork();
  if (child == 0) {
    close(pipe_fds[1]);
    char byte;
    _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(pipe_fds[0]);
  close(copy);
  in_child(try_flock);
  close(pipe_fds[1]);
  waitpid(child, NULL, 0);
  in_child(try_flock);

  /* A conversion that fails has given up what there was. */
  const int a = open_file(), b = open_file();
  SHOW(flock(a, LOCK_SH));
  SHOW(flock(b, LOCK_SH));
  SHOW(flock(a, LOCK_EX | LOCK_NB));
  SHOW(flock(b, LOCK_EX | LOCK_NB));
  SHOW(flock(a, LOCK_SH | LOCK_NB));
  SHOW(unlink("f"));
  SHOW(flock(a, LOCK_SH | LOCK_NB));
  close(b);
  SHOW(flock(a, LOCK_SH | LOCK_NB));
  close(a);
}

/* A program that the child becomes has not the file open: the parent's close is the last. */
static void close_on_exec(void) {
  int to[2], from[2];
  if (pipe(to) != 0 || pipe(from) != 0) exit(1);
  const int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  SHOW(flock(fd, LOCK_EX));
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    SHOW(execl("./f", "f", NULL)); /* fails: nothing is lost */
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    execl("/bin/cat", "cat", "-u", NULL);
    _exit(1);
  }
  char byte = 'x';
  if (write(to[1], &byte, 1) != 1) perror("write"); /* said by nobody: the child speaks meanwhile */
  SHOW(read(from[0], &byte, 1));
  in_child(try_flock);
  close(fd);
  in_child(try_flock);
  close(to[0]), close(to[1]), close(from[0]), close(from[1]);
  waitpid(child, NULL, 0);
}

static void descriptions(void) {
  const int a = open_file(), b = open_file();
  SHOW(set_ofd(a, F_WRLCK, 4, 4));
  SHOW(set_ofd(b, F_RDLCK, 0, 5));
  SHOW(set(a, F_RDLCK, 0, 5)); /* the process is another owner */
  struct flock lock = section(F_WRLCK, 0, 0);
  SHOW(fcntl(b, F_OFD_GETLK, &lock));
  printf("type %d start %ld length %ld pid %d\n", lock.l_type, (long)lock.l_start, (long)lock.l_len,
         lock.l_pid);
  const int copy = dup(a);
  SHOW(set_ofd(copy, F_RDLCK, 6, 4));
  map();
  close(a);
  close(b);
  map();
  close(copy);
  map();
}

static void sections(void) {
  const int fd = open_file();
  SHOW(lseek(fd, 4, SEEK_SET));
  SHOW(lockf(fd, F_LOCK, 4));
  map();
  SHOW(lockf(fd, F_TEST, 4));
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    SHOW(lockf(fd, F_TEST, 4));
    SHOW(lockf(fd, F_TLOCK, 1));
    SHOW(lockf(fd, F_TEST, -4));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  SHOW(lockf(fd, F_ULOCK, 2));
  map();
  close(fd);
}

/* --- waiting --- */

static volatile sig_atomic_t ticks;
static int tell = -1;
static void tick(int number) {
  (void)number;
  if (++ticks == 3 && tell >= 0 && write(tell, "t", 1) != 1) _exit(9);
}
static void start_ticks(int flags) {
  struct sigaction action = {.sa_handler = tick, .sa_flags = flags};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval often = {.it_interval = {0, 20000}, .it_value = {0, 20000}};
  ticks = 0;
  setitimer(ITIMER_REAL, &often, NULL);
}

static int interrupted(int fd) {
  start_ticks(0);
  SHOW(set_waiting(fd, F_WRLCK, 0, 8));
  SHOW(flock(fd, LOCK_EX));
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  SHOW(set(fd, F_RDLCK, 0, 8));
  return 0;
}

/* The child waits, through signals whose handler restarts it; the third tells the parent. */
static void restarted(int by_flock) {
  const int fd = open_file();
  SHOW(by_flock ? flock(fd, LOCK_EX) : set(fd, F_WRLCK, 0, 8));
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) exit(1);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    close(fd);
    const int mine = open_file();
    tell = pipe_fds[1];
    start_ticks(SA_RESTART);
    const int result = by_flock ? flock(mine, LOCK_EX) : set_waiting(mine, F_RDLCK, 4, 1);
    _exit(result != 0 ? 1 : ticks < 3 ? 2 : 0);
  }
  char byte;
  if (read(pipe_fds[0], &byte, 1) != 1) exit(1);
  SHOW(by_flock ? flock(fd, LOCK_UN) : set(fd, F_UNLCK, 0, 8));
  int status = 0;
  waitpid(child, &status, 0);
  SHOW(WEXITSTATUS(status));
  close(fd);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

/* Two processes, each waiting for what the other holds: one is told. */
static void deadlock(void) {
  int up[2], down[2];
  if (pipe(up) != 0 || pipe(down) != 0) exit(1);
  const int fd = open_file(), other = open("g", O_RDWR | O_CREAT, 0644);
  SHOW(set(fd, F_WRLCK, 0, 1));
  fflush(stdout);
  const pid_t child = fork();
  char byte = 'x';
  if (child == 0) {
    if (set(other, F_WRLCK, 0, 1) != 0 || write(up[1], &byte, 1) != 1) _exit(9);
    const int first = set_waiting(fd, F_WRLCK, 0, 1);
    const int told = first != 0 && errno == EDEADLK;
    set(other, F_UNLCK, 0, 1);
    if (told && set_waiting(fd, F_WRLCK, 0, 1) != 0) _exit(9);
    _exit(told);
  }
  if (read(up[0], &byte, 1) != 1) exit(1);
  const int first = set_waiting(other, F_WRLCK, 0, 1);
  const int told = first != 0 && errno == EDEADLK;
  SHOW(set(fd, F_UNLCK, 0, 1));
  if (told && set_waiting(other, F_WRLCK, 0, 1) != 0) exit(1);
  int status = 0;
  waitpid(child, &status, 0);
  printf("deadlocks: %d\n", told + WEXITSTATUS(status));
  close(fd);
  close(other);
}

static void deaths(void) {
  int pipe_fds[2];
  char byte;
  if (pipe(pipe_fds) != 0) exit(1);
  const int fd = open_file();
  for (int by_flock = 0; by_flock < 2; ++by_flock) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      const int mine = open_file();
      if ((by_flock ? flock(mine, LOCK_EX) : set(mine, F_WRLCK, 0, 0)) != 0) _exit(1);
      if (write(pipe_fds[1], "h", 1) != 1) _exit(1);
      for (;;) pause();
    }
    if (read(pipe_fds[0], &byte, 1) != 1) exit(1);
    SHOW(by_flock ? flock(fd, LOCK_EX | LOCK_NB) : set(fd, F_WRLCK, 0, 8));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    SHOW(by_flock ? flock(fd, LOCK_EX | LOCK_NB) : set(fd, F_WRLCK, 0, 8));

    child = fork(); /* one that waits, and is killed */
    if (child == 0) {
      const int mine = open_file();
      tell = pipe_fds[1];
      start_ticks(SA_RESTART);
      if (by_flock) flock(mine, LOCK_EX);
      set_waiting(mine, F_WRLCK, 0, 8);
      _exit(1);
    }
    if (read(pipe_fds[0], &byte, 1) != 1) exit(1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    SHOW(by_flock ? flock(fd, LOCK_UN) : set(fd, F_UNLCK, 0, 0));
    in_child(by_flock ? try_flock : try_write);
  }
  close(fd);
}

/* More waiting threads than a process has requests under way; the others go on. */
enum { waiting_threads = 40 };
static int go_fd;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static int granted;
static void* wait_for_all(void* unused) {
  const int fd = open_file();
  if (write(go_fd, "w", 1) != 1 || flock(fd, LOCK_EX) != 0) abort();
  pthread_mutex_lock(&counting);
  ++granted;
  pthread_mutex_unlock(&counting);
  close(fd);
  return unused;
}
static void threads(void) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) exit(1);
  go_fd = pipe_fds[1];
  const int fd = open_file();
  SHOW(flock(fd, LOCK_EX));
  pthread_t all[waiting_threads];
  for (int i = 0; i < waiting_threads; ++i) pthread_create(&all[i], NULL, wait_for_all, NULL);
  char bytes[waiting_threads];
  for (int i = 0; i < waiting_threads;) {
    const ssize_t n = read(pipe_fds[0], bytes, sizeof bytes);
    if (n > 0) i += (int)n;
  }
  SHOW(mkdir("while-they-wait", 0755));
  const int other = open("while-they-wait/g", O_RDWR | O_CREAT, 0644);
  for (int i = 0; i < 200; ++i)
    if (pwrite(other, "data", 4, i * 4) != 4 || set(other, F_WRLCK, i, 1) != 0) exit(1);
  close(other);
  SHOW(flock(fd, LOCK_UN));
  for (int i = 0; i < waiting_threads; ++i) pthread_join(all[i], NULL);
  SHOW(granted);
  close(fd);
}

/* Who always locks in one order never waits in a circle, and what is locked stays one's own. */
static int in_order(int fd) {
  const int other = open("g", O_RDWR | O_CREAT, 0644);
  unsigned seed = (unsigned)getpid();
  for (int round = 0; round < 60; ++round) {
    const int first = rand_r(&seed) % 6, count = 1 + rand_r(&seed) % 3;
    for (int i = first; i < first + count; ++i)
      if (set_waiting(i % 2 ? other : fd, F_WRLCK, 100 + i, 1) != 0)
        return errno == EDEADLK ? 2 : 1;
    for (int i = first; i < first + count; ++i) {
      int mine = getpid(), seen = 0;
      const int where = i % 2 ? other : fd;
      if (pwrite(where, &mine, sizeof mine, i * 4) != sizeof mine) return 1;
      sched_yield();
      if (pread(where, &seen, sizeof seen, i * 4) != sizeof seen || seen != mine) return 3;
    }
    for (int i = first; i < first + count; ++i)
      if (set(i % 2 ? other : fd, F_UNLCK, 100 + i, 1) != 0) return 1;
  }
  return 0;
}
static void ordered(void) {
  fflush(stdout);
  pid_t children[4];
  for (int i = 0; i < 4; ++i)
    if ((children[i] = fork()) == 0) _exit(in_order(open_file()));
  for (int i = 0; i < 4; ++i) {
    int status = 0;
    waitpid(children[i], &status, 0);
    SHOW(WEXITSTATUS(status));
  }
  unlink("g");
}

static int count_up(int fd) {
  const int by_flock = strcmp(getenv("COUNT_BY"), "flock") == 0;
  for (int i = 0; i < 100; ++i) {
    if ((by_flock ? flock(fd, LOCK_EX) : set_waiting(fd, F_WRLCK, 0, 0)) != 0) return 1;
    char text[16] = {0};
    if (pread(fd, text, 15, 0) < 0) return 1;
    snprintf(text, sizeof text, "%d", atoi(text) + 1);
    if (pwrite(fd, text, strlen(text), 0) < 0) return 1;
    if ((by_flock ? flock(fd, LOCK_UN) : set(fd, F_UNLCK, 0, 0)) != 0) return 1;
  }
  return 0;
}
static void counter(const char* by) {
  setenv("COUNT_BY", by, 1);
  unlink("f");
  fflush(stdout);
  pid_t children[4];
  for (int i = 0; i < 4; ++i)
    if ((children[i] = fork()) == 0) _exit(count_up(open_file()));
  for (int i = 0; i < 4; ++i) {
    int status = 0;
    waitpid(children[i], &status, 0);
    if (status != 0) printf("child %d: %d\n", i, status);
  }
  char text[16] = {0};
  const int fd = open_file();
  SHOW(read(fd, text, 15));
  printf("by %s: %s\n", by, text);
  close(fd);
}

int main(int count, char** arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count > 1) { /* after exec: the parent's child, which still holds its lock */
    map();
    return 3;
  }
  char self[4096];
  if (realpath(arguments[0], self) == NULL) return 1;
  ranges();
  errors();
  processes(self);
  whole_files();
  close_on_exec();
  descriptions();
  sections();
  const int fd = open_file();
  SHOW(set(fd, F_RDLCK, 0, 0));
  SHOW(flock(fd, LOCK_SH));
  in_child(interrupted);
  close(fd);
  restarted(0);
  restarted(1);
  deadlock();
  deaths();
  threads();
  ordered();
  counter("flock");
  counter("fcntl");
  return 0;
}
