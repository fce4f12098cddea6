// SPDX-License-Identifier: Apache-2.0
// The instruction sets that the converter's kernels are compiled for. Included before Highway.
#pragma once

// Three levels of x86 are enough; the others would only lengthen the build.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_SVE_256 | HWY_SVE2_128)
