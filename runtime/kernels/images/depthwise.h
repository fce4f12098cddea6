// SPDX-License-Identifier: Apache-2.0
// Convolution of each channel by itself.
#pragma once

#include <cstddef>

#include "runtime/kernels/images/image_windows.h"

namespace graft::runtime {

struct DepthwiseShape {
  ImageWindow window;
  /// For each place under the window, row by row, the channels' numbers, `stride` apart.
  const float* taps = nullptr;
  size_t stride = 0;            ///< a multiple of kDepthwiseLanes
  const float* bias = nullptr;  ///< [stride]
  float low = 0.0f, high = 0.0f;
};

/// Channels that are read at once, at most: of the taps, and behind the last pixel's.
inline constexpr size_t kDepthwiseLanes = 16;

/// Row `row` of the places of the window: out [out_width, channels], image [height * width,
/// channels]. Reads up to kDepthwiseLanes floats behind the image.
/// Cost     a multiply-add for each channel and place under the window. Allocates nothing.
void DepthwiseRow(const DepthwiseShape& shape, const float* image, size_t row, float* out);

}  // namespace graft::runtime
