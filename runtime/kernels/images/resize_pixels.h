// SPDX-License-Identifier: Apache-2.0
// An image of numbers at another size.
#pragma once

#include <cstddef>

namespace graft::runtime {

struct PixelResize {
  size_t height = 0, width = 0;
  size_t out_height = 0, out_width = 0;
  size_t channels = 0;
};

/// Pixel number `place` of the resized image: out [channels]; image [height * width, channels].
/// Pixel i of a side is taken at (i + 0.5) * side / out_side - 0.5, between its two neighbours.
void ResizedPixel(const PixelResize& resize, const float* image, size_t place, float* out);

}  // namespace graft::runtime
