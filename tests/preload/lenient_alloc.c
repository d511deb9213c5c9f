// coreutils ask aligned_alloc for sizes that are no multiple of the alignment, which glibc allows and
// AddressSanitizer ends the process for. Preloaded before it in sanitized tests.
#include <stdlib.h>

void *aligned_alloc(size_t alignment, size_t size) {
  void *memory = NULL;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}
