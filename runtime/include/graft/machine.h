/* SPDX-License-Identifier: Apache-2.0
 * Part of graft.h: the CPU, as graft sees it. */
#ifndef GRAFT_MACHINE_H_
#define GRAFT_MACHINE_H_

#include <graft/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The cores that this process has, and what kernels can do on them. */
typedef struct graft_cpu_info {
  size_t struct_size;       /* set by the caller */
  uint32_t cpus;            /* that are on and that this process may use; 0: unknown */
  uint32_t quota_cpus;      /* cores' worth of time that control groups allow; 0: no limit */
  uint32_t default_threads; /* of a model that asks for none: all big cores, within the quota */
  uint32_t group_count;     /* kinds of cores: see graft_cpu_get_group */
  char features[256];       /* that kernels are chosen by, such as "neon fp16 dotprod i8mm" */
  char vectors[32];         /* instructions of graft's own kernels, such as "NEON" */
} graft_cpu_info;
/* Tells what is true now: cores come and go.
 * Thread   Any.
 * Errors   UNSUPPORTED: no kernels for this CPU.
 *          INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_cpu_get_info(graft_cpu_info* info,
                                                           graft_error* error);

/* Cores of one kind. */
typedef struct graft_cpu_group {
  size_t struct_size; /* set by the caller */
  char name[64];      /* such as "Cortex-A76"; "" if the system does not tell */
  char cpus[256];     /* such as "4-7", as graft_session_options.cpus takes it */
  uint32_t capacity;  /* the kernel's measure of power, 1024 for the strongest core; 0: unknown */
  uint32_t max_mhz;   /* 0: unknown */
  uint8_t is_big;     /* strong enough to share work with the strongest */
} graft_cpu_group;
/* Gives groups 0 and on, the strongest first.
 * Thread   Any.
 * Errors   OUT_OF_RANGE: after the last.
 *          INVALID_ARGUMENT: struct_size.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_cpu_get_group(size_t index, graft_cpu_group* group,
                                                            graft_error* error);

/* The matrix kernel that was chosen on this CPU for one format of weights. */
typedef struct graft_kernel_info {
  size_t struct_size;  /* set by the caller */
  const char* weights; /* "f32", "int8", "int4-block", "int4-channel". Static storage */
  uint32_t tile_rows;  /* output features computed side by side */
  /* Inputs that one instruction multiplies and adds: on ARM 8 with i8mm, 4 with dotprod. */
  uint32_t tile_columns;
} graft_kernel_info;
/* Gives kernels 0 and on. Packs small matrices to see, in milliseconds.
 * Thread   Any.
 * Errors   OUT_OF_RANGE: after the last.
 *          UNSUPPORTED: no kernel for this format here.
 *          INVALID_ARGUMENT: struct_size.
 *          OUT_OF_MEMORY.
 */
GRAFT_API GRAFT_MUST_CHECK graft_status graft_kernel_get_info(size_t index, graft_kernel_info* info,
                                                              graft_error* error);

#ifdef __cplusplus
}
#endif

#endif /* GRAFT_MACHINE_H_ */
