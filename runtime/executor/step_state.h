// SPDX-License-Identifier: Apache-2.0
// StepState: what one step of a plan works on. The first half is what the graph says, the second
// where its rows lie once the sizes are known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/executor/linear_state.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/embedding.h"
#include "runtime/kernels/image_windows.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/text_slots.h"

namespace graft::runtime {

enum class Pooling : uint8_t { kRow, kMean, kMax };

/// Rows [begin, end) of a call, of one text.
struct TextBlock {
  size_t begin, end, text;
};

/// What one step of a plan works on.
struct StepState {
  // What the graph says.
  StoredMatrix table;             // kEmbedding
  float factor = 0;               // kEmbedding, kScale: scale; kAngles: magnitude; norms: epsilon
  const float* weight = nullptr;  // norms; kAngles: inverse frequencies
  const float* bias = nullptr;    // kLayerNorm
  size_t group = 0;               // kRmsNorm: elements; kRope: head_dim
  size_t half = 0;                // kAngles, kRope: rotary_dim / 2
  bool interleaved = false;       // kRope
  Activation activation = Activation::kSilu;
  AttentionShape attention;
  bool cached = false;           // kStoreKv, kAttention: view is of a cache
  KvView view;                   // kStoreKv, kAttention
  Pooling pool = Pooling::kRow;  // kPoolRows, kPoolPixels
  ptrdiff_t pool_index = 0;      // kPoolRows
  ImageWindow window;            // kPatches, kPoolPixels
  std::vector<LinearState> linears;
  std::vector<uint32_t> tasks;  // kLinears: linear << 16 | slice, those that run
  uint64_t weight_bytes = 0;    // kLinears: packed, of the linears that run

  // What the sizes say.
  size_t rows = 0;
  size_t width = 0;  // elements of an output row
  const float* in0 = nullptr;
  const float* in1 = nullptr;
  const int32_t* indices = nullptr;  // kEmbedding, kAngles, kSelectRows
  float* out = nullptr;
  int8_t* codes = nullptr;  // kQuantize
  RowQuantization* quantization = nullptr;
  const int32_t* text_ends = nullptr;  // kPoolRows, kStoreKv, kAttention: if there are texts
  size_t in_rows = 0;                  // kPoolRows
  struct Part {
    const float* data;
    size_t rows;
  };
  std::vector<Part> parts;             // kConcatenateRows
  std::vector<TextBlock> text_blocks;  // kAttention over texts: what the tasks of a head compute
  size_t blocks_per_task = 1;
  size_t block = 1;   // kAttention: rows of a task
  size_t splits = 1;  // kAttention: tasks that share one row's context
};

/// What the running call gives to all steps.
struct CallState {
  size_t first_position = 0;  ///< positions that the caches hold already
  TextSlots text_slots;       ///< if the graph takes several texts
};

/// Fills in what the graph says of a step, linears aside. caches: one for each of the graph's.
void ReadStep(const Plan& plan, const Step& step, std::span<const KvView> caches, StepState* state);

}  // namespace graft::runtime
