// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/encode.h"

#include <algorithm>
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

size_t ScaleBytes(const StoredFormat& format) {
  return format.kind == StorageKind::kInt4Block ? sizeof(uint16_t) : sizeof(float);
}

void PutScale(const StoredFormat& format, float scale, uint8_t* to) {
  if (format.kind != StorageKind::kInt4Block) {
    std::memcpy(to, &scale, sizeof(scale));
    return;
  }
  const uint16_t bits = FloatToBf16Bits(scale);
  std::memcpy(to, &bits, sizeof(bits));
}

float GetScale(const StoredFormat& format, const uint8_t* from) {
  float scale = 0.0f;
  if (format.kind != StorageKind::kInt4Block) {
    std::memcpy(&scale, from, sizeof(scale));
    return scale;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof(bits));
  return Bf16BitsToFloat(bits);
}

double ErrorSquares(std::span<const double> numbers, std::span<const double> stored) {
  double sum = 0.0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double error = stored[i] - numbers[i];
    sum += error * error;
  }
  return sum;
}

/// Rows as codes under scales. A group is what shares one: a row, or a block of a row.
struct ScaledRows {
  const StoredFormat& format;
  size_t width;
  std::span<const double> numbers;
  uint8_t* data;
  std::span<double> stored;

  size_t group() const {
    return format.kind == StorageKind::kInt4Block ? format.block_size : width;
  }

  std::vector<float> ChooseScales() const {
    std::vector<float> scales(numbers.size() / group());
    if (format.kind == StorageKind::kInt4Block) {
      // Blocks lie one after another, whatever row they belong to.
      Int4BlockScales(numbers, format.block_size, scales);
      return scales;
    }
    for (size_t row = 0; row < scales.size(); ++row) {
      const auto row_numbers = numbers.subspan(row * width, width);
      scales[row] = format.kind == StorageKind::kInt8PerChannel ? Int8ChannelScale(row_numbers)
                                                                : Int4ChannelScale(row_numbers);
    }
    return scales;
  }

  void Encode(std::span<const float> scales) const {
    if (format.kind != StorageKind::kInt8PerChannel) {
      return EncodeInt4(numbers, group(), scales, data, stored.data());
    }
    for (size_t row = 0; row < scales.size(); ++row) {
      EncodeInt8(numbers.subspan(row * width, width), scales[row],
                 reinterpret_cast<int8_t*>(data + row * width), stored.data() + row * width);
    }
  }

  // Takes those of the scales offered that cost little, with the codes that go with them.
  void Take(LikeScales* like, std::vector<float>* scales) const {
    const size_t size = group();
    const size_t code_bytes = format.is_int4() ? size / 2 : size;
    const size_t offered = std::min(scales->size(), like->scales.size() / ScaleBytes(format));
    std::vector<uint8_t> codes(code_bytes);
    std::vector<double> numbers_for(size);
    for (size_t i = 0; i < offered; ++i) {
      const float scale = GetScale(format, like->scales.data() + i * ScaleBytes(format));
      ++like->offered;
      if (scale == (*scales)[i]) {
        ++like->kept;
        continue;
      }
      const auto group_numbers = numbers.subspan(i * size, size);
      const auto group_stored = stored.subspan(i * size, size);
      ScaledRows one{format, size, group_numbers, codes.data(), numbers_for};
      one.Encode(std::span(&scale, 1));
      if (ErrorSquares(group_numbers, numbers_for) >
          kLikeErrorGrowth * ErrorSquares(group_numbers, group_stored)) {
        continue;
      }
      ++like->kept;
      (*scales)[i] = scale;
      std::memcpy(data + i * code_bytes, codes.data(), code_bytes);
      std::copy(numbers_for.begin(), numbers_for.end(), group_stored.begin());
    }
  }
};

}  // namespace

Status EncodeRows(const StoredFormat& format, std::span<const double> numbers, int64_t row_elements,
                  uint8_t* data, uint8_t* scales, std::span<double> stored, LikeScales* like,
                  GridCounts* grid) {
  if (!AllWithin(numbers, LargestNumber(format))) {
    return OutOfRangeError(format, numbers, row_elements);
  }
  const auto width = static_cast<size_t>(row_elements);
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
    case StorageKind::kInt4Block:
    case StorageKind::kInt4PerChannel: {
      ScaledRows encoded{format, width, numbers, data, stored};
      std::vector<float> chosen = encoded.ChooseScales();
      GridCounts counts;
      TakeGridScales(format, numbers, width, encoded.group(), chosen, &counts);
      if (grid != nullptr) grid->Add(counts);
      encoded.Encode(chosen);
      if (like != nullptr) encoded.Take(like, &chosen);
      for (size_t i = 0; i < chosen.size(); ++i) {
        PutScale(format, chosen[i], scales + i * ScaleBytes(format));
      }
      return OkStatus();
    }
  }
  return Error(StatusCode::kInternal, "storage kind %d", static_cast<int>(format.kind));
}

void DecodeRows(const StoredFormat& format, std::span<const uint8_t> data,
                std::span<const uint8_t> scales, int64_t row_elements, std::span<double> stored) {
  const size_t group = format.kind == StorageKind::kInt4Block ? format.block_size
                                                              : static_cast<size_t>(row_elements);
  for (size_t begin = 0; begin < stored.size(); begin += group) {
    const double scale = GetScale(format, scales.data() + begin / group * ScaleBytes(format));
    const size_t end = std::min(begin + group, stored.size());
    if (!format.is_int4()) {
      for (size_t i = begin; i < end; ++i) stored[i] = static_cast<int8_t>(data[i]) * scale;
      continue;
    }
    for (size_t i = begin; i < end; ++i) {
      stored[i] = (static_cast<int>(data[i / 2] >> (i % 2 * 4) & 15) - 8) * scale;
    }
  }
}

}  // namespace graft::converter
