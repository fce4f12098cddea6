// SPDX-License-Identifier: Apache-2.0
// Pictures in texts: how a picture of any size becomes the images that a model is shown, and what
// stands for it in a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/image/prepare_image.h"
#include "runtime/session/session_pictures.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Pictures;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Of a picture in some layout.
struct PictureShape {
  uint32_t first_height = 0, first_width = 0;  ///< What it is resized to first; 0: it is not.
  uint32_t height = 0, width = 0;              ///< What it is resized to then, and cut.
  uint32_t tile_rows = 0, tile_columns = 0;    ///< 0: it is one image.
  uint32_t tile_side = 0;
  /// Of the last image of several, the whole; it is made of the picture itself if is_whole_own, else
  /// of what is cut.
  uint32_t whole_height = 0, whole_width = 0;
  bool is_whole_own = false;

  size_t images() const { return size_t{tile_rows} * tile_columns + 1; }
};

/// Requires sides of 1 to schema::kMaxImageSide.
PictureShape ShapeOfPicture(const schema::fb::Pictures& pictures, uint32_t width, uint32_t height);

/// A picture of the caller's, resized and cut as the model's file says. `image` and the pixels must
/// outlive it.
class CallersPicture final : public PictureImages {
 public:
  CallersPicture(const schema::fb::Pictures& pictures, const ImageView& image);
  /// Reads the pixels once, for hash(). To be called first.
  /// Errors   those of CheckImage.
  Status Read();

  schema::Hash128 hash() const override { return hash_; }
  size_t count() const override { return shape_.images(); }
  ImagePixels sides(size_t index) const override;
  Result<ImagePixels> Prepare(size_t index) override;

 private:
  Status Resize();

  const schema::fb::Pictures& pictures_;
  const ImageView& image_;
  PictureShape shape_;
  schema::Hash128 hash_;
  std::optional<PixelBytes> resized_;
  PageMemory planes_;
};

/// `text` with the model's placeholders expanded, in order: to as many tokens as each picture has
/// image rows, and what goes around them. If the text has no placeholder, they go before it.
/// Errors   kInvalidArgument: other placeholders than pictures; kOutOfRange: a text too long.
Result<std::string> PlacePictures(const schema::fb::Pictures& pictures, std::string_view text,
                                  std::span<const PictureShape> shapes);

}  // namespace graft::runtime
