// SPDX-License-Identifier: Apache-2.0
// Plain loops: compilers make vectors of them.
#include "runtime/kernels/images/resize_pixels.h"

#include <algorithm>

namespace graft::runtime {
namespace {

// Two neighbours, and how much of the second there is.
struct Between {
  size_t first, second;
  float part;
};

Between At(size_t i, size_t side, size_t out_side) {
  const float step = static_cast<float>(side) / static_cast<float>(out_side);
  const float place = std::max(0.0f, (static_cast<float>(i) + 0.5f) * step - 0.5f);
  const size_t first = std::min(side - 1, static_cast<size_t>(place));
  return {first, std::min(side - 1, first + 1), place - static_cast<float>(first)};
}

}  // namespace

void ResizedPixel(const PixelResize& r, const float* image, size_t place, float* out) {
  const Between y = At(place / r.out_width, r.height, r.out_height);
  const Between x = At(place % r.out_width, r.width, r.out_width);
  const auto pixel = [&](size_t row, size_t column) {
    return image + (row * r.width + column) * r.channels;
  };
  const float* a = pixel(y.first, x.first);
  const float* b = pixel(y.first, x.second);
  const float* c = pixel(y.second, x.first);
  const float* e = pixel(y.second, x.second);
  const float above = 1.0f - y.part;
  const float left = 1.0f - x.part;
  for (size_t i = 0; i < r.channels; ++i)
    out[i] = above * (left * a[i] + x.part * b[i]) + y.part * (left * c[i] + x.part * e[i]);
}

}  // namespace graft::runtime
