// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/encode.h"

#include <cinttypes>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "converter/quantize/quantize_kernels.h"
#include "converter/tensors/float_formats.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

constexpr double kMaxFloat32 = std::numeric_limits<float>::max();
constexpr double kMaxFloat16 = 65504.0;

double LargestNumber(const StoredFormat& format) {
  switch (format.kind) {
    case StorageKind::kFloat16:
      return kMaxFloat16;
    case StorageKind::kFloat32:
    case StorageKind::kBFloat16:
    case StorageKind::kInt8PerChannel:
    case StorageKind::kInt4Block:
    case StorageKind::kInt4PerChannel:
      return kMaxFloat32;
  }
  return kMaxFloat32;
}

// Which row holds the number that is out of range, for the message.
Status OutOfRangeError(const StoredFormat& format, std::span<const double> numbers,
                       int64_t row_elements) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (std::fabs(numbers[i]) <= LargestNumber(format)) continue;
    const auto row = static_cast<int64_t>(i) / row_elements;
    if (!std::isfinite(numbers[i])) {
      return Error(StatusCode::kCorrupt, "row %" PRId64 " holds a number that is not finite", row);
    }
    return Error(StatusCode::kCorrupt, "row %" PRId64 " holds %g; %s reaches %g", row, numbers[i],
                 format.Name().c_str(), LargestNumber(format));
  }
  return OkStatus();
}

template <typename T>
void PutScale(uint8_t* scales, size_t index, T value) {
  std::memcpy(scales + index * sizeof(T), &value, sizeof(T));
}

}  // namespace

Status EncodeRows(const StoredFormat& format, std::span<const double> numbers, int64_t row_elements,
                  uint8_t* data, uint8_t* scales, std::span<double> stored) {
  if (!AllWithin(numbers, LargestNumber(format))) {
    return OutOfRangeError(format, numbers, row_elements);
  }
  const auto width = static_cast<size_t>(row_elements);
  const size_t rows = numbers.size() / width;
  switch (format.kind) {
    case StorageKind::kFloat32:
      Narrow(DType::kFloat32, numbers.data(), numbers.size(), data);
      Widen(DType::kFloat32, data, numbers.size(), stored.data());
      return OkStatus();
    case StorageKind::kFloat16:
      Narrow(DType::kFloat16, numbers.data(), numbers.size(), data);
      Widen(DType::kFloat16, data, numbers.size(), stored.data());
      return OkStatus();
    case StorageKind::kBFloat16:
      Narrow(DType::kBFloat16, numbers.data(), numbers.size(), data);
      Widen(DType::kBFloat16, data, numbers.size(), stored.data());
      return OkStatus();
    case StorageKind::kInt8PerChannel:
      for (size_t row = 0; row < rows; ++row) {
        const auto row_numbers = numbers.subspan(row * width, width);
        const float scale = Int8ChannelScale(row_numbers);
        PutScale(scales, row, scale);
        EncodeInt8(row_numbers, scale, reinterpret_cast<int8_t*>(data + row * width),
                   stored.data() + row * width);
      }
      return OkStatus();
    case StorageKind::kInt4Block: {
      // Blocks lie one after another, whatever row they belong to.
      std::vector<float> block_scales(numbers.size() / format.block_size);
      Int4BlockScales(numbers, format.block_size, block_scales);
      for (size_t i = 0; i < block_scales.size(); ++i) {
        PutScale(scales, i, FloatToBf16Bits(block_scales[i]));
      }
      EncodeInt4(numbers, format.block_size, block_scales, data, stored.data());
      return OkStatus();
    }
    case StorageKind::kInt4PerChannel: {
      std::vector<float> row_scales(rows);
      for (size_t row = 0; row < rows; ++row) {
        row_scales[row] = Int4ChannelScale(numbers.subspan(row * width, width));
        PutScale(scales, row, row_scales[row]);
      }
      EncodeInt4(numbers, width, row_scales, data, stored.data());
      return OkStatus();
    }
  }
  return Error(StatusCode::kInternal, "storage kind %d", static_cast<int>(format.kind));
}

}  // namespace graft::converter
