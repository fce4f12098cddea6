/* SPDX-License-Identifier: Apache-2.0
 * Where libsodium's key maker gets random numbers: from the system, or the program ends. */
#include <stdlib.h>
#include <sys/random.h>

void randombytes_buf(void* const buffer, const size_t size) {
  unsigned char* at = (unsigned char*)buffer;
  for (size_t left = size; left > 0;) {
    const ssize_t got = getrandom(at, left, 0);
    if (got < 0) abort();
    at += got;
    left -= (size_t)got;
  }
}
