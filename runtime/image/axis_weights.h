// SPDX-License-Identifier: Apache-2.0
// AxisWeights: which pixels of one axis make each pixel of a resized image, and with what weights.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/base/page_memory.h"
#include "schema/result.h"

namespace graft::runtime {

enum class ImageFilter : uint8_t { kNearest = 0, kBilinear = 1, kBicubic = 2, kLanczos = 3 };

/// The windows and weights of Pillow's Image.resize for 8-bit images, bit for bit: filters widen
/// with the step when an image shrinks, and weights are whole numbers of 1 / 2^kWeightBits.
class AxisWeights {
 public:
  static constexpr int kWeightBits = 32 - 8 - 2;

  /// Of resizing an axis of `in_size` pixels to `out_size`, the out pixels [first, first + count).
  /// Sizes are 1 to 2^28, `in_size` at most 2^14.
  /// Errors   kOutOfMemory.
  static Result<AxisWeights> Create(int64_t in_size, int64_t out_size, int64_t first, int64_t count,
                                    ImageFilter filter);

  int64_t count() const { return count_; }
  /// Pixels that the widest window takes.
  int64_t widest() const { return widest_; }
  /// The first pixel that makes out pixel `first + index`; it grows with index.
  int64_t begin(int64_t index) const { return begins()[index]; }
  std::span<const int32_t> weights(int64_t index) const {
    const int32_t* row = begins() + count_ + index * row_;
    return {row + 1, static_cast<size_t>(row[0])};
  }

 private:
  AxisWeights() = default;
  int32_t* begins() const { return reinterpret_cast<int32_t*>(memory_.data()); }
  void Fill(int64_t in_size, int64_t out_size, int64_t first, ImageFilter filter);

  PageMemory memory_;  // begins, then for each out pixel the length of its window and the weights
  int64_t count_ = 0;
  int64_t row_ = 0;
  int64_t widest_ = 1;
};

/// A sum of pixels times weights, as a pixel.
inline uint8_t PixelOfSum(int32_t sum) {
  const int32_t pixel = (sum + (1 << (AxisWeights::kWeightBits - 1))) >> AxisWeights::kWeightBits;
  return static_cast<uint8_t>(pixel < 0 ? 0 : pixel > 255 ? 255 : pixel);
}

}  // namespace graft::runtime
