// SPDX-License-Identifier: Apache-2.0
#include "runtime/image/prepare_image.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/base/page_memory.h"
#include "runtime/image/axis_weights.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"
#include "schema/result.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

static_assert(static_cast<int>(ImageFilter::kBicubic) ==
              static_cast<int>(fb::ImageFilter::Bicubic));
static_assert(static_cast<int>(ImageFilter::kNearest) ==
              static_cast<int>(fb::ImageFilter::Nearest));

constexpr int64_t kMaxChannels = 3;

size_t BytesPerPixel(PixelFormat format) {
  switch (format) {
    case PixelFormat::kRgb8:
      return 3;
    case PixelFormat::kRgba8:
      return 4;
    case PixelFormat::kGray8:
      return 1;
  }
  return 0;
}

struct Size {
  int64_t height = 0;
  int64_t width = 0;
};

// As transformers rounds: the longer side is cut to a whole number.
Size ResizedSize(const fb::ImageInput& input, const ImageView& image) {
  const Size size{image.height, image.width};
  if (input.resize_height() == 0) return size;
  if (input.resize_width() != 0) return {input.resize_height(), input.resize_width()};
  const int64_t shorter = input.resize_height();
  const auto longer = [&](int64_t long_side, int64_t short_side) {
    return static_cast<int64_t>(static_cast<double>(shorter * long_side) /
                                static_cast<double>(short_side));
  };
  return size.width <= size.height ? Size{longer(size.height, size.width), shorter}
                                   : Size{shorter, longer(size.width, size.height)};
}

// Along one side: out pixels [begin, begin + count) show the resized image from `first` on; those
// around them are black.
struct Cut {
  int64_t begin = 0;
  int64_t first = 0;
  int64_t count = 0;
};

Cut CutFromMiddle(int64_t resized, int64_t wanted) {
  const int64_t difference = resized - wanted;
  const int64_t offset = difference >= 0 ? difference / 2 : -((1 - difference) / 2);
  Cut cut;
  cut.begin = std::max<int64_t>(0, -offset);
  cut.first = cut.begin + offset;
  cut.count = std::min(wanted, resized - offset) - cut.begin;
  return cut;
}

// (pixel * rescale - mean) / deviation for every value of a pixel, rounded where transformers
// rounds: after the product, which it takes in float64, and then in float32.
using PixelValues = std::array<std::array<float, 256>, kMaxChannels>;

void FillPixelValues(const fb::ImageInput& input, PixelValues* values) {
  const auto at = [](const flatbuffers::Vector<float>* numbers, uint32_t i, float fallback) {
    return numbers == nullptr || numbers->size() == 0 ? fallback : numbers->Get(i);
  };
  for (uint32_t channel = 0; channel < input.channels(); ++channel) {
    const float mean = at(input.mean(), channel, 0.0f);
    const float deviation = at(input.deviation(), channel, 1.0f);
    for (int pixel = 0; pixel < 256; ++pixel) {
      const auto rescaled = static_cast<float>(pixel * static_cast<double>(input.rescale()));
      (*values)[channel][static_cast<size_t>(pixel)] = (rescaled - mean) / deviation;
    }
  }
}

// As Pillow 13 chooses: columns first, so that fewer of them are left to resize, if the height
// shrinks much more than the width. Each pass rounds to pixels, so the order shows in the last bit.
bool IsVerticalFirst(const ImageView& image, const Size& resized) {
  const int64_t less_height = image.height - resized.height;
  const int64_t less_width = image.width - resized.width;
  return less_height > 0 && less_height > 2 * less_width;
}

// Resizes an image row by row. Horizontally first: each row of the image is resized once, into a
// ring of as many rows as the widest vertical window takes. Vertically first: the rows of a window
// are added up as they are.
class RowResizer {
 public:
  RowResizer(const ImageView& image, int64_t channels, AxisWeights columns, AxisWeights rows,
             bool is_vertical_first)
      : image_(image),
        channels_(channels),
        columns_(std::move(columns)),
        rows_(std::move(rows)),
        is_vertical_first_(is_vertical_first) {
    row_bytes_ = static_cast<size_t>(columns_.count() * channels);
    source_bytes_ = image.width * static_cast<size_t>(channels);
  }

  Status Allocate() {
    const size_t blended = is_vertical_first_ ? source_bytes_ : row_bytes_;
    const size_t ring = is_vertical_first_ ? 0 : row_bytes_ * static_cast<size_t>(rows_.widest());
    GRAFT_ASSIGN_OR_RETURN(memory_, PageMemory::Allocate(blended * sizeof(int32_t) + blended +
                                                             ring + row_bytes_ + source_bytes_,
                                                         "resizing an image"));
    sums_ = reinterpret_cast<int32_t*>(memory_.data());
    blended_ = memory_.data() + blended * sizeof(int32_t);
    ring_ = blended_ + blended;
    row_ = ring_ + ring;
    source_ = row_ + row_bytes_;
    return OkStatus();
  }

