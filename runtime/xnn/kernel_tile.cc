// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/kernel_tile.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/xnn/linear_weights.h"
#include "runtime/xnn/pack_rows.h"

namespace graft::runtime {
namespace {

constexpr char kName[] = "(a sample)";
constexpr size_t kRows = 128;  // more than a tile has
constexpr size_t kColumns = 128;
constexpr size_t kBlockSize = 32;
constexpr size_t kMostShifted = 16;
constexpr uint16_t kOneAsBFloat16 = 0x3F80;

// A matrix of zeros, but for one number.
class Sample {
 public:
  explicit Sample(WeightFormat format) {
    weights.format = format;
    weights.out_features = kRows;
    weights.in_features = kColumns;
    weights.block_size = format == WeightFormat::kInt4Block ? kBlockSize : 0;
    matrix_.format = format;
    matrix_.rows = kRows;
    matrix_.width = kColumns;
    matrix_.block_size = weights.block_size;
    is_int4_ = format == WeightFormat::kInt4Block || format == WeightFormat::kInt4Channel;
    data_.resize(kRows * matrix_.row_bytes(), is_int4_ ? 0x88 : 0);
    block_scales_.assign(kRows * (kColumns / kBlockSize), kOneAsBFloat16);
    channel_scales_.assign(kRows, 1.0f);
    matrix_.data = data_.data();
    matrix_.scales = format == WeightFormat::kInt4Block
                         ? reinterpret_cast<const uint8_t*>(block_scales_.data())
                         : reinterpret_cast<const uint8_t*>(channel_scales_.data());
  }

  Status Initialize() {
    GRAFT_RETURN_IF_ERROR(FindLayout(kName, &weights));
    GRAFT_ASSIGN_OR_RETURN(zeros_, PageMemory::Allocate(weights.packed_bytes, kName));
    GRAFT_ASSIGN_OR_RETURN(packed_, PageMemory::Allocate(weights.packed_bytes, kName));
    return PackRows(kName, weights, matrix_, nullptr, 0, kRows, zeros_.data());
  }

  /// Where the number at this row and column goes.
  Result<size_t> PackedPlace(size_t row, size_t column) {
    Put(row, column, 1);
    const Status status = PackRows(kName, weights, matrix_, nullptr, 0, kRows, packed_.data());
    Put(row, column, 0);
    if (!status.ok()) return status;
    // A sum over the row changes too, before the numbers of its tile.
    size_t place = static_cast<size_t>(weights.packed_bytes);
    while (place > 0 && packed_.data()[place - 1] == zeros_.data()[place - 1]) --place;
    return place;
  }

  LinearWeights weights;

 private:
  void Put(size_t row, size_t column, uint8_t number) {
    uint8_t* at = data_.data() + row * matrix_.row_bytes();
    if (is_int4_) {
      at[column / 2] = static_cast<uint8_t>(0x88 + (column % 2 == 0 ? number : number << 4));
    } else if (weights.format == WeightFormat::kInt8Channel) {
      at[column] = number;
    } else {
      const float value = number;
      std::memcpy(at + column * sizeof(value), &value, sizeof(value));
    }
  }

  StoredMatrix matrix_;
  bool is_int4_ = false;
  std::vector<uint8_t> data_;
  std::vector<uint16_t> block_scales_;
  std::vector<float> channel_scales_;
  PageMemory zeros_;
  PageMemory packed_;
};

}  // namespace

Result<KernelTile> FindKernelTile(WeightFormat format) {
  if (format == WeightFormat::kFloat16 || format == WeightFormat::kBFloat16) {
    format = WeightFormat::kFloat32;  // what they are packed as
  }
  Sample sample(format);
  GRAFT_RETURN_IF_ERROR(sample.Initialize());
  const size_t number_bytes = format == WeightFormat::kFloat32 ? sizeof(float) : 1;
  GRAFT_ASSIGN_OR_RETURN(const size_t first, sample.PackedPlace(0, 0));
  KernelTile tile;
  // Columns lie side by side until another row's come between, and rows until the next tile.
  for (tile.columns = 1; tile.columns < kColumns; ++tile.columns) {
    GRAFT_ASSIGN_OR_RETURN(const size_t place, sample.PackedPlace(0, tile.columns));
    if (place != first + tile.columns * number_bytes) break;
  }
  // Some kernels want the columns of each row begun at another one: then that one is there.
  for (tile.rows = 1; tile.rows < kRows; ++tile.rows) {
    size_t place = 0;
    const size_t expected = first + tile.rows * tile.columns * number_bytes;
    for (size_t column = 0; column < kMostShifted && place != expected; ++column) {
      GRAFT_ASSIGN_OR_RETURN(place, sample.PackedPlace(tile.rows, column));
    }
    if (place != expected) break;
  }
  return tile;
}

}  // namespace graft::runtime
