// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/embedding.h"

#include <cstring>

#include "hwy/base.h"

namespace graft::runtime {
namespace {

float FromBFloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float number;
  std::memcpy(&number, &wide, sizeof(number));
  return number;
}

template <typename T>
T LoadAt(const uint8_t* bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// Two codes to a byte, the even column in the low half.
void ReadInt4(const uint8_t* codes, size_t begin, size_t end, float scale, float* out) {
  for (size_t i = begin; i < end; i += 2) {
    const uint8_t byte = codes[i / 2];
    out[i] = scale * static_cast<float>(static_cast<int>(byte & 15) - 8);
    out[i + 1] = scale * static_cast<float>(static_cast<int>(byte >> 4) - 8);
  }
}

}  // namespace

size_t StoredMatrix::row_bytes() const {
  switch (format) {
    case WeightFormat::kFloat32:
      return width * 4;
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return width * 2;
    case WeightFormat::kInt8Channel:
      return width;
    case WeightFormat::kInt4Block:
    case WeightFormat::kInt4Channel:
      return width / 2;
  }
  return 0;
}

StoredMatrix RowsOf(const StoredMatrix& matrix, size_t begin, size_t rows) {
  StoredMatrix part = matrix;
  part.rows = rows;
  part.data += begin * matrix.row_bytes();
  if (matrix.format == WeightFormat::kInt4Block) {
    part.scales += begin * (matrix.width / matrix.block_size) * sizeof(uint16_t);
  } else if (matrix.scales != nullptr) {
    part.scales += begin * sizeof(float);
  }
  return part;
}

void ReadRow(const StoredMatrix& matrix, size_t row, float multiplier, float* out) {
  const size_t width = matrix.width;
  const uint8_t* data = matrix.data + row * matrix.row_bytes();
  switch (matrix.format) {
    case WeightFormat::kFloat32:
      for (size_t i = 0; i < width; ++i) out[i] = multiplier * LoadAt<float>(data, i);
      return;
    case WeightFormat::kFloat16:
      for (size_t i = 0; i < width; ++i)
        out[i] = multiplier * hwy::F32FromF16(hwy::float16_t::FromBits(LoadAt<uint16_t>(data, i)));
      return;
    case WeightFormat::kBFloat16:
      for (size_t i = 0; i < width; ++i)
        out[i] = multiplier * FromBFloat16(LoadAt<uint16_t>(data, i));
      return;
    case WeightFormat::kInt8Channel: {
      const float scale = multiplier * LoadAt<float>(matrix.scales, row);
      for (size_t i = 0; i < width; ++i)
        out[i] = scale * static_cast<float>(static_cast<int8_t>(data[i]));
      return;
    }
    case WeightFormat::kInt4Block: {
      const size_t blocks = width / matrix.block_size;
      for (size_t block = 0; block < blocks; ++block) {
        const float scale =
            multiplier * FromBFloat16(LoadAt<uint16_t>(matrix.scales, row * blocks + block));
        ReadInt4(data, block * matrix.block_size, (block + 1) * matrix.block_size, scale, out);
      }
      return;
    }
    case WeightFormat::kInt4Channel:
      return ReadInt4(data, 0, width, multiplier * LoadAt<float>(matrix.scales, row), out);
  }
}

}  // namespace graft::runtime
