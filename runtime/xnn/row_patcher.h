// SPDX-License-Identifier: Apache-2.0
// Changes rows of a weight where they lie packed, by the differences of what is stored. The bytes
// become those that PackRows gives for the rows as they are then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/xnn/channel_layout.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/packs/sparse_bytes.h"

namespace graft::runtime {

/// Differences of units, those that are zero left out.
struct UnitChanges {
  std::span<const schema::SparseByte> bytes;  ///< in order, all of units of the rows
  int64_t first_place = 0;     ///< of the rows' first unit, whether or not it changes
  uint32_t plane = 0;          ///< the byte of each unit that these are added to
  bool is_taken_back = false;  ///< subtracted, not added
};

class RowPatcher {
 public:
  /// Of `rows` output rows, packed by PackRows into what begins at `packed`. `room` is what it
  /// needs, which stays allocated from one to the next.
  /// Requires a tile that FindCodeTile has found for `weights`; the rows of one PackedRange.
  RowPatcher(const LinearWeights& weights, const CodeTile& tile, size_t rows, uint8_t* packed,
             std::vector<uint32_t>* room);

  /// A unit is a stored byte of codes.
  void ChangeCodes(const UnitChanges& changes);
  /// Of kInt4Block; a unit is a scale. False: one of these scales was packed otherwise than
  /// PackBlocks does, so that the rows must be packed anew.
  bool ChangeScales(const UnitChanges& changes);
  /// Writes what lies beside the codes. bias [rows] or null; scales [rows], f32, unless kInt4Block.
  /// False, as of ChangeScales: of any scale, as it is now.
  bool Finish(const float* bias, const void* scales);

 private:
  template <size_t kDepth, bool kHasSums>
  void ChangeInt4(const UnitChanges& changes);
  void ChangeInt8(const UnitChanges& changes);
  template <typename ChangeRow>
  void VisitRows(const UnitChanges& changes, size_t row_units, const ChangeRow& change_row) const;
  uint8_t* TileOf(size_t row) const { return packed_ + row / tile_.rows * tile_bytes_; }
  void FetchPartOfNextTile(size_t row) const;
  void AddToSum(size_t row, int32_t difference) const;

  const LinearWeights& weights_;
  const CodeTile tile_;
  const size_t rows_;
  uint8_t* const packed_;
  const bool has_blocks_;
  const size_t stored_row_bytes_;
  const size_t tile_bytes_;
  std::vector<uint32_t>& group_offsets_;  // in a tile, of a row's groups of `depth` stored bytes
};

}  // namespace graft::runtime
