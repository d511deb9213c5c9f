/* Reading and writing in all forms; sizes, holes, appending, copies, maps. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "show.h"

enum { big = 9 << 20, threads = 4 }; /* over two chunks of 4 MiB */

static long size_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? (long)status.st_size : -1;
}

static unsigned sum(const char* data, size_t size) {
  unsigned value = 1;
  for (size_t i = 0; i < size; ++i) value = value * 31 + (unsigned char)data[i];
  return value;
}

static int shared;
static void* write_part(void* number) {
  char block[4096];
  memset(block, 'a' + (int)(long)number, sizeof block);
  for (int i = (int)(long)number; i < 256; i += threads)
    if (pwrite(shared, block, sizeof block, (off_t)i * 4096) != 4096) abort();
  return NULL;
}

int main(void) {
  char data[64] = {0};
  int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0640);
  SHOW(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
  SHOW(write(fd, "hello world", 11));
  SHOW(pread(fd, data, 5, 6));
  SHOW(memcmp(data, "world", 5) != 0);
  SHOW(pread(fd, data, 5, 100));
  SHOW(pread(fd, data, 5, -1));
  SHOW(pwrite(fd, "W", 1, 6));
  SHOW(pwrite(fd, "x", 1, -1));
  SHOW(read(fd, data, 5));
  SHOW(lseek(fd, 0, SEEK_SET));
  struct iovec out[3] = {{"one", 3}, {"", 0}, {"three", 5}};
  SHOW(writev(fd, out, 3));
  SHOW(pwritev(fd, out, 3, 20));
  SHOW(pwritev2(fd, out, 3, 40, 0));
  SHOW(pwritev2(fd, out, 3, -1, RWF_DSYNC));
  SHOW(lseek(fd, 0, SEEK_CUR));
  struct iovec in[2] = {{data, 2}, {data + 2, 30}};
  SHOW(preadv(fd, in, 2, 0));
  SHOW(preadv2(fd, in, 2, 3, 0));
  SHOW(lseek(fd, 1, SEEK_SET));
  SHOW(readv(fd, in, 2));
  volatile int negative = -1;
  SHOW(readv(fd, in, negative));
  SHOW(size_of(fd));
  SHOW(lseek(fd, -1, SEEK_SET));
  SHOW(lseek(fd, 5, SEEK_END));
  SHOW(lseek(fd, 0, 99));
  SHOW(write(fd, "z", 1));
  SHOW(pread(fd, data, 10, 46));
  SHOW(memcmp(data + 4, "\0\0\0\0", 4) != 0);
  SHOW(ftruncate(fd, 4));
  SHOW(ftruncate(fd, -1));
  SHOW(size_of(fd));
  SHOW(ftruncate(fd, 100000));
  SHOW(pread(fd, data, 8, 99990));
  SHOW(data[0]);
  SHOW(truncate("f", 50));
  SHOW(size_of(fd));
  SHOW(truncate("missing", 50));
  SHOW(truncate("f", -5));
  SHOW(fsync(fd));
  SHOW(fdatasync(fd));
  SHOW(posix_fallocate(fd, 0, 200));
  SHOW(size_of(fd));
  SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000));
  SHOW(fallocate(fd, 0, 10, 0));
  SHOW(size_of(fd));
  SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  SHOW(read(fd, NULL, 0));
  SHOW(write(fd, NULL, 0));
  close(fd);

  fd = open("f", O_RDONLY);
  SHOW(write(fd, "x", 1));
  SHOW(pwrite(fd, "x", 1, 0));
  SHOW(ftruncate(fd, 0));
  close(fd);
  fd = open("f", O_WRONLY);
  SHOW(read(fd, data, 1));
  SHOW(pread(fd, data, 1, 0));
  close(fd);
  SHOW(read(fd, data, 1));
  fd = open("f", O_WRONLY | O_APPEND);
  SHOW(write(fd, "tail", 4));
  SHOW(lseek(fd, 0, SEEK_SET));
  SHOW(write(fd, "tail", 4));
  SHOW(lseek(fd, 0, SEEK_CUR));
  SHOW(size_of(fd));
  close(fd);
  fd = open("f", O_WRONLY | O_TRUNC);
  SHOW(size_of(fd));
  close(fd);

  /* Across chunks, with a hole. */
  char* const large = malloc(big);
  char* const back = calloc(1, big);
  for (int i = 0; i < big; ++i) large[i] = (char)(i * 7 + (i >> 12));
  fd = open("large", O_RDWR | O_CREAT, 0644);
  SHOW(write(fd, large, big));
  SHOW(pread(fd, back, big, 0));
  SHOW(memcmp(large, back, big) != 0);
  SHOW(pread(fd, back, 8192, (4 << 20) - 4096));
  SHOW(memcmp(large + (4 << 20) - 4096, back, 8192) != 0);
  SHOW(pwrite(fd, "X", 1, 30 << 20));
  SHOW(size_of(fd));
  SHOW(pread(fd, back, 1 << 20, 20 << 20));
  SHOW(sum(back, 1 << 20));
  SHOW(ftruncate(fd, (4 << 20) + 10));
  SHOW(ftruncate(fd, 9 << 20));
  SHOW(pread(fd, back, big, 0));
  SHOW(sum(back, big));

  const int copy = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644);
  off_t from = 100, to = 50;
  SHOW(copy_file_range(fd, &from, copy, &to, 5000000, 0));
  SHOW(from);
  SHOW(to);
  SHOW(size_of(copy));
  SHOW(copy_file_range(fd, NULL, copy, NULL, 10, 1));
  SHOW(lseek(copy, 0, SEEK_SET));
  from = 0;
  SHOW(sendfile(copy, fd, &from, 300000));
  SHOW(lseek(copy, 0, SEEK_CUR));
  SHOW(size_of(copy));
  SHOW(pread(copy, back, big, 0));
  SHOW(sum(back, big));
  const int outside = open("/dev/null", O_WRONLY);
  SHOW(lseek(fd, 5, SEEK_SET));
  SHOW(sendfile(outside, fd, NULL, 1000));
  SHOW(lseek(fd, 0, SEEK_CUR));

  const char* map = mmap(NULL, big, PROT_READ, MAP_PRIVATE, copy, 0);
  SHOW_OK(map != MAP_FAILED);
  SHOW(memcmp(map, back, 5000050) != 0);
  SHOW(munmap((void*)map, big));
  map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, copy, 4096);
  SHOW(memcmp(map, back + 4096, 4096) != 0);
  char* const mine = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, copy, 0);
  mine[0] = '!';
  SHOW(pread(copy, data, 1, 0));
  SHOW(data[0] == back[0]);
  SHOW((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE, copy, 0));
  SHOW((long)mmap(NULL, 10, PROT_READ, MAP_PRIVATE, copy, 7));
  SHOW((long)mmap(NULL, 10, PROT_READ, MAP_PRIVATE, 999, 0));

  shared = open("threads", O_RDWR | O_CREAT, 0644);
  pthread_t thread[threads];
  for (long i = 0; i < threads; ++i) pthread_create(&thread[i], NULL, write_part, (void*)i);
  for (int i = 0; i < threads; ++i) pthread_join(thread[i], NULL);
  SHOW(pread(shared, back, 1 << 20, 0));
  SHOW(sum(back, 1 << 20));

  /* Removed while open. */
  fd = open("gone", O_RDWR | O_CREAT, 0600);
  SHOW(unlink("gone"));
  SHOW(write(fd, "still here", 10));
  SHOW(pread(fd, data, 10, 0));
  struct stat status;
  SHOW(fstat(fd, &status));
  SHOW(status.st_nlink);
  SHOW(stat("gone", &status));
  SHOW(close(fd));
  free(large);
  free(back);
  return 0;
}
