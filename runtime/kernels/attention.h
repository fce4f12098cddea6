// SPDX-License-Identifier: Apache-2.0
// Attention over stored keys and values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/kv_store.h"

namespace graft::runtime {

/// Tables of what a row's query and a position's key add to a score by the distance between them,
/// [heads][head_dim][width]; width is a multiple of kKeyBlock. Null: none.
struct PositionTables {
  const float* query = nullptr;
  const float* key = nullptr;
  size_t width = 0;
};

struct AttentionShape {
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  float scale = 1.0f;
  float soft_cap = 0.0f;  ///< 0: none
  size_t window = 0;      ///< 0: none
  bool causal = true;
  /// Of each head, if there is ALiBi: alibi_scale * (slope * position) is added to the scores.
  const float* alibi_slopes = nullptr;
  float alibi_scale = 1.0f;
  bool alibi_rounded = false;  ///< To bf16, before it is scaled.
  /// Of each head and each of `distances` distances, if there is one: that of a position `d` behind
  /// the row's, which is at distances_before + d or the nearest there is, is added to the scores.
  const float* position_bias = nullptr;
  size_t distances = 0;
  size_t distances_before = 0;
  bool both_ways = false;   ///< The window hides what lies ahead, too.
  PositionTables tables{};  ///< With them there are as many kv_heads as heads.
  /// Of each head, if there are any: exp(sink) is added to the sum that weights are divided by.
  const float* sinks = nullptr;
  /// Of each head, row and position, if there is one: added to the scores.
  const float* score_bias = nullptr;
  size_t bias_rows = 0;       ///< of each head
  size_t bias_positions = 0;  ///< of each row
};

/// Floats of scratch that a worker needs, whatever the op's number of rows.
size_t AttentionScratchFloats(const AttentionShape& shape);

/// Positions [first, last).
struct PositionRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

/// What a call of attention works on. Row i of the call is at position first_position + i and sees
/// positions [0, kv_positions), less what causality and window hide.
struct AttentionRows {
  const float* query = nullptr;  ///< [rows, heads * head_dim]
  float* out = nullptr;          ///< like query
  size_t first_position = 0;
  size_t kv_positions = 0;
  /// With position tables: the column for row i and position j is columns[kv_positions - 1 + j - i].
  /// All lie in [first_column, last_column), two multiples of kKeyBlock. key_scores are what
  /// ProductsWithTable gave for each position's key and the head, [kv_positions][width].
  const uint32_t* columns = nullptr;
  size_t first_column = 0;
  size_t last_column = 0;
  const float* key_scores = nullptr;
  /// Of each position, which are as many as the rows, if there are regions: a row sees those of its
  /// own.
  const uint8_t* regions = nullptr;
  /// Of each row, if there are any: positions that it sees whatever causality and the window hide,
  /// its own among them. Last 0: none.
  const PositionRange* runs = nullptr;
};

/// out[row][column] = sum over k of rows[row][k] * table[k][column], for columns [first, last), two
/// multiples of kKeyBlock. rows are row_stride apart, out and table table_width.
void ProductsWithTable(const float* rows, size_t count, size_t row_stride, const float* table,
                       size_t depth, size_t table_width, size_t first, size_t last, float* out);

/// Computes rows [begin, end) of all query heads that share key/value head `kv_head`.
/// Cost     two multiply-adds for each query head, visible position and dimension. Keys and values
///          are read once for up to 8 query vectors. Allocates nothing. Source Dao et al. 2022,
///          "FlashAttention" (online softmax by tiles).
void AttendRows(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                size_t kv_head, size_t begin, size_t end, float* scratch);

/// The same for one row and the positions [kv_begin, kv_end) only (kv_begin a multiple of
/// kKeyBlock): the unnormalized sum, the maximum and the sum of weights of each query head of the
/// group go to `partial`, to be merged by CombinePartials. partial has PartialFloats() floats.
void AttendPartial(const AttentionShape& shape, const KvView& view, const AttentionRows& rows,
                   size_t row, size_t kv_head, size_t kv_begin, size_t kv_end, float* scratch,
                   float* partial);
/// What the weighted sum of a head's values is divided by. total: of the weights, relative to maximum.
float AttentionDivisor(const AttentionShape& shape, size_t head, float maximum, float total);
size_t PartialFloats(const AttentionShape& shape);
/// Merges `count` partials, PartialFloats() apart, into the output of `row` and `kv_head`'s group
/// of query heads.
void CombinePartials(const AttentionShape& shape, const AttentionRows& rows, size_t row,
                     size_t kv_head, const float* partials, size_t count);

}  // namespace graft::runtime
