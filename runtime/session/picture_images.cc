// SPDX-License-Identifier: Apache-2.0
// The arithmetic of sizes is that of transformers' image processors, whose divisions are float64 cut
// to whole numbers.
#include "runtime/session/picture_images.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "schema/container.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

struct Sides {
  int64_t height = 0, width = 0;
};

int64_t Whole(double number) { return static_cast<int64_t>(number); }
int64_t NextMultiple(int64_t number, int64_t of) { return (number + of - 1) / of * of; }

// Idefics 3: the longer side becomes `longest`; the other keeps the shape, and is even if the cut
// made it odd.
Sides WithLongerSide(const Sides& sides, int64_t longest) {
  const double ratio = static_cast<double>(sides.width) / static_cast<double>(sides.height);
  const auto even = [](int64_t number) { return number + number % 2; };
  Sides scaled;
  if (sides.width >= sides.height) {
    scaled = {even(Whole(static_cast<double>(longest) / ratio)), longest};
  } else {
    scaled = {longest, even(Whole(static_cast<double>(longest) * ratio))};
  }
  return {std::max<int64_t>(1, scaled.height), std::max<int64_t>(1, scaled.width)};
}

// Its 4,096 pixels at most.
Sides BelowLimit(const Sides& sides) {
  constexpr int64_t kLimit = 4096;
  const double ratio = static_cast<double>(sides.width) / static_cast<double>(sides.height);
  Sides below = sides;
  if (sides.width >= sides.height && sides.width > kLimit) {
    below = {Whole(kLimit / ratio), kLimit};
  } else if (sides.height > sides.width && sides.height > kLimit) {
    below = {kLimit, Whole(kLimit * ratio)};
  }
  return {std::max<int64_t>(1, below.height), std::max<int64_t>(1, below.width)};
}

Sides InTiles(const Sides& sides, int64_t tile) {
  const double ratio = static_cast<double>(sides.width) / static_cast<double>(sides.height);
  Sides whole;
  if (sides.width >= sides.height) {
    whole.width = NextMultiple(sides.width, tile);
    whole.height = NextMultiple(Whole(static_cast<double>(whole.width) / ratio), tile);
  } else {
    whole.height = NextMultiple(sides.height, tile);
    whole.width = NextMultiple(Whole(static_cast<double>(whole.height) * ratio), tile);
  }
  // A side of 0 pixels has no tiles there; here it has one.
  return {std::max(whole.height, tile), std::max(whole.width, tile)};
}

// Pixtral: smaller if a side is longer than `longest`, then the next multiple of `block`.
Sides InGrid(Sides sides, int64_t longest, int64_t block) {
  const double most = static_cast<double>(longest);
  const double ratio =
      std::max(static_cast<double>(sides.height) / most, static_cast<double>(sides.width) / most);
  if (ratio > 1.0) {
    sides = {Whole(std::floor(static_cast<double>(sides.height) / ratio)),
             Whole(std::floor(static_cast<double>(sides.width) / ratio))};
  }
  return {std::max(block, NextMultiple(sides.height, block)),
          std::max(block, NextMultiple(sides.width, block))};
}

// Sides of whole blocks near the picture's own, with a number of pixels in a range; before that is
// looked at, of at least `at_least` blocks.
Sides WithPixels(const fb::Pictures& pictures, const Sides& sides, double fewest, double most,
                 int64_t at_least) {
  const int64_t block = int64_t{pictures.patch()} * pictures.merge();
  const auto size = static_cast<double>(block);
  const auto height = static_cast<double>(sides.height);
  const auto width = static_cast<double>(sides.width);
  const auto rounded = [&](double side) {
    return std::max(at_least, Whole(std::nearbyint(side / size))) * block;
  };
  Sides near = {rounded(height), rounded(width)};
  const double area = static_cast<double>(near.height) * static_cast<double>(near.width);
  if (area > most) {
    const double factor = std::sqrt(height * width / most);
    near = {Whole(std::floor(height / factor / size)) * block,
            Whole(std::floor(width / factor / size)) * block};
  } else if (area < fewest) {
    const double factor = std::sqrt(fewest / (height * width));
    near = {Whole(std::ceil(height * factor / size)) * block,
            Whole(std::ceil(width * factor / size)) * block};
  }
  return {std::max(near.height, block), std::max(near.width, block)};
}

