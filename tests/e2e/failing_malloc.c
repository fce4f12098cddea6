/* SPDX-License-Identifier: Apache-2.0
 * Loaded before a program's libraries (LD_PRELOAD): lets the FAIL_AT-th allocation of the process
 * fail, and with FAIL_KEEP set all that follow. With COUNT_TO=FILE it says in the end how many there
 * were. For glibc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* memory, size_t size);
extern void* __libc_memalign(size_t alignment, size_t size);

static long counted;
static long fail_at = -1;
static int keeps_failing;

static int fails(void) {
  if (fail_at < 0) {
    const char* at = getenv("FAIL_AT");
    fail_at = at == NULL ? 0 : atol(at);
    keeps_failing = getenv("FAIL_KEEP") != NULL;
  }
  const long number = __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
  if (fail_at == 0 || number < fail_at || (number > fail_at && !keeps_failing)) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void* realloc(void* memory, size_t size) { return fails() ? NULL : __libc_realloc(memory, size); }
void* memalign(size_t alignment, size_t size) {
  return fails() ? NULL : __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  void* const made = memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  *memory = made;
  return 0;
}

__attribute__((destructor)) static void tell(void) {
  const char* const path = getenv("COUNT_TO");
  const long all = counted;
  FILE* file = path == NULL ? NULL : fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", all);
  fclose(file);
}
