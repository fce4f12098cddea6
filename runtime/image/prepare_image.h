// SPDX-License-Identifier: Apache-2.0
// PrepareImage: from the pixels of an image of any size to what a model of images takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/page_memory.h"
#include "runtime/image/axis_weights.h"
#include "schema/result.h"
#include "schema/status.h"

namespace graft::schema::fb {
struct ImageInput;
}  // namespace graft::schema::fb

namespace graft::runtime {

enum class PixelFormat : uint8_t { kRgb8 = 0, kRgba8 = 1, kGray8 = 2 };

/// Pixels that someone else owns, a byte for each channel, the top row first.
struct ImageView {
  const uint8_t* pixels = nullptr;
  uint32_t width = 0;
  uint32_t height = 0;
  size_t row_stride_bytes = 0;  ///< From one row to the next; 0: they lie side by side.
  PixelFormat format = PixelFormat::kRgb8;
};

/// RGB or grey bytes that lie side by side, as what resizes an image makes.
struct PixelBytes {
  PageMemory memory;
  uint32_t height = 0;
  uint32_t width = 0;
  uint32_t channels = 3;

  ImageView view() const {
    return {memory.data(), width, height, 0,
            channels == 1 ? PixelFormat::kGray8 : PixelFormat::kRgb8};
  }
};

/// An image of another size, of 1 or 3 channels, with Pillow's pixels.
/// Errors   those of PrepareImage.
Result<PixelBytes> ResizeImage(const ImageView& image, uint32_t channels, uint32_t height,
                               uint32_t width, ImageFilter filter);

/// The pixels of `bytes` from (x, y) on, normalized as `input` says: [channels, height, width].
/// Requires a part inside.
void NormalizePixels(const schema::fb::ImageInput& input, const PixelBytes& bytes, uint32_t y,
                     uint32_t x, uint32_t height, uint32_t width, float* planes);

/// Whether an image's size, stride and format are such that it can be read.
Status CheckImage(const ImageView& image);

/// Floats of a prepared image: channels * height * width.
size_t PreparedSize(const schema::fb::ImageInput& input);

/// Resizes, cuts out of the middle, and normalizes as `input` says; schema/model.fbs, ImageInput.
/// `prepared` receives [channels, height, width] and has PreparedSize(input) elements. Pixels are
/// those that Pillow's resize and the centre crop of transformers give, bit for bit. Alpha is left
/// out; grey becomes three equal channels, and colours one grey one, as Pillow's convert does.
/// Takes memory for the rows of one filter window at a time, whatever the image's size.
/// Errors   kInvalidArgument: a side of 0 or more than schema::kMaxImageSide pixels, a row stride
///          shorter than a row. kOutOfMemory.
Status PrepareImage(const schema::fb::ImageInput& input, const ImageView& image,
                    std::span<float> prepared);

}  // namespace graft::runtime
