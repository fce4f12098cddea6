/* SPDX-License-Identifier: Apache-2.0
 * What Ed25519 needs of libsodium's memory functions: the others would bring in its allocator and its source of random numbers. */
#include <stddef.h>

void sodium_memzero(void* const pointer, const size_t length) {
  volatile unsigned char* bytes = (volatile unsigned char*)pointer;
  for (size_t i = 0; i < length; ++i) bytes[i] = 0;
}

/* Looks at all bytes, whatever the first ones are. */
int sodium_memcmp(const void* const first, const void* const second, size_t length) {
  const volatile unsigned char* a = (const volatile unsigned char*)first;
  const volatile unsigned char* b = (const volatile unsigned char*)second;
  unsigned char difference = 0;
  for (size_t i = 0; i < length; ++i) difference |= a[i] ^ b[i];
  return (1 & ((difference - 1) >> 8)) - 1;
}

int sodium_is_zero(const unsigned char* bytes, const size_t length) {
  volatile unsigned char any = 0;
  for (size_t i = 0; i < length; ++i) any |= bytes[i];
  return 1 & ((any - 1) >> 8);
}
