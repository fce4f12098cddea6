// SPDX-License-Identifier: Apache-2.0
// What a window sees as it moves over an image: its pixels as a row, or their mean or largest.
#pragma once

#include <cstddef>

namespace graft::runtime {

/// A verified fb::ImageWindow.
struct ImageWindow {
  size_t channels = 0, height = 0, width = 0;
  size_t kernel_height = 0, kernel_width = 0;
  size_t stride_height = 0, stride_width = 0;
  size_t pad_height = 0, pad_width = 0;
  size_t dilation_height = 0, dilation_width = 0;
  size_t out_width = 0;  ///< places of the window in a row of the image
  /// Of the image: [channels, height, width] if true, else [height * width, channels].
  bool is_planar = false;
};

/// out[end - begin, channels * kernel_height * kernel_width] of the places [begin, end), each in the
/// order channel, row, column; zeros outside the image.
void CopyPatches(const ImageWindow& window, const float* image, size_t begin, size_t end,
                 float* out);

/// out[channels]: the mean (zeros outside the image count) or the largest of the window's pixels.
/// The image is [height * width, channels].
void PoolMean(const ImageWindow& window, const float* image, size_t place, float* out);
void PoolMax(const ImageWindow& window, const float* image, size_t place, float* out);

}  // namespace graft::runtime
