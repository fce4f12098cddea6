// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/channel_layout.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/kernels/products/block_sums.h"
#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {
namespace {

constexpr size_t kSampleRows = 64;  // whole tiles of every kernel
constexpr size_t kColumns = 64;
constexpr size_t kTiles[] = {16, 8, 4, 32, 64};
constexpr size_t kDepths[] = {8, 4, 1};
constexpr size_t kEndBytes = 3 * sizeof(float);  // of a row: the sum of its codes, scale, bias

// Those that kernels of ours read.
constexpr size_t kOurRows = 16;
constexpr size_t kOurDepths[] = {8, 4};

// Rows of known numbers, two to a byte if they are int4.
struct Sample {
  explicit Sample(bool is_int4_in)
      : is_int4(is_int4_in),
        codes(kSampleRows * kColumns / (is_int4 ? 2 : 1)),
        scales(kSampleRows),
        biases(kSampleRows) {
    uint32_t bits = 1;
    const auto next = [&bits] { return (bits = bits * 1664525u + 1013904223u) >> 16; };
    for (uint8_t& code : codes) code = static_cast<uint8_t>(next());
    for (float& scale : scales) scale = static_cast<float>(1 + next());
    for (float& bias : biases) bias = static_cast<float>(1 + next());
  }
  size_t row_bytes() const { return codes.size() / kSampleRows; }
  // Of int4 less their zero points.
  int32_t SumOf(size_t row) const {
    int32_t sum = 0;
    for (size_t i = row * row_bytes(); i < (row + 1) * row_bytes(); ++i)
      sum += is_int4 ? (codes[i] & 15) + (codes[i] >> 4) - 16 : static_cast<int8_t>(codes[i]);
    return sum;
  }

  bool is_int4;
  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> biases;
};

// The sample as CodeTile tells.
std::vector<uint8_t> Pack(const Sample& sample, const CodeTile& tile) {
  std::vector<uint8_t> packed;
  const auto add = [&packed](const void* from, size_t bytes) {
    const auto* begin = static_cast<const uint8_t*>(from);
    packed.insert(packed.end(), begin, begin + bytes);
  };
  const auto int4_at = [&sample](size_t row, size_t column) {
    const uint8_t pair = sample.codes[row * sample.row_bytes() + column / 2];
    return column % 2 == 0 ? pair & 15 : pair >> 4;
  };
  const size_t group = sample.is_int4 ? 2 * tile.depth : tile.depth;
  for (size_t first = 0; first < kSampleRows; first += tile.rows) {
    for (size_t row = first; row < first + tile.rows; ++row) {
      const int32_t sum = sample.SumOf(row) * tile.sum_factor;
      add(&sum, sizeof(sum));
    }
    for (size_t column = 0; column < kColumns; column += group) {
      for (size_t row = first; row < first + tile.rows; ++row) {
        for (size_t i = column; i < column + tile.depth; ++i) {
          const int code = sample.is_int4
                               ? (int4_at(row, i) | int4_at(row, i + tile.depth) << 4) ^ 0x88
                               : sample.codes[row * sample.row_bytes() + i];
          packed.push_back(static_cast<uint8_t>(code));
        }
      }
    }
    add(&sample.scales[first], tile.rows * sizeof(float));
    add(&sample.biases[first], tile.rows * sizeof(float));
  }
  return packed;
}

// Of 0 rows if codes lie otherwise.
Result<CodeTile> FindTile(const char* name, WeightFormat format) {
  const Sample sample(format == WeightFormat::kInt4Channel);
  LinearWeights weights;
  weights.format = format;
  weights.out_features = kSampleRows;
  weights.in_features = kColumns;
  const size_t bytes = kSampleRows * (sample.row_bytes() + kEndBytes);
  std::vector<uint8_t> theirs(bytes + kPackedAlignment);  // XNNPACK may round the size up
  Provider provider(Provider::Mode::kPack, theirs.data(), theirs.size());
  xnn_operator_t op = nullptr;
  const xnn_status status = CreateOperator(
      weights, kSampleRows, {sample.codes.data(), sample.scales.data(), sample.biases.data()},
      provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (status == xnn_status_out_of_memory && provider.asked <= theirs.size())
    return FromXnnpack(status, name, "pack");
  if (status != xnn_status_success) return CodeTile{};
  int32_t sum = 0;
  std::memcpy(&sum, theirs.data(), sizeof(sum));
  const int32_t sum_of_codes = sample.SumOf(0);
  const int32_t factor = sum_of_codes == 0 ? 0 : sum / sum_of_codes;
  for (const size_t rows : kTiles) {
    for (const size_t depth : kDepths) {
      const CodeTile tile = {rows, depth, factor};
      const std::vector<uint8_t> ours = Pack(sample, tile);
      if (std::equal(ours.begin(), ours.end(), theirs.begin())) return tile;
    }
  }
  return CodeTile{};
}

// Found once for each format, by whichever thread comes first.
Result<CodeTile> KnownTile(const char* name, WeightFormat format) {
  static std::mutex mutex;
  static std::optional<CodeTile> known[2];
  const std::lock_guard<std::mutex> lock(mutex);
  std::optional<CodeTile>& tile = known[format == WeightFormat::kInt4Channel];
  if (!tile) {
    GRAFT_ASSIGN_OR_RETURN(tile, FindTile(name, format));
  }
  return *tile;
}

bool HasChannelScales(const LinearWeights& weights) {
  const bool is_int4 = weights.format == WeightFormat::kInt4Channel;
  if (!is_int4 && weights.format != WeightFormat::kInt8Channel) return false;
  return weights.row_bytes == weights.in_features / (is_int4 ? 2 : 1) + kEndBytes;
}

}  // namespace

Result<CodeTile> FindCodeTile(const char* name, const LinearWeights& weights) {
  if (weights.convolution.groups != 0 || weights.tile_rows == 0) return CodeTile{};
  if (const BlockTile& tile = weights.block_tile; tile.rows != 0)
    return tile.rows % kSummedRows == 0 ? CodeTile{tile.rows, tile.depth, 0} : CodeTile{};
  if (!HasChannelScales(weights)) return CodeTile{};
  GRAFT_ASSIGN_OR_RETURN(const CodeTile tile, KnownTile(name, weights.format));
  const size_t group = weights.format == WeightFormat::kInt4Channel ? 2 * tile.depth : tile.depth;
  const bool is_whole =
      tile.rows != 0 && weights.tile_rows % tile.rows == 0 && weights.in_features % group == 0;
  return is_whole ? tile : CodeTile{};
}

Result<BlockTile> FindChannelTile(const char* name, const LinearWeights& weights) {
  // No kernel of ours, whatever the depth.
  const auto is_preferred = [&weights](size_t depth) {
    return PrefersChannelProduct({kOurRows, depth}, weights.in_features);
  };
  if (!HasChannelScales(weights) ||
      std::none_of(std::begin(kOurDepths), std::end(kOurDepths), is_preferred)) {
    return BlockTile{};
  }
  GRAFT_ASSIGN_OR_RETURN(const CodeTile tile, KnownTile(name, weights.format));
  const int32_t our_factor = weights.format == WeightFormat::kInt4Channel ? -16 : -1;
  const bool is_ours = tile.rows == kOurRows && tile.sum_factor == our_factor;
  return is_ours && is_preferred(tile.depth) ? BlockTile{tile.rows, tile.depth} : BlockTile{};
}

}  // namespace graft::runtime
