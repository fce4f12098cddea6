// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/attention.cc"  // NOLINT
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#include "runtime/kernels/panel_product-inl.h"
#include "runtime/kernels/score_biases-inl.h"
#include "runtime/kernels/vector_math-inl.h"

#ifndef GRAFT_RUNTIME_KERNELS_ATTENTION_ONCE_
#define GRAFT_RUNTIME_KERNELS_ATTENTION_ONCE_
namespace graft::runtime {
namespace {
constexpr size_t kTile = 64;       // positions between two updates of the running softmax
constexpr size_t kMaxVectors = 8;  // query vectors that share one pass over keys and values
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
}  // namespace
}  // namespace graft::runtime
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

// Up to kMaxVectors query vectors on their way over keys and values.
struct Block {
  float* query;    // [kMaxVectors][head_dim], scaled
  float* weights;  // [kMaxVectors][kTile]
  float* sums;     // [kMaxVectors][padded_dim], unnormalized
  float* columns;  // [kMaxVectors][width of the position tables]: what queries have for each column
  size_t count = 0;
  size_t head[kMaxVectors];
  size_t position[kMaxVectors];
  size_t row[kMaxVectors];
  const uint8_t* regions;     // as AttentionRows has them
  size_t first[kMaxVectors];  // visible positions: [first, last)
  size_t last[kMaxVectors];
  float maximum[kMaxVectors];
  float total[kMaxVectors];
};

HWY_INLINE Block MakeBlock(const AttentionShape& shape, size_t padded_dim, float* scratch) {
  Block block;
  block.query = scratch;
  block.weights = block.query + kMaxVectors * shape.head_dim;
  block.sums = block.weights + kMaxVectors * kTile;
  block.columns = block.sums + kMaxVectors * padded_dim;
  return block;
}

// y = x * factor, in whole vectors as far as they go.
HWY_INLINE void ScaleTo(const float* x, float factor, size_t count, float* y) {
  const Floats d;
  const Vector factor_v = hn::Set(d, factor);
  size_t k = 0;
  for (; k + kLanes <= count; k += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, x + k), factor_v), d, y + k);
  for (; k < count; ++k) y[k] = x[k] * factor;
}

void AddQuery(const AttentionShape& shape, const AttentionRows& rows, size_t row, size_t head,
              Block& block) {
  const size_t i = block.count++;
  block.head[i] = head;
  block.row[i] = row;
  block.regions = rows.regions;
  const float* query = rows.query + (row * shape.heads + head) * shape.head_dim;
  ScaleTo(query, shape.scale, shape.head_dim, block.query + i * shape.head_dim);
  const size_t position = rows.first_position + row;
  block.position[i] = position;
  block.last[i] = shape.causal ? std::min(rows.kv_positions, position + 1) : rows.kv_positions;
  block.first[i] =
      shape.window > 0 && position + 1 > shape.window ? position + 1 - shape.window : 0;
  if (shape.both_ways && shape.window > 0)
    block.last[i] = std::min(block.last[i], position + shape.window);
  if (rows.runs != nullptr && rows.runs[row].last != 0) {
    block.first[i] = std::min<size_t>(block.first[i], rows.runs[row].first);
    block.last[i] = std::max<size_t>(block.last[i], rows.runs[row].last);
  }
}

// Adds the bias of the query vector's row, and hides the positions of other regions.
HWY_INLINE void AddScoreBias(const AttentionShape& shape, const Block& block, size_t i, size_t tile,
                             size_t columns, float* to) {
  const size_t end = std::min(shape.bias_positions, tile + columns);
  const float* bias =
      shape.score_bias + (block.head[i] * shape.bias_rows + block.row[i]) * shape.bias_positions;
  for (size_t j = tile; j < end; ++j) to[j - tile] += bias[j];
}

HWY_INLINE void HideRegions(const Block& block, size_t i, size_t tile, size_t columns, float* to) {
  const size_t end = std::min(block.last[i], tile + columns);
  const uint8_t own = block.regions[block.row[i]];
  for (size_t j = tile; j < end; ++j) {
    if (block.regions[j] != own) to[j - tile] = kMinusInfinity;
  }
}

