// SPDX-License-Identifier: Apache-2.0
// Stands in for XNNPACK's header of the same name: kernels that read packed weights call it for
// each line, 14 lines (896 bytes) ahead of where they compute.
#pragma once

#include "xnnpack/common.h"

// Server cores have 16 buffers for lines on their way to the first cache and three times as many
// for the second. 896 bytes ahead keep the first full and the second mostly empty; bringing lines
// into the second cache from 3,072 bytes ahead keeps both full. Distances of 2,048 to 5,120 were
// measured.
#define GRAFT_SECOND_CACHE_LEAD_BYTES (3072 - 896)

XNN_INLINE static void xnn_prefetch_to_l1(const void* address) {
  __builtin_prefetch(address, /*rw=*/0, /*locality=*/3);
#if XNN_ARCH_X86 || XNN_ARCH_X86_64
  __builtin_prefetch((const char*)address + GRAFT_SECOND_CACHE_LEAD_BYTES, /*rw=*/0,
                     /*locality=*/2);
#endif
}
