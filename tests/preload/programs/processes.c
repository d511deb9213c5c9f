/* posix_spawn with file actions, system, popen, exec by PATH and of scripts, daemon's children. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "show.h"

static int run(const posix_spawn_file_actions_t* actions, char* const arguments[]) {
  pid_t child;
  const int error = posix_spawnp(&child, arguments[0], actions, NULL, arguments, environ);
  if (error != 0) { /* which is the result; errno says nothing */
    printf("spawn %s: %s\n", arguments[0], strerrorname_np(error));
    errno = error;
    return -1;
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void write_file(const char* name, const char* text, mode_t mode) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) abort();
  close(fd);
}

static void cat(const char* name) {
  char data[256] = {0};
  const int fd = open(name, O_RDONLY);
  const ssize_t n = read(fd, data, sizeof data - 1);
  printf("%s: %zd [%s]\n", name, n, data);
  close(fd);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  posix_spawn_file_actions_t actions;
  SHOW(posix_spawn_file_actions_init(&actions));
  SHOW(posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644));
  SHOW(posix_spawn_file_actions_adddup2(&actions, 1, 2));
  SHOW(run(&actions, (char*[]){"sh", "-c", "echo out; echo err >&2; exit 3", NULL}));
  cat("out");
  SHOW(posix_spawn_file_actions_addopen(&actions, 0, "missing", O_RDONLY, 0));
  SHOW(run(&actions, (char*[]){"true", NULL}));
  SHOW(posix_spawn_file_actions_destroy(&actions));
  SHOW(run(NULL, (char*[]){"no-such-program", NULL}));

  mkdir("sub", 0755);
  posix_spawn_file_actions_init(&actions);
  const int fd = open("inherited", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addchdir_np(&actions, "sub");
  posix_spawn_file_actions_adddup2(&actions, fd, 1);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  SHOW(run(&actions,
           (char*[]){"sh", "-c", "echo here > made; ls; ls /proc/self/fd | grep -cx .", NULL}));
  posix_spawn_file_actions_destroy(&actions);
  close(fd);
  cat("inherited");
  cat("sub/made");

  SHOW(system("echo system > system.out; exit 5") >> 8);
  cat("system.out");
  SHOW(system(NULL) != 0);
  FILE* pipe = popen("cat > popen.out; exit 6", "w");
  fputs("through popen\n", pipe);
  SHOW(pclose(pipe) >> 8);
  cat("popen.out");
  pipe = popen("cat popen.out", "r");
  char line[64] = {0};
  SHOW_OK(fgets(line, sizeof line, pipe) != NULL);
  printf("popen read %s", line);
  SHOW(pclose(pipe));

  /* Programs and scripts in the directory itself. */
  write_file("script", "#!/bin/sh\necho script \"$@\"\nexit 4\n", 0755);
  SHOW(run(NULL, (char*[]){"./script", "with", "arguments", NULL}));
  write_file("plain", "echo no interpreter line \"$@\"\n", 0755);
  SHOW(run(NULL, (char*[]){"./plain", "x", NULL}));
  write_file("denied", "#!/bin/sh\n", 0644);
  SHOW(execv("./denied", (char*[]){"denied", NULL}));
  SHOW(execv("./plain", (char*[]){"plain", NULL}));
  SHOW(execv("./missing", (char*[]){"missing", NULL}));
  SHOW(execv("sub", (char*[]){"sub", NULL}));
  write_file("env-script", "#!/usr/bin/env sh\necho by env\n", 0755);
  SHOW(run(NULL, (char*[]){"./env-script", NULL}));
  SHOW(system("cp /bin/echo program && ./program copied program"));
  write_file("nested", "#!./script one\n", 0755);
  SHOW(run(NULL, (char*[]){"./nested", "two", NULL}));
  char path[4096];
  if (getcwd(path, sizeof path - 64) == NULL) return 1;
  strcat(path, ":/bin:/usr/bin");
  setenv("PATH", path, 1);
  SHOW(run(NULL, (char*[]){"script", "by", "path", NULL}));
  SHOW(system("script from a shell") >> 8);

  pid_t child = fork();
  if (child == 0) {
    const int script = open("script", O_RDONLY);
    fexecve(script, (char*[]){"script", "fexecve", NULL}, environ);
    _exit(50);
  }
  int status = 0;
  waitpid(child, &status, 0);
  SHOW(WEXITSTATUS(status));
  return 0;
}
