// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/integer_matrix.h"

#include <algorithm>
#include <vector>

#include "converter/base/parallel.h"
#include "converter/calibrate/attempt.h"
#include "converter/calibrate/numbers/integer_products.h"
#include "converter/calibrate/round_inputs.h"
#include "converter/quantize/quantize_kernels.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr size_t kRowsTogether = 192;
constexpr size_t kTilesTogether = 16;

/// Rows of inputs as codes and scales.
struct RoundedInputs {
  size_t stride = 0;  ///< Even; what lies behind a row's numbers is 0.
  Scratch codes;      ///< int16.
  std::vector<float> scales;

  const int16_t* row(size_t index) const {
    return reinterpret_cast<const int16_t*>(codes.numbers().data()) + index * stride;
  }
};

Result<RoundedInputs> Round(const OpCall& call, const std::filesystem::path& folder) {
  const size_t rows = call.batch.rows(), width = call.in[0].width;
  RoundedInputs rounded;
  rounded.stride = (width + 1) / 2 * 2;
  rounded.scales.resize(rows);
  GRAFT_ASSIGN_OR_RETURN(rounded.codes, Scratch::Create(folder, rows * rounded.stride / 2));
  const auto tasks = static_cast<int64_t>((rows + kRowsTogether - 1) / kRowsTogether);
  const int threads = rows > kRowsTogether ? call.threads : 1;
  GRAFT_RETURN_IF_ERROR(ParallelFor(threads, tasks, [&](int64_t task) {
    const size_t begin = static_cast<size_t>(task) * kRowsTogether;
    for (size_t row = begin; row < std::min(begin + kRowsTogether, rows); ++row) {
      auto* codes = const_cast<int16_t*>(rounded.row(row));
      if (!RoundInputRow({call.in[0].numbers + row * width, width}, codes, &rounded.scales[row])) {
        return Error(StatusCode::kCorrupt, "the inputs of the layer are not finite");
      }
    }
    return OkStatus();
  }));
  return rounded;
}

}  // namespace

Result<IntegerMatrix> IntegerMatrix::Create(const std::filesystem::path& folder, size_t rows,
                                            size_t width, size_t group) {
  IntegerMatrix matrix;
  matrix.rows_ = rows;
  matrix.width_ = width;
  matrix.group_ = group;
  const size_t tiles = (rows + kPackedColumns - 1) / kPackedColumns;
  const size_t code_bytes = tiles * matrix.pairs() * kPackedColumns * 2;
  GRAFT_ASSIGN_OR_RETURN(matrix.codes_, Scratch::Create(folder, code_bytes / sizeof(float)));
  GRAFT_ASSIGN_OR_RETURN(matrix.scales_,
                         Scratch::Create(folder, tiles * matrix.groups() * kPackedColumns));
  return matrix;
}

void IntegerMatrix::SetRow(size_t row, const int8_t* codes, const float* scales) {
  const size_t tile = row / kPackedColumns, column = row % kPackedColumns;
  auto* to = reinterpret_cast<int8_t*>(codes_.numbers().data()) +
             (tile * pairs() * kPackedColumns + column) * 2;
  for (size_t i = 0; i < width_; ++i) to[i / 2 * kPackedColumns * 2 + i % 2] = codes[i];
  float* scale = scales_.numbers().data() + tile * groups() * kPackedColumns + column;
  for (size_t g = 0; g < groups(); ++g) scale[g * kPackedColumns] = scales[g];
}

void IntegerMatrix::SetStoredRow(size_t row, const StoredFormat& format, const uint8_t* data,
                                 const uint8_t* scales) {
  std::vector<int8_t> codes(width_);
  std::vector<float> row_scales(groups());
  for (size_t i = 0; i < width_; ++i) {
    codes[i] = format.is_int4() ? static_cast<int8_t>((data[i / 2] >> (i % 2 * 4) & 15) - 8)
                                : static_cast<int8_t>(data[i]);
  }
  for (size_t g = 0; g < groups(); ++g) row_scales[g] = StoredScale(format, scales, g);
  SetRow(row, codes.data(), row_scales.data());
}

void IntegerMatrix::RoundRow(size_t row, std::span<const double> numbers) {
  std::vector<int8_t> codes(width_);
  std::vector<double> stored(width_);
  const float scale = Int8ChannelScale(numbers);
  EncodeInt8(numbers, scale, codes.data(), stored.data());
  SetRow(row, codes.data(), &scale);
}

Status IntegerMatrix::Multiply(const OpCall& call, const std::filesystem::path& folder) const {
  const schema::fb::Linear& linear = *call.op.attributes_as_Linear();
  const std::span<const float> bias = call.tensor(linear.bias());
  GRAFT_ASSIGN_OR_RETURN(const RoundedInputs inputs, Round(call, folder));
  const size_t rows = call.batch.rows();
  const size_t row_blocks = (rows + kRowsTogether - 1) / kRowsTogether;
  const size_t tiles = (rows_ + kPackedColumns - 1) / kPackedColumns;
  // Few rows: more tasks, so that all threads have some.
  const size_t together = rows > kRowsTogether ? kTilesTogether : kTilesTogether / 4;
  const size_t tile_blocks = (tiles + together - 1) / together;
  const auto* codes = reinterpret_cast<const int8_t*>(codes_.numbers().data());
  const size_t group_pairs = group_ == width_ ? pairs() : group_ / 2;
  return ParallelFor(call.threads, static_cast<int64_t>(row_blocks * tile_blocks),
                     [&](int64_t task) {
                       // Blocks of rows change fastest, so that what is read of the matrix stays in cache.
                       const size_t row = static_cast<size_t>(task) % row_blocks * kRowsTogether;
                       const size_t first = static_cast<size_t>(task) / row_blocks * together;
                       const size_t count = std::min(kRowsTogether, rows - row);
                       for (size_t tile = first; tile < std::min(first + together, tiles); ++tile) {
                         const size_t feature = tile * kPackedColumns;
                         const size_t features = std::min(kPackedColumns, rows_ - feature);
                         float* out = call.out + row * call.out_width + feature;
                         MultiplyPacked(inputs.row(row), inputs.stride, inputs.scales.data() + row,
                                        count, codes + tile * pairs() * kPackedColumns * 2,
                                        scales_.numbers().data() + tile * groups() * kPackedColumns,
                                        pairs(), group_pairs, features, out, call.out_width);
                         for (size_t r = 0; r < count && !bias.empty(); ++r) {
                           for (size_t i = 0; i < features; ++i)
                             out[r * call.out_width + i] += bias[feature + i];
                         }
                       }
                       return OkStatus();
                     });
}

}  // namespace graft::converter
