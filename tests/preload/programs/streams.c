/* freopen, dup2 under streams, fopen's modes, seeking, setvbuf, fdopen. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "show.h"

static FILE* out; /* where the results go, whatever becomes of stdout */

static void cat(const char* name) {
  char data[256];
  FILE* f = fopen(name, "r");
  if (f == NULL) {
    fprintf(out, "%s: %s\n", name, strerrorname_np(errno));
    return;
  }
  const size_t n = fread(data, 1, sizeof data - 1, f);
  data[n] = '\0';
  fprintf(out, "%s: [%s] eof %d\n", name, data, feof(f) != 0);
  fclose(f);
}

static void mode(const char* text) {
  errno = 0;
  FILE* f = fopen("modes", text);
  fprintf(out, "fopen %s: %s\n", text, f != NULL ? "ok" : strerrorname_np(errno));
  if (f == NULL) return;
  fprintf(out, "  tell %ld\n", ftell(f));
  fprintf(out, "  put %d\n", fputs("<new>", f));
  const int flushed = fflush(f); /* before ftell: arguments have no order */
  fprintf(out, "  flush %d tell %ld\n", flushed, ftell(f));
  clearerr(f);
  fprintf(out, "  seek %d\n", fseek(f, 0, SEEK_SET));
  fprintf(out, "  get %d\n", fgetc(f));
  fprintf(out, "  flags %o\n", (unsigned)(fcntl(fileno(f), F_GETFL) & (O_ACCMODE | O_APPEND)));
  fprintf(out, "  close %d\n", fclose(f));
  cat("modes");
}

int main(void) {
  out = fdopen(dup(STDERR_FILENO), "w");
  setvbuf(out, NULL, _IOLBF, 0);

  static const char* const modes[] = {"w", "r", "a", "r+", "w+", "a+", "wx", "rb", "we", "q"};
  for (size_t i = 0; i < sizeof modes / sizeof *modes; ++i) mode(modes[i]);
  cat("missing");

  /* Buffered output goes where the descriptor leads when it is flushed. */
  const int saved = dup(STDOUT_FILENO);
  printf("before");
  int fd = open("dup2", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(fd, STDOUT_FILENO);
  close(fd);
  printf(" after");
  fflush(stdout);
  cat("dup2");
  printf(" rest");
  dup2(saved, STDOUT_FILENO);
  printf(" to the first\n");
  fflush(stdout);
  cat("dup2");

  /* close and open: the lowest number is standard output's. */
  close(STDOUT_FILENO);
  fd = open("lowest", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  fprintf(out, "lowest %d\n", fd);
  printf("by number");
  fflush(stdout);
  cat("lowest");

  fprintf(out, "freopen %d\n", freopen("freopen", "w", stdout) == stdout);
  printf("reopened %d", fileno(stdout));
  fflush(stdout);
  cat("freopen");
  fprintf(out, "freopen a %d\n", freopen("freopen", "a", stdout) == stdout);
  printf(" appended");
  fflush(stdout);
  cat("freopen");
  fprintf(out, "freopen null %d\n", freopen("/dev/null", "w", stdout) == stdout);
  printf("lost");
  fflush(stdout);
  dup2(saved, STDOUT_FILENO);
  printf("back\n");
  fflush(stdout);

  /* Input. */
  FILE* f = fopen("input", "w");
  fputs("first line\nsecond line\nthird line\n", f);
  fprintf(out, "setvbuf %d\n", setvbuf(f, NULL, _IONBF, 0));
  fclose(f);
  char line[64];
  fprintf(out, "freopen stdin %d\n", freopen("input", "r", stdin) == stdin);
  fprintf(out, "gets %s", fgets(line, sizeof line, stdin));
  fprintf(out, "ungetc %c", ungetc('!', stdin));
  fprintf(out, " getc %c\n", getchar());
  int word = 0;
  char text[16];
  fprintf(out, "scanf %d", scanf("%15s%n", text, &word));
  fprintf(out, " %s %d tell %ld\n", text, word, ftell(stdin));
  rewind(stdin);
  fprintf(out, "rewound %s", fgets(line, sizeof line, stdin));

  /* Writing and reading one stream; positions shared with the descriptor. */
  f = fopen("update", "w+");
  fprintf(f, "0123456789");
  fseek(f, 3, SEEK_SET);
  fprintf(out, "update %c", fgetc(f));
  fseek(f, 0, SEEK_CUR);
  fputs("xy", f);
  rewind(f);
  fprintf(out, " %s\n", fgets(line, sizeof line, f));
  fseek(f, -2, SEEK_END);
  fprintf(out, "tail %s at %ld\n", fgets(line, sizeof line, f), ftell(f));
  fflush(f);
  fprintf(out, "descriptor at %ld\n", (long)lseek(fileno(f), 0, SEEK_CUR));
  fclose(f);

  fd = open("update", O_RDONLY);
  fprintf(out, "fdopen w on a reader: %s\n",
          fdopen(fd, "w") == NULL ? strerrorname_np(errno) : "ok");
  f = fdopen(fd, "r");
  fprintf(out, "fileno %d getc %c\n", fileno(f) == fd, fgetc(f));
  fclose(f);
  const int closed = fcntl(fd, F_GETFD);
  fprintf(out, "closed %d %s\n", closed, strerrorname_np(errno));
  f = fopen("update", "r");
  fprintf(out, "write to a reader: %d error %d\n", fputs("x", f) < 0 || fflush(f) != 0,
          ferror(f) != 0);
  fclose(f);
  char* allocated = NULL;
  size_t room = 0;
  f = fopen("input", "r");
  long total = 0, n = 0;
  while ((n = getline(&allocated, &room, f)) > 0) total += n;
  fprintf(out, "getline total %ld\n", total);
  free(allocated);
  fclose(f);
  fprintf(out, "fclose stdout %d\n", fclose(stdout));
  return 0;
}
