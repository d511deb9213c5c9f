/* What is not served says so: prints the errors, which differ from a plain directory's. */
#include <aio.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

int main(void) {
  const int fd = open("f", O_RDWR | O_CREAT, 0644);
  if (write(fd, "x", 1) != 1) return 1;
  SHOW((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  SHOW(inotify_add_watch(inotify_init1(0), ".", IN_CREATE));
  SHOW(mkfifo("fifo", 0644));
  SHOW(splice(fd, NULL, STDOUT_FILENO, NULL, 1, 0));
  char byte;
  struct aiocb request = {.aio_fildes = fd, .aio_buf = &byte, .aio_nbytes = 1};
  SHOW(aio_read(&request));
  SHOW((long)fts_open((char*[]){".", NULL}, FTS_PHYSICAL, NULL) == 0 ? -1 : 0);
  return 0;
}
