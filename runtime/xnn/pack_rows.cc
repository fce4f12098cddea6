// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/pack_rows.h"

#include <cstring>
#include <memory>
#include <new>

#include "runtime/xnn/block_packing.h"
#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {

Status PackRows(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                const float* bias, size_t begin, size_t end, uint8_t* packed) {
  RowSource source;
  source.data = matrix.data + begin * matrix.row_bytes();
  source.bias = bias == nullptr ? nullptr : bias + begin;
  switch (weights.format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      break;
    case WeightFormat::kInt8Channel:
    case WeightFormat::kInt4Channel:
      source.scales = matrix.scales + begin * sizeof(float);
      break;
    case WeightFormat::kInt4Block:
      source.scales = matrix.scales + begin * (matrix.width / matrix.block_size) * sizeof(uint16_t);
      break;
  }
  std::unique_ptr<float[]> widened;
  if (weights.format == WeightFormat::kFloat16 || weights.format == WeightFormat::kBFloat16) {
    widened.reset(new (std::nothrow) float[(end - begin) * matrix.width]);
    if (!widened) {
      return Error(StatusCode::kOutOfMemory,
                   "tensor %.200s: cannot allocate %zu floats to widen %zu rows", name,
                   (end - begin) * matrix.width, end - begin);
    }
    for (size_t row = begin; row < end; ++row)
      ReadRow(matrix, row, 1.0f, &widened[(row - begin) * matrix.width]);
    source.data = widened.get();
  }
  const uint64_t capacity = PackedRangeOf(weights, begin, end).bytes;
  if (weights.block_tile != 0) {
    const BlockRows rows = {matrix.data + begin * matrix.row_bytes(),
                            static_cast<const uint16_t*>(source.scales),
                            source.bias,
                            end - begin,
                            matrix.width,
                            matrix.block_size};
    // Other scales are left to XNNPACK, which refuses those that are not positive and normal.
    if (CanPackScales(rows)) {
      const size_t tiles = (rows.rows + weights.block_tile - 1) / weights.block_tile;
      const uint64_t bytes = tiles * weights.block_tile * weights.row_bytes;
      PackBlocks({weights.block_tile}, rows, packed);
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
