// SPDX-License-Identifier: Apache-2.0
// Orthogonal adapters: the inputs of a layer are rotated, block by block, before the weight sees
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"
#include "converter/merge/updates/workspace.h"

namespace graft::converter {

/// How a skew-symmetric matrix S becomes a rotation: (I - S)(I + S)^-1, or, for OFT's series with
/// `neumann_terms` > 0, the first terms of I + 2S + 2S^2 + ... as PEFT sums them, the last power
/// counted once.
struct CayleyForm {
  int64_t neumann_terms = 0;
};

/// One factor of a rotation: blocks along the diagonal, in an order of the inputs of its own.
struct RotationBlocks {
  int64_t block_size = 0;
  /// Fills out[blocks * block_size * block_size] with the transposes of the blocks, one after
  /// another.
  PreparedMatrix::Fill fill;
  int64_t stored_blocks = 0;  ///< 1: all share one.
  std::vector<int64_t>
      permutation;  ///< Input p of the blocks is input permutation[p]; empty: as they are.
};

/// OFT: `stored` [blocks, block_size * (block_size - 1) / 2] holds the upper triangles of S.
/// Source   Qiu et al. 2023; Qiu et al. 2025 for the series.
RotationBlocks OftBlocks(StoredFactor stored, int64_t block_size, CayleyForm form);

/// BOFT: factor `index` of `stored` [factors, blocks, block_size, block_size], S being the skew
/// part of each block.
/// Source   Liu et al. 2023, section 3.
RotationBlocks BoftBlocks(StoredFactor stored, int64_t index);

/// W = W * R^T for R the product of the factors, the first applied first; then, if there is a
/// scale, each row times its own.
class RotateColumns final : public RowUpdate {
 public:
  RotateColumns(std::vector<RotationBlocks> factors, int64_t columns, StoredFactor row_scale);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  struct Factor {
    RotationBlocks blocks;
    PreparedMatrix matrix;
  };
  std::vector<Factor> factors_;
  size_t columns_;
  StoredFactor row_scale_;
};

}  // namespace graft::converter
