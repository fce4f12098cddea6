// SPDX-License-Identifier: Apache-2.0
// Included before each of XNNPACK's AMX kernels when GCC 12 compiles them.
#pragma once

#include <immintrin.h>

// GCC 12's own macro does not say that loading a tile reads memory: what a kernel has just stored
// there could be left in registers.
#undef _tile_loadd
#define _tile_loadd(tile, base, stride)                                             \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"((const void*)(base)),   \
                   "r"((long)(stride))                                              \
                   : "memory")
