/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: the version, and how a call went. */
#ifndef GRAFT_STATUS_H_
#define GRAFT_STATUS_H_

#include <stddef.h>
#include <stdint.h>

/* No function throws: C++ needs no code to unwind around a call. */
#if defined(GRAFT_SHARED) && defined(__GNUC__)
#define GRAFT_API __attribute__((visibility("default"), nothrow))
#elif defined(__GNUC__)
#define GRAFT_API __attribute__((nothrow))
#else
#define GRAFT_API
#endif

/* On functions whose result tells whether they failed: compilers warn where it is not looked at. */
#if defined(__GNUC__)
#define GRAFT_MUST_CHECK __attribute__((warn_unused_result))
#else
#define GRAFT_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header, to be compared by the preprocessor: 0.1.0 is 100, 1.2.3 is 10203. */
#define GRAFT_VERSION_MAJOR 0
#define GRAFT_VERSION_MINOR 1
#define GRAFT_VERSION_PATCH 0
#define GRAFT_VERSION_NUMBER \
  (GRAFT_VERSION_MAJOR * 10000 + GRAFT_VERSION_MINOR * 100 + GRAFT_VERSION_PATCH)

/* The version of the library, such as "0.1.0". Static storage.
 * Thread   Any.
 */
GRAFT_API const char* graft_version(void);
/* The version of the library as a number, made as GRAFT_VERSION_NUMBER is. It differs from the
 * header's where a program runs with another libgraft.so than it was compiled for.
 * Thread   Any.
 */
GRAFT_API int32_t graft_version_number(void);

typedef int32_t graft_status;
#define GRAFT_OK 0
#define GRAFT_INVALID_ARGUMENT 1
#define GRAFT_OUT_OF_RANGE 2
#define GRAFT_FAILED_PRECONDITION 3
#define GRAFT_UNSUPPORTED 4
#define GRAFT_CORRUPT 20
#define GRAFT_UNSUPPORTED_VERSION 21
#define GRAFT_MISMATCH 22
#define GRAFT_NOT_FOUND 40
#define GRAFT_IO 41
#define GRAFT_OUT_OF_MEMORY 42
#define GRAFT_CANCELLED 60
#define GRAFT_INTERNAL 61

/* The name of a status, such as "ok" or "corrupt"; never NULL. Static storage.
 * Thread   Any.
 */
GRAFT_API const char* graft_status_name(graft_status status);

/* What went wrong. It is the caller's, and nothing in it needs freeing. Never grows. */
typedef struct graft_error {
  graft_status code;
  char message[508]; /* terminated; may be cut short */
} graft_error;

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_STATUS_H_ */
