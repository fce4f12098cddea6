// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/image_windows.h"

#include <algorithm>
#include <limits>

namespace graft::runtime {
namespace {

// Calls visit(kernel_row, kernel_column, pixel) for each of the window's places; pixel is -1
// outside the image.
template <typename Visit>
void ForEachPixel(const ImageWindow& w, size_t place, const Visit& visit) {
  const size_t top = place / w.out_width * w.stride_height;
  const size_t left = place % w.out_width * w.stride_width;
  for (size_t i = 0; i < w.kernel_height; ++i) {
    // Sizes are far below 2^31; what lies above or left of the image becomes a huge number.
    const size_t row = top + i * w.dilation_height - w.pad_height;
    for (size_t j = 0; j < w.kernel_width; ++j) {
      const size_t column = left + j * w.dilation_width - w.pad_width;
      const bool inside = row < w.height && column < w.width;
      visit(i, j, inside ? static_cast<ptrdiff_t>(row * w.width + column) : ptrdiff_t{-1});
    }
  }
}

}  // namespace

void CopyPatch(const ImageWindow& w, const float* image, size_t place, float* out) {
  const size_t kernel = w.kernel_height * w.kernel_width;
  const size_t pixels = w.height * w.width;
  const size_t channel_step = w.is_planar ? pixels : 1;
  const size_t pixel_step = w.is_planar ? 1 : w.channels;
  if (kernel == 1) {  // pixels as they are; those outside are left to what follows
    const size_t down = place / w.out_width;
    const size_t row = down * w.stride_height - w.pad_height;
    const size_t column = (place - down * w.out_width) * w.stride_width - w.pad_width;
    if (row < w.height && column < w.width) {
      const float* from = image + (row * w.width + column) * pixel_step;
      for (size_t c = 0; c < w.channels; ++c) out[c] = from[c * channel_step];
      return;
    }
  }
  ForEachPixel(w, place, [&](size_t i, size_t j, ptrdiff_t pixel) {
    float* to = out + i * w.kernel_width + j;
    if (pixel < 0) {
      for (size_t c = 0; c < w.channels; ++c) to[c * kernel] = 0.0f;
      return;
    }
    const float* from = image + static_cast<size_t>(pixel) * pixel_step;
    for (size_t c = 0; c < w.channels; ++c) to[c * kernel] = from[c * channel_step];
  });
}

void PoolMean(const ImageWindow& w, const float* image, size_t place, float* out) {
  std::fill(out, out + w.channels, 0.0f);
  ForEachPixel(w, place, [&](size_t, size_t, ptrdiff_t pixel) {
    if (pixel < 0) return;
    const float* from = image + static_cast<size_t>(pixel) * w.channels;
    for (size_t c = 0; c < w.channels; ++c) out[c] += from[c];
  });
  const float inverse = 1.0f / static_cast<float>(w.kernel_height * w.kernel_width);
  for (size_t c = 0; c < w.channels; ++c) out[c] *= inverse;
}

void PoolMax(const ImageWindow& w, const float* image, size_t place, float* out) {
  std::fill(out, out + w.channels, -std::numeric_limits<float>::infinity());
  ForEachPixel(w, place, [&](size_t, size_t, ptrdiff_t pixel) {
    if (pixel < 0) return;
    const float* from = image + static_cast<size_t>(pixel) * w.channels;
    for (size_t c = 0; c < w.channels; ++c) out[c] = std::max(out[c], from[c]);
  });
}

}  // namespace graft::runtime
