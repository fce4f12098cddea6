// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/images/image_windows.h"

#include <algorithm>
#include <array>
#include <limits>

namespace graft::runtime {
namespace {

// Where the window stands: its first pixel, which may lie outside of the image. What lies above or
// left of the image is a huge number; sizes are far below 2^31.
struct Corner {
  size_t row, column;
};

Corner CornerOf(const ImageWindow& w, size_t place) {
  const size_t down = place / w.out_width;
  return {down * w.stride_height - w.pad_height,
          (place - down * w.out_width) * w.stride_width - w.pad_width};
}

// Calls visit(kernel_row, kernel_column, pixel) for each of the window's places; pixel is -1
// outside the image.
template <typename Visit>
void ForEachPixel(const ImageWindow& w, size_t place, const Visit& visit) {
  const Corner corner = CornerOf(w, place);
  for (size_t i = 0; i < w.kernel_height; ++i) {
    const size_t row = corner.row + i * w.dilation_height;
    for (size_t j = 0; j < w.kernel_width; ++j) {
      const size_t column = corner.column + j * w.dilation_width;
      const bool inside = row < w.height && column < w.width;
      visit(i, j, inside ? static_cast<ptrdiff_t>(row * w.width + column) : ptrdiff_t{-1});
    }
  }
}

// Where the numbers of a patch lie, from the first pixel of a window that is wholly inside.
class PatchOffsets final {
 public:
  explicit PatchOffsets(const ImageWindow& w)
      : size_(w.channels * w.kernel_height * w.kernel_width),
        channel_step_(w.is_planar ? w.height * w.width : 1),
        pixel_step_(w.is_planar ? 1 : w.channels),
        is_known_(size_ <= kMost) {
    if (!is_known_) return;
    size_t* offset = offsets_.data();
    for (size_t c = 0; c < w.channels; ++c) {
      for (size_t i = 0; i < w.kernel_height; ++i) {
        for (size_t j = 0; j < w.kernel_width; ++j, ++offset) {
          const size_t pixel = i * w.dilation_height * w.width + j * w.dilation_width;
          *offset = c * channel_step_ + pixel * pixel_step_;
        }
      }
    }
  }

  void Copy(const ImageWindow& w, const float* image, size_t place, float* out) const {
    const Corner corner = CornerOf(w, place);
    const size_t last_row = corner.row + (w.kernel_height - 1) * w.dilation_height;
    const size_t last_column = corner.column + (w.kernel_width - 1) * w.dilation_width;
    if (!is_known_ || corner.row >= w.height || last_row >= w.height || corner.column >= w.width ||
        last_column >= w.width) {
      CopyByPixels(w, image, place, out);
      return;
    }
    const float* from = image + (corner.row * w.width + corner.column) * pixel_step_;
    for (size_t i = 0; i < size_; ++i) out[i] = from[offsets_[i]];
  }

 private:
  void CopyByPixels(const ImageWindow& w, const float* image, size_t place, float* out) const {
    const size_t kernel = w.kernel_height * w.kernel_width;
    ForEachPixel(w, place, [&](size_t i, size_t j, ptrdiff_t pixel) {
      float* to = out + i * w.kernel_width + j;
      if (pixel < 0) {
        for (size_t c = 0; c < w.channels; ++c) to[c * kernel] = 0.0f;
        return;
      }
      const float* from = image + static_cast<size_t>(pixel) * pixel_step_;
      for (size_t c = 0; c < w.channels; ++c) to[c * kernel] = from[c * channel_step_];
    });
  }

  static constexpr size_t kMost = 1024;
  size_t size_, channel_step_, pixel_step_;
  bool is_known_;
  std::array<size_t, kMost> offsets_;
};

// Whether each place of the window is the image's pixel of the same number.
bool IsWholeImage(const ImageWindow& w) {
  return w.kernel_height * w.kernel_width == 1 && w.stride_height == 1 && w.stride_width == 1 &&
         w.pad_height == 0 && w.pad_width == 0 && w.out_width == w.width;
}

}  // namespace

void CopyPatches(const ImageWindow& w, const float* image, size_t begin, size_t end, float* out) {
  const size_t size = w.channels * w.kernel_height * w.kernel_width;
  if (!IsWholeImage(w)) {
    const PatchOffsets offsets(w);
    for (size_t place = begin; place < end; ++place, out += size)
      offsets.Copy(w, image, place, out);
    return;
  }
  if (!w.is_planar) {
    std::copy(image + begin * size, image + end * size, out);
    return;
  }
  // A channel after the other, over as many pixels as stay in a first-level cache.
  constexpr size_t kPixelsAtOnce = 256;
  const size_t pixels = w.height * w.width;
  for (size_t first = begin; first < end; first += kPixelsAtOnce) {
    const size_t count = std::min(kPixelsAtOnce, end - first);
    for (size_t c = 0; c < size; ++c) {
      const float* from = image + c * pixels + first;
      for (size_t i = 0; i < count; ++i) out[i * size + c] = from[i];
    }
    out += count * size;
  }
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