// LFM2-VL: as many blocks as are wanted.
Sides WithRows(const fb::Pictures& pictures, const Sides& sides) {
  const double block = static_cast<double>(pictures.patch()) * pictures.merge();
  return WithPixels(pictures, sides, static_cast<double>(pictures.fewest_rows()) * block * block,
                    static_cast<double>(pictures.most_rows()) * block * block, 1);
}

bool IsTooLarge(const fb::Pictures& pictures, const Sides& sides) {
  const double block = static_cast<double>(pictures.patch()) * pictures.merge();
  const auto rounded = [&](int64_t side) {
    return std::max(static_cast<double>(pictures.patch()),
                    std::nearbyint(static_cast<double>(side) / block) * block);
  };
  return rounded(sides.height) * rounded(sides.width) >
         static_cast<double>(pictures.most_rows()) * block * block *
             static_cast<double>(pictures.tolerance());
}

// Rows and columns of tiles that are nearest to the picture's shape; of equally near ones more, if
// the picture has pixels for half of them.
Sides NearestTiles(const fb::Pictures& pictures, const Sides& sides) {
  const double ratio = static_cast<double>(sides.width) / static_cast<double>(sides.height);
  const double area = static_cast<double>(sides.width) * static_cast<double>(sides.height);
  const double tile_area = static_cast<double>(pictures.tile_side()) * pictures.tile_side();
  double nearest = std::numeric_limits<double>::infinity();
  Sides best = {1, 1};
  for (int64_t tiles = pictures.fewest_tiles(); tiles <= int64_t{pictures.most_tiles()}; ++tiles) {
    for (int64_t columns = 1; columns <= tiles; ++columns) {
      if (tiles % columns != 0) continue;
      const int64_t rows = tiles / columns;
      const double distance =
          std::fabs(ratio - static_cast<double>(columns) / static_cast<double>(rows));
      const bool is_nearer = distance < nearest;
      if (is_nearer || (distance == nearest && area > 0.5 * tile_area * static_cast<double>(tiles)))
        best = {rows, columns};
      if (is_nearer) nearest = distance;
    }
  }
  return best;
}

void Append(const flatbuffers::String* text, std::string* to) {
  if (text != nullptr) to->append(text->string_view());
}

// What goes before the image in tile (row, column), both from 0.
void AppendTileBegin(const fb::Pictures& pictures, uint32_t row, uint32_t column, std::string* to) {
  if (pictures.tile_begin() == nullptr) return;
  std::string text = pictures.tile_begin()->str();
  const auto replace = [&text](std::string_view name, uint32_t number) {
    const size_t at = text.find(name);
    if (at != std::string::npos) text.replace(at, name.size(), std::to_string(number));
  };
  replace("{row}", row + 1);
  replace("{column}", column + 1);
  to->append(text);
}

void AppendRows(const fb::Pictures& pictures, uint32_t rows, uint32_t columns, std::string* to) {
  for (uint32_t row = 0; row < rows; ++row) {
    if (row > 0) Append(pictures.row_break(), to);
    for (uint32_t column = 0; column < columns; ++column) Append(pictures.token_text(), to);
  }
}

// Bytes of a picture's text at most, to be known before it is made.
uint64_t BytesOfPicture(const fb::Pictures& pictures, const PictureShape& shape) {
  constexpr uint64_t kAround = 2048;  // of all texts around an image; each has 256 at most
  const uint64_t block = uint64_t{pictures.patch()} * pictures.merge();
  const uint64_t rows = std::max({shape.height, shape.whole_height, shape.tile_side}) / block + 1;
  const uint64_t columns = std::max({shape.width, shape.whole_width, shape.tile_side}) / block + 1;
  const uint64_t text = pictures.token_text()->size();
  return shape.images() * (kAround + rows * (columns * text + kAround / 8));
}

