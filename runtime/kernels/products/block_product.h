// SPDX-License-Identifier: Apache-2.0
// Products of int8 rows and int4 blocks on packed weights, for CPUs on which the kernels that the
// layout comes from are the slower ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/row_kernels.h"

namespace graft::runtime {

/// How weights are packed.
struct BlockTile {
  size_t rows = 0;   ///< rows of W side by side
  size_t depth = 0;  ///< neighbouring columns of one of them
};

/// y = x W^T + bias, W in int4 blocks of `block_size` columns, a multiple of 32.
struct BlockProduct {
  const int8_t* codes = nullptr;                  ///< [rows, in_features]
  const RowQuantization* quantization = nullptr;  ///< [rows]
  size_t rows = 0;
  size_t in_features = 0;
  size_t block_size = 0;
  size_t depth = 0;                 ///< that of the BlockTile
  const uint8_t* packed = nullptr;  ///< W and bias, as block_packing.h has them
  size_t out_features = 0;
  float* output = nullptr;  ///< [rows, out_features], rows `output_stride` elements apart
  size_t output_stride = 0;
};

/// Whether MultiplyBlocks is the faster way on this CPU for weights of `in_features` columns that
/// are packed like this: tiles of 8 x 8 at AVX2, of 16 x 4 and 16 x 8 where 64-bit ARM has products
/// of bytes and of matrices; at most 2,048 blocks in a row, of 2,048 columns.
bool PrefersBlockProduct(BlockTile tile, size_t in_features, size_t block_size);

/// Computes it on the calling thread.
/// Requires PrefersBlockProduct. The sums of a block are exact integers; an output depends on its
///          own row alone. It reads no byte behind a row or the weights.
void MultiplyBlocks(const BlockProduct& product);

}  // namespace graft::runtime