  /// Resized row `index`, a pixel for each column; in ascending order, until the next call.
  const uint8_t* Row(int64_t index) {
    const auto weights = rows_.weights(index);
    const int64_t begin = rows_.begin(index);
    if (is_vertical_first_) {
      Blend(begin, weights, source_bytes_, [this](int64_t row) { return SourceRow(row); });
      ResizeRow(blended_, row_);
      return row_;
    }
    const int64_t end = begin + static_cast<int64_t>(weights.size());
    for (next_ = std::max(next_, begin); next_ < end; ++next_)
      ResizeRow(SourceRow(next_), RingRow(next_));
    Blend(begin, weights, row_bytes_, [this](int64_t row) { return RingRow(row); });
    return blended_;
  }

 private:
  uint8_t* RingRow(int64_t row) const {
    return ring_ + static_cast<size_t>(row % rows_.widest()) * row_bytes_;
  }

  // The rows from `begin` on, times their weights, into blended_.
  template <typename RowAt>
  void Blend(int64_t begin, std::span<const int32_t> weights, size_t bytes, const RowAt& row_at) {
    std::fill_n(sums_, bytes, 0);
    for (const int32_t weight : weights) {
      const uint8_t* row = row_at(begin++);
      for (size_t i = 0; i < bytes; ++i) sums_[i] += weight * row[i];
    }
    for (size_t i = 0; i < bytes; ++i) blended_[i] = PixelOfSum(sums_[i]);
  }

  // A row of the image with as many channels as the model has.
  const uint8_t* SourceRow(int64_t row) const {
    const size_t pixel_bytes = BytesPerPixel(image_.format);
    const size_t stride =
        image_.row_stride_bytes != 0 ? image_.row_stride_bytes : image_.width * pixel_bytes;
    const uint8_t* from = image_.pixels + static_cast<size_t>(row) * stride;
    if (static_cast<int64_t>(pixel_bytes) == channels_) return from;
    const bool is_gray = image_.format == PixelFormat::kGray8;
    uint8_t* to = source_;
    for (uint32_t x = 0; x < image_.width; ++x, from += pixel_bytes) {
      if (channels_ == 1) {  // ITU-R 601-2, in Pillow's fixed point
        const uint32_t sum = from[0] * 19595u + from[1] * 38470u + from[2] * 7471u;
        *to++ = static_cast<uint8_t>((sum + 0x8000u) >> 16);
        continue;
      }
      *to++ = from[0];
      *to++ = from[is_gray ? 0 : 1];
      *to++ = from[is_gray ? 0 : 2];
    }
    return source_;
  }

  void ResizeRow(const uint8_t* from, uint8_t* to) const {
    for (int64_t x = 0; x < columns_.count(); ++x) {
      const uint8_t* pixel = from + columns_.begin(x) * channels_;
      int32_t sums[kMaxChannels] = {};
      if (channels_ == 3) {
        for (const int32_t weight : columns_.weights(x)) {
          sums[0] += weight * pixel[0];
          sums[1] += weight * pixel[1];
          sums[2] += weight * pixel[2];
          pixel += 3;
        }
      } else {
        for (const int32_t weight : columns_.weights(x)) sums[0] += weight * *pixel++;
      }
      for (int64_t channel = 0; channel < channels_; ++channel) *to++ = PixelOfSum(sums[channel]);
    }
  }

  const ImageView& image_;
  int64_t channels_;
  AxisWeights columns_;
  AxisWeights rows_;
  bool is_vertical_first_;
  size_t row_bytes_;     // of a resized row
  size_t source_bytes_;  // of a row of the image in the model's channels
  int64_t next_ = 0;     // the next row of the image that has not been resized
  PageMemory memory_;    // of all that follows
  int32_t* sums_ = nullptr;
  uint8_t* blended_ = nullptr;
  uint8_t* ring_ = nullptr;
  uint8_t* row_ = nullptr;
  uint8_t* source_ = nullptr;
};

}  // namespace