// Turns a tile's scores into weights under the running maximum; scale[i]: factors of earlier sums.
HWY_NOINLINE void UpdateSoftmax(const AttentionShape& shape, size_t tile, size_t columns,
                                Block& block, float* scale) {
  const Floats d;
  for (size_t i = 0; i < block.count; ++i) {
    float* weights = block.weights + i * kTile;
    if (shape.soft_cap > 0.0f) {
      const Vector cap = hn::Set(d, shape.soft_cap);
      const Vector inverse = hn::Set(d, 1.0f / shape.soft_cap);
      for (size_t j = 0; j < columns; j += kLanes) {
        hn::StoreU(hn::Mul(cap, VectorTanh(d, hn::Mul(hn::LoadU(d, weights + j), inverse))), d,
                   weights + j);
      }
    }
    if (shape.alibi_slopes != nullptr)
      AddAlibi(shape, shape.alibi_slopes[block.head[i]], tile, columns, weights);
    if (shape.position_bias != nullptr)
      AddPositionBias(shape, block.head[i], block.position[i], tile, columns, weights);
    if (shape.score_bias != nullptr) AddScoreBias(shape, block, i, tile, columns, weights);
    if (block.regions != nullptr) HideRegions(block, i, tile, columns, weights);
    for (size_t j = tile; j < block.first[i] && j < tile + columns; ++j)
      weights[j - tile] = kMinusInfinity;
    for (size_t j = std::max(tile, block.last[i]); j < tile + columns; ++j)
      weights[j - tile] = kMinusInfinity;
    Vector highest = hn::Set(d, block.maximum[i]);
    for (size_t j = 0; j < columns; j += kLanes)
      highest = hn::Max(highest, hn::LoadU(d, weights + j));
    const float maximum = hn::ReduceMax(d, highest);
    if (maximum == kMinusInfinity) {  // nothing visible yet
      std::fill(weights, weights + columns, 0.0f);
      scale[i] = 1.0f;
      continue;
    }
    const Vector reference = hn::Set(d, maximum);
    Vector total = hn::Zero(d);
    for (size_t j = 0; j < columns; j += kLanes) {
      const Vector weight = VectorExp(d, hn::Sub(hn::LoadU(d, weights + j), reference));
      hn::StoreU(weight, d, weights + j);
      total = hn::Add(total, weight);
    }
    if (block.maximum[i] == kMinusInfinity) {
      scale[i] = 0.0f;  // the first that is visible
    } else {
      scale[i] = maximum == block.maximum[i] ? 1.0f : std::exp(block.maximum[i] - maximum);
    }
    block.total[i] = block.total[i] * scale[i] + hn::ReduceSum(d, total);
    block.maximum[i] = maximum;
  }
}

// What the block's queries, which are of one head, add to scores in each column of the table.
void MultiplyWithTable(const AttentionShape& shape, const AttentionRows& rows, size_t head,
                       Block& block) {
  const PositionTables& tables = shape.tables;
  if (tables.query == nullptr) return;
  const float* table = tables.query + head * shape.head_dim * tables.width;
  Product(block.count, block.query, shape.head_dim, table + rows.first_column, tables.width, kPanel,
          shape.head_dim, rows.last_column - rows.first_column, nullptr,
          block.columns + rows.first_column, tables.width);
}

// Adds what queries and keys have for the distances between rows and positions
// [tile, tile + positions).
void AddPositionScores(const AttentionShape& shape, const AttentionRows& rows, size_t tile,
                       size_t positions, Block& block) {
  const size_t width = shape.tables.width;
  for (size_t i = 0; i < block.count; ++i) {
    const uint32_t* at = rows.columns + (rows.kv_positions - 1 - block.position[i]) + tile;
    float* to = block.weights + i * kTile;
    if (shape.tables.query != nullptr) {
      const float* own = block.columns + i * width;
      for (size_t j = 0; j < positions; ++j) to[j] += own[at[j]];
    }
    if (shape.tables.key != nullptr) {
      const float* keys = rows.key_scores + tile * width;
      for (size_t j = 0; j < positions; ++j) to[j] += shape.scale * keys[j * width + at[j]];
    }
  }
}

