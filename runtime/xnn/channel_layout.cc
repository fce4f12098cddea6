// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/channel_layout.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "runtime/xnn/xnn_operator.h"

namespace graft::runtime {
namespace {

constexpr size_t kRows = 16;
constexpr size_t kColumns = 64;
constexpr size_t kDepths[] = {8, 4};
constexpr size_t kEndBytes = 3 * sizeof(float);  // of a row: the sum of its codes, scale, bias
constexpr int kUnknown = -1;

// Rows of known numbers, two to a byte if they are int4.
struct Sample {
  explicit Sample(bool is_int4_in)
      : is_int4(is_int4_in), codes(kRows * kColumns / (is_int4 ? 2 : 1)), ends(2 * kRows) {
    uint32_t bits = 1;
    const auto next = [&bits] { return (bits = bits * 1664525u + 1013904223u) >> 16; };
    for (uint8_t& code : codes) code = static_cast<uint8_t>(next());
    for (float& end : ends) end = static_cast<float>(1 + next());
  }
  size_t row_bytes() const { return codes.size() / kRows; }

  bool is_int4;
  std::vector<uint8_t> codes;
  std::vector<float> ends;  // scales, then biases
};

// The sample in the layout that channel_product.h tells of.
std::vector<uint8_t> Pack(const Sample& sample, size_t depth) {
  std::vector<uint8_t> packed;
  const auto add = [&packed](const void* from, size_t bytes) {
    const auto* begin = static_cast<const uint8_t*>(from);
    packed.insert(packed.end(), begin, begin + bytes);
  };
  for (size_t row = 0; row < kRows; ++row) {
    int32_t sum = 0;
    for (size_t i = row * sample.row_bytes(); i < (row + 1) * sample.row_bytes(); ++i) {
      const uint8_t code = sample.codes[i];
      sum -= sample.is_int4 ? 16 * ((code & 15) + (code >> 4) - 16) : static_cast<int8_t>(code);
    }
    add(&sum, sizeof(sum));
  }
  const auto int4_at = [&sample](size_t row, size_t column) {
    const uint8_t pair = sample.codes[row * sample.row_bytes() + column / 2];
    return column % 2 == 0 ? pair & 15 : pair >> 4;
  };
  const size_t group = sample.is_int4 ? 2 * depth : depth;
  for (size_t column = 0; column < kColumns; column += group) {
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t i = column; i < column + depth; ++i) {
        const int code = sample.is_int4 ? (int4_at(row, i) | int4_at(row, i + depth) << 4) ^ 0x88
                                        : sample.codes[row * sample.row_bytes() + i];
        packed.push_back(static_cast<uint8_t>(code));
      }
    }
  }
  add(sample.ends.data(), sample.ends.size() * sizeof(float));
  return packed;
}

// The depth of tiles that are packed so; 0 if none is.
Result<int> FindDepth(const char* name, WeightFormat format) {
  const Sample sample(format == WeightFormat::kInt4Channel);
  LinearWeights weights;
  weights.format = format;
  weights.out_features = kRows;
  weights.in_features = kColumns;
  const size_t bytes = kRows * (sample.row_bytes() + kEndBytes);
  std::vector<uint8_t> theirs(bytes + kPackedAlignment);  // XNNPACK may round the size up
  Provider provider(Provider::Mode::kPack, theirs.data(), theirs.size());
  xnn_operator_t op = nullptr;
  const xnn_status status =
      CreateOperator(weights, kRows, {sample.codes.data(), sample.ends.data(), &sample.ends[kRows]},
                     provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (status == xnn_status_out_of_memory && provider.asked <= theirs.size())
    return FromXnnpack(status, name, "pack");
  for (const size_t depth : kDepths) {
    const std::vector<uint8_t> ours = Pack(sample, depth);
    if (status == xnn_status_success && std::equal(ours.begin(), ours.end(), theirs.begin()))
      return static_cast<int>(depth);
  }
  return 0;
}

}  // namespace

Result<BlockTile> FindChannelTile(const char* name, const LinearWeights& weights) {
  static std::atomic<int> known[2] = {kUnknown, kUnknown};
  const bool is_int4 = weights.format == WeightFormat::kInt4Channel;
  if (!is_int4 && weights.format != WeightFormat::kInt8Channel) return BlockTile{};
  const size_t code_bytes = is_int4 ? weights.in_features / 2 : weights.in_features;
  // No kernel of ours, whatever the depth.
  if (weights.row_bytes != code_bytes + kEndBytes ||
      (!PrefersChannelProduct({kRows, kDepths[0]}, weights.in_features) &&
       !PrefersChannelProduct({kRows, kDepths[1]}, weights.in_features))) {
    return BlockTile{};
  }
  int depth = known[is_int4];
  if (depth == kUnknown) {
    GRAFT_ASSIGN_OR_RETURN(depth, FindDepth(name, weights.format));
    known[is_int4] = depth;
  }
  const BlockTile tile = {kRows, static_cast<size_t>(depth)};
  return PrefersChannelProduct(tile, weights.in_features) ? tile : BlockTile{};
}

}  // namespace graft::runtime
