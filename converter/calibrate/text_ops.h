// SPDX-License-Identifier: Apache-2.0
// The ops of a language model's graph on many rows at once, the same bits on every CPU. What they
// compute is what model.fbs says; the device computes the same, faster and in another order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/result.h"

namespace graft::schema::fb {
struct Op;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Rows of `sequences` texts, rows_each for each, one text after the other. They continue texts of
/// which `past` rows were computed before.
struct Batch {
  size_t sequences = 0;
  size_t rows_each = 0;
  size_t past = 0;
  size_t most_rows = 0;  ///< past + rows_each never exceeds it
  const int32_t* ids = nullptr;

  size_t rows() const { return sequences * rows_each; }
  /// Where a row stands in its text.
  size_t PositionOf(size_t row) const { return past + row % rows_each; }
};

/// The numbers of a tensor; of a matrix row by row.
using TensorNumbers = std::vector<std::span<const float>>;

/// An op's operand: rows of numbers, or ids.
struct Operand {
  const float* numbers = nullptr;
  size_t width = 0;
  bool is_token_ids = false;
  bool is_positions = false;
};

struct OpCall {
  const schema::fb::Op& op;
  const Batch& batch;
  const TensorNumbers& tensors;  ///< By their index in the file.
  std::vector<Operand> in;
  float* out = nullptr;
  size_t out_width = 0;
  /// Of an op that attends: keys, then values of all positions, [sequences, most_rows, width] each;
  /// empty where no rows lie in the past.
  std::span<float> cache;
  int threads = 1;

  std::span<const float> tensor(int32_t index) const {
    return index < 0 ? std::span<const float>() : tensors[static_cast<size_t>(index)];
  }
};

/// Whether RunOp knows ops of this one's kind and settings.
/// Errors   kUnsupported, naming the op.
Status CheckOp(const schema::fb::Op& op);

/// Requires CheckOp(op) is OK.
/// Errors   kCancelled.
Status RunOp(const OpCall& call);

/// Softmax attention of a causal op with a KV cache; a part of RunOp.
Status RunAttention(const OpCall& call);

}  // namespace graft::converter