void AppendPicture(const fb::Pictures& pictures, const PictureShape& shape, std::string* to) {
  const uint32_t block = pictures.patch() * pictures.merge();
  const bool is_cut = shape.tile_rows > 0;
  const uint32_t of_tile = shape.tile_side / block;
  Append(pictures.begin(), to);
  for (uint32_t row = 0; row < shape.tile_rows; ++row) {
    for (uint32_t column = 0; column < shape.tile_columns; ++column) {
      AppendTileBegin(pictures, row, column, to);
      AppendRows(pictures, of_tile, of_tile, to);
    }
    Append(pictures.tile_row_end(), to);
  }
  Append(is_cut ? pictures.whole_begin() : pictures.single_begin(), to);
  AppendRows(pictures, (is_cut ? shape.whole_height : shape.height) / block,
             (is_cut ? shape.whole_width : shape.width) / block, to);
  Append(pictures.end(), to);
}

}  // namespace

PictureShape ShapeOfPicture(const fb::Pictures& pictures, uint32_t width, uint32_t height) {
  const auto u32 = [](int64_t number) { return static_cast<uint32_t>(number); };
  const uint32_t tile = pictures.image()->height();
  PictureShape shape;
  Sides sides = {height, width};
  if (pictures.layout() == fb::PictureLayout::Square) {
    sides = {tile, tile};
  } else if (pictures.layout() == fb::PictureLayout::Grid) {
    sides = InGrid(sides, pictures.longest_side(), int64_t{pictures.patch()} * pictures.merge());
  } else if (pictures.layout() == fb::PictureLayout::Area) {
    sides = WithPixels(pictures, sides, static_cast<double>(pictures.fewest_pixels()),
                       static_cast<double>(pictures.most_pixels()), 0);
  } else if (pictures.layout() == fb::PictureLayout::Ratio) {
    const Sides whole = WithRows(pictures, sides);
    if (pictures.most_tiles() > 0 && IsTooLarge(pictures, sides)) {
      const Sides tiles = NearestTiles(pictures, sides);
      shape.tile_rows = u32(tiles.height);
      shape.tile_columns = u32(tiles.width);
      shape.tile_side = pictures.tile_side();
      shape.whole_height = u32(whole.height);
      shape.whole_width = u32(whole.width);
      shape.is_whole_own = true;
      sides = {tiles.height * int64_t{pictures.tile_side()},
               tiles.width * int64_t{pictures.tile_side()}};
    } else {
      sides = whole;
    }
  } else {
    const Sides first = BelowLimit(WithLongerSide(sides, pictures.longest_side()));
    shape.first_height = u32(first.height);
    shape.first_width = u32(first.width);
    sides = InTiles(first, tile);
    if (sides.height > tile || sides.width > tile) {
      shape.tile_rows = u32(sides.height / tile);
      shape.tile_columns = u32(sides.width / tile);
      shape.tile_side = shape.whole_height = shape.whole_width = tile;
    }
  }
  shape.height = u32(sides.height);
  shape.width = u32(sides.width);
  return shape;
}

CallersPicture::CallersPicture(const fb::Pictures& pictures, const ImageView& image)
    : pictures_(pictures), image_(image) {}

Status CallersPicture::Read() {
  GRAFT_RETURN_IF_ERROR(CheckImage(image_));
  shape_ = ShapeOfPicture(pictures_, image_.width, image_.height);
  const size_t pixel_bytes = image_.format == PixelFormat::kRgb8    ? 3
                             : image_.format == PixelFormat::kRgba8 ? 4
                                                                    : 1;
  const size_t row_bytes = image_.width * pixel_bytes;
  const size_t stride = image_.row_stride_bytes == 0 ? row_bytes : image_.row_stride_bytes;
  std::vector<uint64_t> sums = {image_.width, image_.height, static_cast<uint64_t>(image_.format)};
  for (uint32_t row = 0; row < image_.height; ++row)
    sums.push_back(schema::Checksum64({image_.pixels + row * stride, row_bytes}));
  hash_ = schema::ContentHash(
      {reinterpret_cast<const uint8_t*>(sums.data()), sums.size() * sizeof(uint64_t)}, {});
  return OkStatus();
}

