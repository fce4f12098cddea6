// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/linear_weights.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/xnn/block_packing.h"
#include "runtime/xnn/xnn_operator.h"
#include "schema/result.h"

namespace graft::runtime {
namespace {

static_assert(kReadableTailBytes >= XNN_EXTRA_BYTES);
static_assert(kExtraQuantizations >= XNN_EXTRA_QUANTIZATION_PARAMS);

constexpr size_t kProbeRows = 256;  // a multiple of every kernel's tile

// Packed bytes of `rows` rows, as XNNPACK asks for them.
Result<uint64_t> MeasureRows(const char* name, LinearWeights weights, size_t rows,
                             const uint16_t* unit_scales) {
  Provider provider(Provider::Mode::kMeasure);
  RowSource source;
  source.scales = unit_scales;
  weights.out_features =
      std::max(weights.out_features, rows);  // the output's stride, which no layout depends on
  xnn_operator_t op = nullptr;
  const xnn_status status = CreateOperator(weights, rows, source, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (provider.asked != 0) return static_cast<uint64_t>(provider.asked);
  return FromXnnpack(status == xnn_status_success ? xnn_status_invalid_state : status, name, "run");
}

// Looks for a layout that grows linearly with the rows; leaves tile_rows 0 if there is none.
Status FindTiles(const char* name, LinearWeights* weights, const uint16_t* unit_scales) {
  // Sizes of a few row counts tell how the layout grows: by row_bytes a row, in steps of the
  // kernel's tile.
  GRAFT_ASSIGN_OR_RETURN(const uint64_t base, MeasureRows(name, *weights, kProbeRows, unit_scales));
  GRAFT_ASSIGN_OR_RETURN(const uint64_t next,
                         MeasureRows(name, *weights, kProbeRows + 1, unit_scales));
  GRAFT_ASSIGN_OR_RETURN(const uint64_t twice,
                         MeasureRows(name, *weights, 2 * kProbeRows, unit_scales));
  const uint64_t row_bytes = (twice - base) / kProbeRows;
  // Sizes are rounded up to the alignment, so a step is a whole number of rows and less than one
  // alignment more.
  if (row_bytes <= kPackedAlignment || base != row_bytes * kProbeRows || twice != 2 * base)
    return OkStatus();
  const auto tile = static_cast<size_t>((next - base) / row_bytes);
  if (tile == 0 || kProbeRows % tile != 0 || next - base - tile * row_bytes >= kPackedAlignment)
    return OkStatus();
  size_t tile_rows = tile;
  while (tile_rows * row_bytes % kPackedAlignment != 0) tile_rows += tile;
  if (weights->out_features < tile_rows) return OkStatus();
  const uint64_t rows = (weights->out_features + tile - 1) / tile * tile;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(rows, row_bytes, &bytes) ||
      bytes > std::numeric_limits<uint64_t>::max() / 2) {
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: its packed size does not fit", name);
  }
  weights->tile_rows = tile_rows;
  weights->row_bytes = row_bytes;
  weights->block_tile.rows = tile;
  weights->packed_bytes = (bytes + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
  return OkStatus();
}

// The depth with which PackBlocks gives, for a tile of known numbers, the bytes that XNNPACK gives on
// this CPU; 0 if there is none.
Result<size_t> FindBlockDepth(const char* name, const LinearWeights& weights) {
  constexpr size_t kColumns = 512;
  const size_t tile = weights.block_tile.rows;
  const size_t block = weights.block_size;
  if (weights.format != WeightFormat::kInt4Block || tile == 0 || tile > kMaxTile ||
      weights.row_bytes != BlockRowBytes(weights.in_features, block)) {
    return size_t{0};
  }
  LinearWeights sample = weights;
  sample.out_features = tile;
  sample.in_features = std::min(weights.in_features, kColumns);
  sample.tile_rows = 0;
  const size_t blocks = sample.in_features / block;
  std::vector<uint8_t> codes(tile * sample.in_features / 2);
  std::vector<uint16_t> scales(tile * blocks);
  std::vector<float> bias(tile);
  uint32_t bits = 1;
  const auto next = [&bits] { return (bits = bits * 1664525u + 1013904223u) >> 16; };
  for (uint8_t& code : codes) code = static_cast<uint8_t>(next());
  for (uint16_t& scale : scales) scale = static_cast<uint16_t>(kOneAsBFloat16 | (next() & 0x7F));
  for (float& value : bias) value = static_cast<float>(next());
  const BlockRows rows = {codes.data(), scales.data(),      bias.data(),
                          tile,         sample.in_features, block};
  const size_t bytes = tile * BlockRowBytes(sample.in_features, block);
  std::vector<uint8_t> ours(bytes);
  // XNNPACK may round the size up.
  std::vector<uint8_t> theirs(bytes + kPackedAlignment);
  Provider provider(Provider::Mode::kPack, theirs.data(), theirs.size());
  xnn_operator_t op = nullptr;
  const xnn_status status =
      CreateOperator(sample, tile, {codes.data(), scales.data(), bias.data()}, provider, &op);
  if (op != nullptr) xnn_delete_operator(op);
  if (status == xnn_status_out_of_memory) return FromXnnpack(status, name, "pack");
  if (status != xnn_status_success) return size_t{0};
  for (const size_t depth : kBlockDepths) {
    PackBlocks({tile, depth}, rows, ours.data());
    if (std::equal(ours.begin(), ours.end(), theirs.begin())) return depth;
  }
  return size_t{0};
}

// XNNPACK's product of rows takes a kernel of 4 x 2 numbers where there are fewer outputs than its
// tile has, which is 32 with AVX-512; its convolutions keep the tile. Below half a tile the padding
// would cost more than the kernel gains.
bool IsBetterAsConvolution(const LinearWeights& weights) {
#if defined(__x86_64__)
  constexpr size_t kFewest = 16;
  constexpr size_t kTile = 32;
  return weights.convolution.groups == 0 && !weights.quantizes_input() &&
         weights.out_features >= kFewest && weights.out_features < kTile;
#else
  static_cast<void>(weights);
  return false;
#endif
}

}  // namespace

Status FindLayout(const char* name, LinearWeights* weights) {
  if (IsBetterAsConvolution(*weights)) weights->convolution = {1, 1, 1, 1, 1, 1, 1};
  weights->tile_rows = 0;
  weights->row_bytes = 0;
  weights->block_tile = {};
  // Beyond this width rows are not measured one against another: the scales to do it with would
  // outgrow the weight.
  constexpr size_t kMaxProbedFeatures = size_t{1} << 18;
  const bool probe = weights->in_features <= kMaxProbedFeatures && weights->convolution.groups == 0;
  const size_t blocks =
      weights->format == WeightFormat::kInt4Block ? weights->in_features / weights->block_size : 0;
  const uint64_t rows = std::max<uint64_t>(weights->out_features, probe ? 2 * kProbeRows : 0);
  GRAFT_ASSIGN_OR_RETURN(const PageMemory scales,
                         PageMemory::Allocate(rows * blocks * sizeof(uint16_t), "scales"));
  auto* ones = reinterpret_cast<uint16_t*>(scales.data());
  std::fill_n(ones, 2 * (probe ? kProbeRows : 0) * blocks, kOneAsBFloat16);
  if (probe) GRAFT_RETURN_IF_ERROR(FindTiles(name, weights, ones));
  if (weights->tile_rows != 0) {
    GRAFT_ASSIGN_OR_RETURN(weights->block_tile.depth, FindBlockDepth(name, *weights));
    if (weights->block_tile.depth == 0) weights->block_tile = {};
    return OkStatus();
  }
  std::fill_n(ones, weights->out_features * blocks, kOneAsBFloat16);
  GRAFT_ASSIGN_OR_RETURN(weights->packed_bytes,
                         MeasureRows(name, *weights, weights->out_features, ones));
  return OkStatus();
}

PackedRange PackedRangeOf(const LinearWeights& weights, size_t begin, size_t end) {
  const uint64_t offset = begin * weights.row_bytes;
  const uint64_t after =
      end == weights.out_features ? weights.packed_bytes : end * weights.row_bytes;
  return {offset, after - offset};
}

}  // namespace graft::runtime
