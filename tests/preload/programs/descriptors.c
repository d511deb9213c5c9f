/* Descriptors: numbers, dup, offsets shared with children, exec, messages, close_range. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "show.h"

static long at(int fd) { return (long)lseek(fd, 0, SEEK_CUR); }

static int child_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void send_descriptor(int socket, int fd) {
  char byte = 'x';
  struct iovec vector = {&byte, 1};
  union {
    char data[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {{0}};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.data,
                           .msg_controllen = sizeof control.data};
  struct cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(part), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) != 1) abort();
}

static int receive_descriptor(int socket) {
  char byte;
  struct iovec vector = {&byte, 1};
  union {
    char data[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.data,
                           .msg_controllen = sizeof control.data};
  if (recvmsg(socket, &message, 0) != 1) abort();
  int fd = -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

int main(int argc, char** argv) {
  char data[64] = {0};
  if (argc == 3 && strcmp(argv[1], "inherited") == 0) {
    const int fd = atoi(argv[2]);
    printf("after exec at %ld\n", at(fd));
    printf("read %zd", read(fd, data, 4));
    printf(" %s at %ld\n", data, at(fd));
    return 7;
  }

  int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0644);
  SHOW(write(fd, "0123456789abcdefghijklmnopqrstuvwxyz", 36));
  SHOW(lseek(fd, 10, SEEK_SET));
  const int copy = dup(fd);
  SHOW(copy - fd);
  SHOW(read(copy, data, 3));
  SHOW(at(fd));
  SHOW(dup2(fd, 20));
  SHOW(lseek(20, 5, SEEK_CUR));
  SHOW(at(copy));
  SHOW(dup3(fd, 21, O_CLOEXEC));
  SHOW(fcntl(21, F_GETFD));
  SHOW(fcntl(20, F_GETFD));
  SHOW(fcntl(fd, F_DUPFD, 30));
  SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 30));
  SHOW(fcntl(31, F_GETFD));
  SHOW(dup2(fd, fd) == fd);
  SHOW(dup2(99, 20));
  SHOW(at(20));
  SHOW(dup3(fd, fd, 0));
  SHOW(close(copy));
  SHOW(close(copy));
  SHOW(at(fd));
  SHOW(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
  SHOW(fcntl(fd, F_SETFL, O_APPEND));
  SHOW(fcntl(20, F_GETFL) & (O_ACCMODE | O_APPEND));
  SHOW(lseek(fd, 0, SEEK_SET));
  SHOW(write(fd, "END", 3));
  SHOW(at(fd));
  SHOW(fcntl(fd, F_SETFL, 0));
  SHOW(isatty(fd));
  int available = -1;
  SHOW(lseek(fd, 9, SEEK_SET));
  SHOW(ioctl(fd, FIONREAD, &available));
  SHOW(available);
  SHOW(ioctl(fd, FIOCLEX));
  SHOW(fcntl(fd, F_GETFD));
  SHOW(ioctl(fd, FIONCLEX));
  struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
  SHOW(poll(&ready, 1, 0));
  SHOW(ready.revents == (POLLIN | POLLOUT));

  /* A child shares the offset. */
  fflush(stdout);
  SHOW(lseek(fd, 2, SEEK_SET));
  pid_t child = fork();
  if (child == 0) {
    if (read(fd, data, 4) != 4 || memcmp(data, "2345", 4) != 0) _exit(1);
    _exit(at(fd) == 6 ? 0 : 2);
  }
  SHOW(child_status(child));
  SHOW(at(fd));
  /* It keeps what the parent closes. */
  int go[2], done[2];
  if (pipe(go) != 0 || pipe(done) != 0) return 1;
  const int shared = open("shared", O_RDWR | O_CREAT | O_TRUNC, 0644);
  child = fork();
  if (child == 0) {
    char byte;
    if (read(go[0], &byte, 1) != 1) _exit(1);
    if (write(shared, "by the child", 12) != 12) _exit(2);
    _exit(close(shared) != 0 ? 3 : 0);
  }
  SHOW(close(shared));
  SHOW(write(go[1], "x", 1));
  SHOW(child_status(child));
  struct stat status;
  SHOW(stat("shared", &status));
  SHOW(status.st_size);
  /* vfork and exec. */
  child = vfork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", 20);
    execl(argv[0], argv[0], "inherited", number, (char*)NULL);
    _exit(99);
  }
  SHOW(child_status(child));
  SHOW(at(fd));
  /* The same with no number to spare. */
  child = fork();
  if (child == 0) {
    struct rlimit numbers;
    getrlimit(RLIMIT_NOFILE, &numbers);
    numbers.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &numbers);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
    SHOW(errno == EMFILE);
    fflush(stdout);
    execl(argv[0], argv[0], "inherited", "20", (char*)NULL);
    _exit(99);
  }
  SHOW(child_status(child));
  SHOW(at(fd));
  /* An exec that fails changes nothing. */
  SHOW(execl("missing", "missing", (char*)NULL));
  SHOW(at(20));
  /* Nor does what goes past libc, for what libc does afterwards. */
  const int other = open("data", O_RDONLY);
  syscall(SYS_lseek, other, 3L, SEEK_SET);
  usleep(1000); /* what a descriptor is, is not asked for every call */
  SHOW(lseek(other, 3, SEEK_SET));
  SHOW(at(fd));
  SHOW(read(other, data, 2));
  SHOW(data[0]);
  SHOW(close(other));
  /* Close-on-exec. */
  child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "if true <&21; then exit 1; else exit 0; fi 2>/dev/null",
          (char*)NULL);
    _exit(99);
  }
  SHOW(child_status(child) == 0 || child_status(child) == -1);

  /* By a message, within the process and to another. */
  int pair[2];
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  send_descriptor(pair[0], fd);
  int received = receive_descriptor(pair[1]);
  SHOW(received != fd);
  SHOW(lseek(fd, 12, SEEK_SET));
  SHOW(at(received));
  SHOW(read(received, data, 2));
  SHOW(data[0]);
  SHOW(close(received));
  child = fork();
  if (child == 0) {
    const int opened = open("sent", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(opened, "sent", 4) != 4) _exit(1);
    send_descriptor(pair[0], opened);
    char answer; /* while a message carries it, the sender keeps a descriptor open */
    _exit(read(pair[0], &answer, 1) != 1);
  }
  received = receive_descriptor(pair[1]);
  SHOW(at(received));
  SHOW(pread(received, data, 4, 0));
  SHOW(memcmp(data, "sent", 4) != 0);
  SHOW(write(pair[1], "d", 1));
  SHOW(child_status(child));

  SHOW(close_range(20, 25, CLOSE_RANGE_CLOEXEC));
  SHOW(fcntl(20, F_GETFD));
  SHOW(close_range(20, ~0U, 0));
  SHOW(fcntl(20, F_GETFD));
  SHOW(at(30));
  SHOW(at(fd));
  /* The lowest free number, every time. */
  const int a = open("data", O_RDONLY), b = open("data", O_RDONLY);
  SHOW(b - a);
  close(a);
  SHOW(open("data", O_RDONLY) - a);
  SHOW(open("/dev/null", O_RDONLY) - b);
  closefrom(3);
  SHOW(fcntl(fd, F_GETFD));
  SHOW(open("data", O_RDONLY));
  SHOW(read(3, data, 2));
  return 0;
}
