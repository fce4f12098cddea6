// SPDX-License-Identifier: Apache-2.0
// Products of int8 rows and int4 blocks on packed weights, for CPUs on which the kernels that the
// layout comes from are the slower ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/row_kernels.h"

namespace graft::runtime {

/// y = x W^T + bias. x has `rows` rows of `width` codes, W `columns` rows of int4 blocks of
/// `block_size`, a multiple of 32.
struct BlockProduct {
  const int8_t* codes = nullptr;                  ///< [rows, width]
  const RowQuantization* quantization = nullptr;  ///< [rows]
  size_t rows = 0;
  size_t width = 0;
  size_t block_size = 0;
  const uint8_t* packed = nullptr;  ///< as PackBlocks writes it
  size_t columns = 0;
  float* output = nullptr;  ///< [rows, columns], rows `output_stride` elements apart
  size_t output_stride = 0;
};

/// Whether MultiplyBlocks is the faster way on this CPU for weights packed in tiles of `tile` rows.
bool PrefersBlockProduct(size_t tile, size_t width, size_t block_size);

/// Computes it on the calling thread. Requires   PrefersBlockProduct. The sums of a block are exact
/// integers; an output depends on its own row alone. It reads no byte behind a row or the weights.
void MultiplyBlocks(const BlockProduct& product);

}  // namespace graft::runtime