ImagePixels CallersPicture::sides(size_t index) const {
  if (shape_.images() == 1) return {nullptr, shape_.height, shape_.width};
  if (index + 1 < shape_.images()) return {nullptr, shape_.tile_side, shape_.tile_side};
  return {nullptr, shape_.whole_height, shape_.whole_width};
}

Status CallersPicture::Resize() {
  if (resized_.has_value()) return OkStatus();
  const fb::ImageInput& input = *pictures_.image();
  const auto filter = static_cast<ImageFilter>(input.filter());
  std::optional<PixelBytes> first;
  if (shape_.first_height > 0) {
    GRAFT_ASSIGN_OR_RETURN(
        first.emplace(),
        ResizeImage(image_, input.channels(), shape_.first_height, shape_.first_width, filter));
  }
  GRAFT_ASSIGN_OR_RETURN(PixelBytes resized,
                         ResizeImage(first ? first->view() : image_, input.channels(),
                                     shape_.height, shape_.width, filter));
  resized_ = std::move(resized);
  return OkStatus();
}

Result<ImagePixels> CallersPicture::Prepare(size_t index) {
  GRAFT_RETURN_IF_ERROR(Resize());
  const fb::ImageInput& input = *pictures_.image();
  ImagePixels image = sides(index);
  const uint64_t floats = uint64_t{input.channels()} * image.height * image.width;
  if (planes_.size() < floats * sizeof(float)) {
    planes_ = PageMemory();
    GRAFT_ASSIGN_OR_RETURN(
        planes_, PageMemory::Allocate(floats * sizeof(float), "the prepared pixels of an image"));
  }
  auto* planes = reinterpret_cast<float*>(planes_.data());
  image.values = planes;
  if (index + 1 < count()) {
    const auto tile = static_cast<uint32_t>(index);
    NormalizePixels(input, *resized_, tile / shape_.tile_columns * image.height,
                    tile % shape_.tile_columns * image.width, image.height, image.width, planes);
  } else if (count() == 1) {
    NormalizePixels(input, *resized_, 0, 0, image.height, image.width, planes);
  } else {
    GRAFT_ASSIGN_OR_RETURN(
        const PixelBytes whole,
        ResizeImage(shape_.is_whole_own ? image_ : resized_->view(), input.channels(), image.height,
                    image.width, static_cast<ImageFilter>(input.filter())));
    NormalizePixels(input, whole, 0, 0, image.height, image.width, planes);
  }
  return image;
}

Result<std::string> PlacePictures(const fb::Pictures& pictures, std::string_view text,
                                  std::span<const PictureShape> shapes) {
  constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
  const std::string_view placeholder = pictures.placeholder()->string_view();
  size_t found = 0;
  for (size_t at = text.find(placeholder); at != std::string_view::npos;
       at = text.find(placeholder, at + placeholder.size()))
    ++found;
  if (found != shapes.size() && (found != 0 || text.find(placeholder) != std::string_view::npos)) {
    return Error(StatusCode::kInvalidArgument,
                 "the text has %zu places for pictures (%.100s), and there are %zu", found,
                 pictures.placeholder()->c_str(), shapes.size());
  }
  uint64_t bytes = text.size();
  for (const PictureShape& shape : shapes) bytes += BytesOfPicture(pictures, shape);
  if (bytes > kMaxBytes)
    return Error(StatusCode::kOutOfRange, "the text with its pictures has too many bytes");
  std::string placed;
  if (found == 0) {
    for (const PictureShape& shape : shapes) AppendPicture(pictures, shape, &placed);
    return placed.append(text);
  }
  for (const PictureShape& shape : shapes) {
    const size_t at = text.find(placeholder);
    placed.append(text.substr(0, at));
    AppendPicture(pictures, shape, &placed);
    text.remove_prefix(at + placeholder.size());
  }
  return placed.append(text);
}

}  // namespace graft::runtime
