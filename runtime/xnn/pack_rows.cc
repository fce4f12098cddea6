// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/pack_rows.h"

#include <cstring>
#include <memory>
#include <new>

#include "runtime/xnn/block_packing.h"
#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {
namespace {

// All kernels, each with its numbers in the order row, column, channel instead of channel, row,
// column.
Status ReadKernels(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                   float* kernels) {
  std::unique_ptr<float[]> row(new (std::nothrow) float[matrix.width]);
  if (!row) return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate a row", name);
  const size_t places = weights.convolution.kernel();
  const size_t channels = matrix.width / places;
  for (size_t i = 0; i < matrix.rows; ++i, kernels += matrix.width) {
    ReadRow(matrix, i, 1.0f, row.get());
    for (size_t channel = 0; channel < channels; ++channel) {
      for (size_t place = 0; place < places; ++place)
        kernels[place * channels + channel] = row[channel * places + place];
    }
  }
  return OkStatus();
}

// The rows as floats, if that is what is packed of them; else leaves *widened alone.
Status Widen(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
             std::unique_ptr<float[]>* widened) {
  const bool is_convolution = weights.convolution.groups != 0;
  if (!is_convolution && weights.format != WeightFormat::kFloat16 &&
      weights.format != WeightFormat::kBFloat16) {
    return OkStatus();
  }
  widened->reset(new (std::nothrow) float[matrix.rows * matrix.width]);
  if (!*widened) {
    return Error(StatusCode::kOutOfMemory,
                 "tensor %.200s: cannot allocate %zu floats to widen %zu rows", name,
                 matrix.rows * matrix.width, matrix.rows);
  }
  if (is_convolution) return ReadKernels(name, weights, matrix, widened->get());
  for (size_t row = 0; row < matrix.rows; ++row)
    ReadRow(matrix, row, 1.0f, widened->get() + row * matrix.width);
  return OkStatus();
}

}  // namespace

Status PackRows(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                const float* bias, size_t begin, size_t end, uint8_t* packed) {
  RowSource source;
  source.data = matrix.data;
  source.bias = bias;
  switch (weights.format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      break;
    case WeightFormat::kInt8Channel:
    case WeightFormat::kInt4Channel:
    case WeightFormat::kInt4Block:
      source.scales = matrix.scales;
      break;
  }
  std::unique_ptr<float[]> widened;
  GRAFT_RETURN_IF_ERROR(Widen(name, weights, matrix, &widened));
  if (widened) source.data = widened.get();
  const uint64_t capacity = PackedRangeOf(weights, begin, end).bytes;
  if (const BlockTile& tile = weights.block_tile; tile.rows != 0) {
    const BlockRows rows = {matrix.data,  static_cast<const uint16_t*>(source.scales),
                            source.bias,  end - begin,
                            matrix.width, matrix.block_size};
    // Other scales are left to XNNPACK, which refuses those that are not positive and normal.
    if (CanPackScales(rows)) {
      const size_t tiles = (rows.rows + tile.rows - 1) / tile.rows;
      const uint64_t bytes = tiles * tile.rows * weights.row_bytes;
      PackBlocks(tile, rows, packed);
      std::memset(packed + bytes, 0, capacity - bytes);
      return OkStatus();
    }
  }
  Provider provider(Provider::Mode::kPack, packed, capacity);
  xnn_operator_t op = nullptr;
  const xnn_status status = CreateOperator(weights, end - begin, source, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (provider.asked > capacity) {
    return Error(StatusCode::kInternal,
                 "tensor %.200s: rows %zu to %zu pack into %zu bytes, not the %llu expected", name,
                 begin, end, provider.asked, static_cast<unsigned long long>(capacity));
  }
  return FromXnnpack(status, name, "pack");
}

}  // namespace graft::runtime
