/* printf and its kind with standard output, error and input on files, by redirection (exec). */
#include <err.h>
#include <stdlib.h>
#include <unistd.h>

#include "show.h"

int main(void) {
  printf("printf %d %s\n", 42, "text");
  puts("puts");
  putchar('c');
  putc_unlocked('\n', stdout);
  fputs("fputs\n", stdout);
  fwrite("fwrite\n", 1, 7, stdout);
  fflush(stdout);
  dprintf(STDOUT_FILENO, "dprintf %d\n", 7);
  const char direct[] = "write\n";
  if (write(STDOUT_FILENO, direct, sizeof direct - 1) != 6) return 1;
  fprintf(stderr, "fprintf to stderr\n");
  errno = ENOENT;
  perror("perror");
  warnx("warnx %d", 3);
  for (int i = 0; i < 20000; ++i) printf("line %d\n", i);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) printf("read %s", line);
  printf("at %ld, numbers %d %d %d\n", ftell(stdout), fileno(stdin), fileno(stdout),
         fileno(stderr));
  return ferror(stdout);
}
