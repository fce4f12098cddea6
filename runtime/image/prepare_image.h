// SPDX-License-Identifier: Apache-2.0
// PrepareImage: from the pixels of an image of any size to what a model of images takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

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
