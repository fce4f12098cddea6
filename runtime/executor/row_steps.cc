// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/row_steps.h"

#include <algorithm>
#include <cstring>

#include "runtime/kernels/pool_rows.h"
#include "runtime/kernels/rope.h"

namespace graft::runtime {
namespace {

// One row of rows [first, last) of the step's input.
void PoolRow(const StepState& s, size_t first, size_t last, float* out) {
  const float* rows = s.in0 + first * s.width;
  switch (s.pool) {
    case Pooling::kRow: {
      const size_t index = static_cast<size_t>(
          s.pool_index < 0 ? static_cast<ptrdiff_t>(last - first) + s.pool_index : s.pool_index);
      std::copy(rows + index * s.width, rows + (index + 1) * s.width, out);
      break;
    }
    case Pooling::kMean:
      MeanOfRows(rows, last - first, s.width, out);
      break;
    case Pooling::kMax:
      MaxOfRows(rows, last - first, s.width, out);
      break;
  }
}

}  // namespace

void RunRows(const StepState& s, StepKind kind, const CallState& call, size_t begin, size_t end) {
  const size_t width = s.width;
  for (size_t row = begin; row < end; ++row) {
    const size_t at = row * width;
    switch (kind) {
      case StepKind::kEmbedding:
        ReadRow(s.table, static_cast<size_t>(s.indices[row]), s.factor, s.out + at);
        break;
      case StepKind::kAngles:
        RopeAngles(s.indices[row], s.weight, s.half, s.factor, s.out + at, s.out + at + s.half);
        break;
      case StepKind::kQuantize:
        QuantizeRow(s.in0 + at, width, s.codes + at, s.quantization + row);
        // A kernel that works on more rows than are left computes the last one again and again,
        // each time with the next row's quantization, and keeps any of the results.
        if (row + 1 == s.rows)
          std::fill_n(s.quantization + s.rows, kExtraQuantizations, s.quantization[row]);
        break;
      case StepKind::kRmsNorm:
        RmsNormRow(s.in0 + at, width, s.weight, s.group, s.factor, s.out + at);
        break;
      case StepKind::kLayerNorm:
        LayerNormRow(s.in0 + at, width, s.weight, s.bias, s.factor, s.out + at);
        break;
      case StepKind::kRope: {
        const float* angles = s.in1 + row * 2 * s.half;
        RopeRow(s.in0 + at, width / s.group, s.group, s.half, s.interleaved, angles,
                angles + s.half, s.out + at);
        break;
      }
      case StepKind::kStoreKv: {
        const size_t kv_width = s.view.kv_heads * s.view.head_dim;
        const size_t slot = s.text_ends != nullptr ? call.text_slots.SlotOf(row)
                                                   : (s.cached ? call.first_position : 0) + row;
        StoreKv(s.view, slot, s.in0 + row * kv_width, s.in1 + row * kv_width);
        break;
      }
      case StepKind::kAdd:
        AddRow(s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kMultiply:
        MultiplyRow(s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kActivation:
        ActivationRow(s.activation, s.in0 + at, width, s.out + at);
        break;
      case StepKind::kGatedActivation:
        GatedActivationRow(s.activation, s.in0 + at, s.in1 + at, width, s.out + at);
        break;
      case StepKind::kSelectRows:
        std::memcpy(s.out + at, s.in0 + static_cast<size_t>(s.indices[row]) * width,
                    width * sizeof(float));
        break;
      case StepKind::kScale:
        ScaleRow(s.in0 + at, s.factor, width, s.out + at);
        break;
      case StepKind::kPoolRows: {
        const bool by_texts = s.text_ends != nullptr;
        const auto first = static_cast<size_t>(by_texts && row > 0 ? s.text_ends[row - 1] : 0);
        const size_t last = by_texts ? static_cast<size_t>(s.text_ends[row]) : s.in_rows;
        PoolRow(s, first, last, s.out + at);
        break;
      }
      case StepKind::kConstant:
        std::copy(s.weight + at, s.weight + at + width, s.out + at);
        break;
      case StepKind::kConcatenateRows: {
        size_t from = row;
        const StepState::Part* part = s.parts.data();
        for (; from >= part->rows; ++part) from -= part->rows;
        std::copy(part->data + from * width, part->data + (from + 1) * width, s.out + at);
        break;
      }
      case StepKind::kPatches:
        CopyPatch(s.window, s.in0, row, s.out + at);
        break;
      case StepKind::kPoolPixels:
        if (s.pool == Pooling::kMax) {
          PoolMax(s.window, s.in0, row, s.out + at);
        } else {
          PoolMean(s.window, s.in0, row, s.out + at);
        }
        break;
      case StepKind::kLinears:
      case StepKind::kAttention:
        break;
    }
  }
}

}  // namespace graft::runtime
