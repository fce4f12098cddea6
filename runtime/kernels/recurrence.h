// SPDX-License-Identifier: Apache-2.0
// Kernels of ops that go through rows one after the other and keep a state. Columns do not know each
// other, so that each call takes some of them through all its rows; all numbers are f32.
//
// The matrices of GatedDeltaRule and SelectiveScan lie in blocks of kStateColumns columns, one block
// after the other: [columns / kStateColumns][rows][kStateColumns]. Columns that fill up the last
// block are zeros.
#pragma once

#include <cstddef>

namespace graft::runtime {

inline constexpr size_t kStateColumns = 16;

/// Columns with those that fill up the last block.
constexpr size_t PaddedColumns(size_t columns) {
  return (columns + kStateColumns - 1) / kStateColumns * kStateColumns;
}

/// As model.fbs has them. bias may be null.
struct ConvolutionShape {
  const float* weight = nullptr;  ///< [kernel, width]
  const float* bias = nullptr;
  size_t kernel = 0;
  size_t width = 0;
  bool gated = false;
};

/// Columns [begin, end) of `rows` rows. state: [kernel - 1, PaddedColumns(width)].
void ConvolveRows(const ConvolutionShape& shape, const float* in, size_t rows, size_t begin,
                  size_t end, float* state, float* out);

/// y = ln(1 + e^(x + offset)). offset may be null.
void SoftplusRow(const float* x, const float* offset, size_t width, float* y);

/// y = e^x.
void ExpRow(const float* x, size_t width, float* y);

/// Sum of a * b.
float DotRow(const float* a, const float* b, size_t width);

/// What a head makes of a row before its state is looked at.
struct DeltaFactors {
  float query, key;  ///< 1 / length, the query's times 1 / sqrt(key_dim)
  float query_key;   ///< of the two as they are after that
  float decay, beta;
};

/// Some columns of a head, from the first of a block on, in all rows of a call.
struct DeltaColumns {
  const float *query, *key, *value;  ///< of the first row; value at the first column
  size_t stride = 0;                 ///< from one row of them to the next
  const DeltaFactors* factors = nullptr;
  size_t factors_stride = 0;
  size_t rows = 0;
  size_t key_dim = 0;
  size_t columns = 0;
  float* state = nullptr;  ///< [blocks][key_dim][kStateColumns]
  float* out = nullptr;    ///< at the first column
  size_t out_stride = 0;
  /// Two rows at a time where that is faster: it rounds otherwise than rows one by one, and reads the
  /// state half as often.
  bool by_pairs = false;
};
/// Source   Yang et al. 2024, "Gated Delta Networks".
void DeltaRule(const DeltaColumns& columns);

/// One row of at most kStateColumns columns that share b and c.
struct ScanColumns {
  const float* x = nullptr;
  const float* steps = nullptr;   ///< [columns]
  const float* decays = nullptr;  ///< [columns], or null: rates are given
  const float* rates = nullptr;   ///< [state_dim][kStateColumns]
  const float* skips = nullptr;   ///< [columns]; null: zeros
  const float *b, *c;             ///< [state_dim]
  size_t state_dim = 0;
  size_t columns = 0;
};
/// out = what the columns give. state: [state_dim][kStateColumns].
/// Source   Gu and Dao 2023, "Mamba"; Dao and Gu 2024, "Transformers are SSMs".
void ScanRow(const ScanColumns& row, float* state, float* out);

/// y = x + sum of factors[i] * rows[i], each [width].
void AddRows(const float* factors, size_t count, const float* rows, size_t width, float* y);

/// From x and the inputs of both gates: decay = exp(rate * sigmoid(gate)), and what comes in,
/// sigmoid(input) * x * sqrt(1 - decay^2), or without the root if it is the text's first row.
/// Source   De et al. 2024, "Griffin".
void RecurrenceFactors(const float* x, const float* input, const float* gate, const float* rates,
                       bool first, size_t width, float* decay, float* incoming);

/// state = decay * state + incoming; out = state.
void RecurRow(const float* decay, const float* incoming, size_t width, float* state, float* out);

}  // namespace graft::runtime