Status CheckImage(const ImageView& image) {
  if (image.pixels == nullptr) {
    return Error(StatusCode::kInvalidArgument, "the image's pixels are NULL");
  }
  const uint32_t limit = schema::kMaxImageSide;
  if (image.width < 1 || image.width > limit || image.height < 1 || image.height > limit) {
    return Error(StatusCode::kInvalidArgument,
                 "the image is %u x %u pixels; it must have 1 to %u a side", image.width,
                 image.height, limit);
  }
  const size_t row_bytes = image.width * BytesPerPixel(image.format);
  if (row_bytes == 0) {
    return Error(StatusCode::kInvalidArgument, "the image's format %u is not known",
                 static_cast<unsigned>(image.format));
  }
  if (image.row_stride_bytes != 0 && image.row_stride_bytes < row_bytes) {
    return Error(StatusCode::kInvalidArgument,
                 "the image's rows are %zu bytes apart, but have %zu bytes", image.row_stride_bytes,
                 row_bytes);
  }
  return OkStatus();
}

Result<PixelBytes> ResizeImage(const ImageView& image, uint32_t channels, uint32_t height,
                               uint32_t width, ImageFilter filter) {
  GRAFT_RETURN_IF_ERROR(CheckImage(image));
  PixelBytes resized;
  resized.height = height;
  resized.width = width;
  resized.channels = channels;
  const size_t row_bytes = size_t{width} * channels;
  GRAFT_ASSIGN_OR_RETURN(resized.memory,
                         PageMemory::Allocate(uint64_t{height} * row_bytes, "a resized image"));
  GRAFT_ASSIGN_OR_RETURN(AxisWeights across,
                         AxisWeights::Create(image.width, width, 0, width, filter));
  GRAFT_ASSIGN_OR_RETURN(AxisWeights down,
                         AxisWeights::Create(image.height, height, 0, height, filter));
  RowResizer resizer(image, channels, std::move(across), std::move(down),
                     IsVerticalFirst(image, {height, width}));
  GRAFT_RETURN_IF_ERROR(resizer.Allocate());
  for (uint32_t row = 0; row < height; ++row)
    std::copy_n(resizer.Row(row), row_bytes, resized.memory.data() + row * row_bytes);
  return resized;
}

void NormalizePixels(const fb::ImageInput& input, const PixelBytes& bytes, uint32_t y, uint32_t x,
                     uint32_t height, uint32_t width, float* planes) {
  PixelValues values;
  FillPixelValues(input, &values);
  const size_t channels = bytes.channels;
  const size_t plane = size_t{height} * width;
  for (uint32_t row = 0; row < height; ++row) {
    const uint8_t* pixel = bytes.memory.data() + ((size_t{y} + row) * bytes.width + x) * channels;
    float* to = planes + size_t{row} * width;
    for (uint32_t column = 0; column < width; ++column) {
      for (size_t channel = 0; channel < channels; ++channel)
        to[channel * plane + column] = values[channel][*pixel++];
    }
  }
}

size_t PreparedSize(const fb::ImageInput& input) {
  return size_t{input.channels()} * input.height() * input.width();
}

Status PrepareImage(const fb::ImageInput& input, const ImageView& image,
                    std::span<float> prepared) {
  GRAFT_RETURN_IF_ERROR(CheckImage(image));
  const auto channels = static_cast<int64_t>(input.channels());
  const Size resized = ResizedSize(input, image);
  const Cut rows = CutFromMiddle(resized.height, input.height());
  const Cut columns = CutFromMiddle(resized.width, input.width());
  const auto filter = static_cast<ImageFilter>(input.filter());
  GRAFT_ASSIGN_OR_RETURN(
      AxisWeights across,
      AxisWeights::Create(image.width, resized.width, columns.first, columns.count, filter));
  GRAFT_ASSIGN_OR_RETURN(AxisWeights down, AxisWeights::Create(image.height, resized.height,
                                                               rows.first, rows.count, filter));
  RowResizer resizer(image, channels, std::move(across), std::move(down),
                     IsVerticalFirst(image, resized));
  GRAFT_RETURN_IF_ERROR(resizer.Allocate());

  PixelValues values;
  FillPixelValues(input, &values);
  const size_t plane = size_t{input.height()} * input.width();
  for (size_t channel = 0; channel < input.channels(); ++channel)
    std::fill_n(prepared.data() + channel * plane, plane, values[channel][0]);
  for (int64_t y = 0; y < rows.count; ++y) {
    const uint8_t* pixel = resizer.Row(y);
    float* to = prepared.data() + static_cast<size_t>(rows.begin + y) * input.width() +
                static_cast<size_t>(columns.begin);
    for (int64_t x = 0; x < columns.count; ++x) {
      for (size_t channel = 0; channel < input.channels(); ++channel)
        to[channel * plane + static_cast<size_t>(x)] = values[channel][*pixel++];
    }
  }
  return OkStatus();
}

}  // namespace graft::runtime
