/* What the test programs print: the same program in a plain directory must print the same.
   They are built with _GNU_SOURCE. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The value, and on failure why. */
#define SHOW(call)                                                                    \
  do {                                                                                \
    errno = 0;                                                                        \
    const long show_value = (long)(call);                                             \
    fprintf(stdout, "%s = %ld%s%s\n", #call, show_value, show_value == -1 ? " " : "", \
            show_value == -1 ? strerrorname_np(errno) : "");                          \
    fflush(stdout);                                                                   \
  } while (0)

/* Whether it worked: for descriptors and pointers, whose values differ. */
#define SHOW_OK(condition)                                                             \
  do {                                                                                 \
    errno = 0;                                                                         \
    const int show_ok = (condition) ? 1 : 0;                                           \
    fprintf(stdout, "%s: %s\n", #condition, show_ok ? "yes" : strerrorname_np(errno)); \
    fflush(stdout);                                                                    \
  } while (0)