// Asks for bytes read soon: a cache is many short runs, which the hardware does not see coming.
HWY_INLINE void PrefetchRun(const void* begin, size_t bytes) {
  constexpr size_t kLine = 64;
  const auto* at = static_cast<const uint8_t*>(begin);
  for (size_t i = 0; i < bytes; i += kLine) hwy::Prefetch(at + i);
}

// Multiplies each query vector's `columns` numbers (a multiple of kLanes) by the positions' scales.
HWY_INLINE void ScaleColumns(const float* HWY_RESTRICT scales, size_t columns, Block& block) {
  const Floats d;
  for (size_t i = 0; i < block.count; ++i) {
    float* weights = block.weights + i * kTile;
    for (size_t j = 0; j < columns; j += kLanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, weights + j), hn::LoadU(d, scales + j)), d, weights + j);
    }
  }
}

template <typename T>
HWY_INLINE void AttendBlock(const AttentionShape& shape, const KvView& view,
                            const AttentionRows& rows, size_t kv_head, size_t begin, size_t end,
                            Block& block) {
  const size_t padded_dim = view.padded_dim();
  const T* keys = reinterpret_cast<const T*>(view.keys) + kv_head * view.capacity * view.head_dim;
  const T* values = reinterpret_cast<const T*>(view.values) + kv_head * view.capacity * padded_dim;
  std::fill(block.sums, block.sums + block.count * padded_dim, 0.0f);
  size_t first = block.first[0];
  size_t last = block.last[0];
  for (size_t i = 0; i < block.count; ++i) {
    block.maximum[i] = kMinusInfinity;
    block.total[i] = 0.0f;
    first = std::min(first, block.first[i]);
    last = std::max(last, block.last[i]);
  }
  begin = std::max(begin, first / kKeyBlock * kKeyBlock);
  end = std::min(end, last);
  float scale[kMaxVectors];
  if (shape.tables.width > 0) MultiplyWithTable(shape, rows, kv_head, block);
  const bool prefetch = shape.heads / shape.kv_heads >= block.count;
  for (size_t tile = begin; tile < end; tile += kTile) {
    const size_t positions = std::min(kTile, end - tile);
    const size_t columns = (positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
    const size_t used = (positions + kLanes - 1) / kLanes * kLanes;  // of the columns
    // One row of queries spends its time waiting for memory; many rows read a cache again and again.
    if (prefetch) {
      if (tile == begin)
        PrefetchRun(keys + tile * shape.head_dim, columns * shape.head_dim * sizeof(T));
      PrefetchRun(values + tile * padded_dim, positions * padded_dim * sizeof(T));
      if (tile + kTile < end) {
        const size_t next = std::min(kTile, end - tile - kTile);
        PrefetchRun(keys + (tile + kTile) * shape.head_dim, next * shape.head_dim * sizeof(T));
      }
    }
    Product(block.count, block.query, shape.head_dim, keys + tile * shape.head_dim, kKeyBlock,
            kKeyBlock * shape.head_dim, shape.head_dim, used, nullptr, block.weights, kTile);
    // Scales belong to positions, which are columns of the scores and of the weights: the products
    // work on codes.
    if constexpr (sizeof(T) == 1)
      ScaleColumns(view.key_scales + kv_head * view.capacity + tile, used, block);
    if (shape.tables.width > 0) AddPositionScores(shape, rows, tile, positions, block);
    UpdateSoftmax(shape, tile, used, block, scale);
    if constexpr (sizeof(T) == 1)
      ScaleColumns(view.value_scales + kv_head * view.capacity + tile, used, block);
    Product(block.count, block.weights, kTile, values + tile * padded_dim, padded_dim, kPanel,
            positions, padded_dim, scale, block.sums, padded_dim);
  }
}

void AttendBlockOfView(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                       size_t kv_head, size_t begin, size_t end, Block& block) {
  switch (view.element) {
    case KvElement::kFloat32:
      return AttendBlock<float>(shape, view, rows, kv_head, begin, end, block);
    case KvElement::kFloat16:
      return AttendBlock<hwy::float16_t>(shape, view, rows, kv_head, begin, end, block);
    case KvElement::kInt8:
      return AttendBlock<int8_t>(shape, view, rows, kv_head, begin, end, block);
  }
}

void AttendRowsImpl(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                    size_t kv_head, size_t begin, size_t end, float* scratch) {
  const size_t group = shape.heads / shape.kv_heads;
  const size_t total = (end - begin) * group;
  for (size_t start = 0; start < total; start += kMaxVectors) {
    Block block = MakeBlock(shape, view.padded_dim(), scratch);
    const size_t stop = std::min(total, start + kMaxVectors);
    for (size_t i = start; i < stop; ++i) {
      AddQuery(shape, rows, begin + i / group, kv_head * group + i % group, block);
    }
    AttendBlockOfView(shape, view, rows, kv_head, 0, rows.kv_positions, block);
    for (size_t i = start; i < stop; ++i) {
      const size_t vector = i - start;
      const float* sums = block.sums + vector * view.padded_dim();
      float* out = rows.out + ((begin + i / group) * shape.heads + kv_head * group + i % group) *
                                  shape.head_dim;
      const float inverse = 1.0f / AttentionDivisor(shape, block.head[vector],
                                                    block.maximum[vector], block.total[vector]);
      ScaleTo(sums, inverse, shape.head_dim, out);
    }
  }
}

void AttendPartialImpl(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                       size_t row, size_t kv_head, size_t kv_begin, size_t kv_end, float* scratch,
                       float* partial) {
  const size_t group = shape.heads / shape.kv_heads;
  for (size_t start = 0; start < group; start += kMaxVectors) {
    Block block = MakeBlock(shape, view.padded_dim(), scratch);
    const size_t stop = std::min(group, start + kMaxVectors);
    for (size_t i = start; i < stop; ++i) AddQuery(shape, rows, row, kv_head * group + i, block);
    AttendBlockOfView(shape, view, rows, kv_head, kv_begin, kv_end, block);
    for (size_t i = start; i < stop; ++i) {
      float* record = partial + i * (shape.head_dim + 2);
      record[0] = block.maximum[i - start];
      record[1] = block.total[i - start];
      const float* sums = block.sums + (i - start) * view.padded_dim();
      std::copy(sums, sums + shape.head_dim, record + 2);
    }
  }
}

void ProductsWithTableImpl(const float* rows, size_t count, size_t row_stride, const float* table,
                           size_t depth, size_t table_width, size_t first, size_t last,
                           float* out) {
  Product(count, rows, row_stride, table + first, table_width, kPanel, depth, last - first, nullptr,
          out + first, table_width);
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(AttendRowsImpl);
HWY_EXPORT(AttendPartialImpl);
HWY_EXPORT(ProductsWithTableImpl);

size_t AttentionScratchFloats(const AttentionShape& shape) {
  const size_t padded_dim = (shape.head_dim + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  return kMaxVectors * (shape.head_dim + kTile + padded_dim + shape.tables.width);
}

void AttendRows(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                size_t kv_head, size_t begin, size_t end, float* scratch) {
  HWY_DYNAMIC_DISPATCH(AttendRowsImpl)(shape, view, rows, kv_head, begin, end, scratch);
}

void AttendPartial(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                   size_t row, size_t kv_head, size_t kv_begin, size_t kv_end, float* scratch,
                   float* partial) {
  HWY_DYNAMIC_DISPATCH(AttendPartialImpl)
  (shape, view, rows, row, kv_head, kv_begin, kv_end, scratch, partial);
}

void ProductsWithTable(const float* rows, size_t count, size_t row_stride, const float* table,
                       size_t depth, size_t table_width, size_t first, size_t last, float* out) {
  HWY_DYNAMIC_DISPATCH(ProductsWithTableImpl)
  (rows, count, row_stride, table, depth, table_width, first, last, out);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
