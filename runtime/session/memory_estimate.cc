// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/memory_estimate.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/executor/linear_slices.h"
#include "runtime/model/lookup_tables.h"
#include "runtime/model/model.h"
#include "runtime/model/pack_layout.h"
#include "runtime/ops/make_plan.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/schedule.h"
#include "runtime/session/text_batch.h"
#include "runtime/xnn/linear_operator.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Measured: what is resident of the code and tables that run a model, and of what they allocate
// whatever the model.
constexpr uint64_t kCodeBytes = uint64_t{2600} << 10;
constexpr uint64_t kHeapBytes = uint64_t{96} << 10;
constexpr uint64_t kThreadBytes = uint64_t{48} << 10;  // stack, and what the system keeps of it
// Of one operator on a slice of a weight.
constexpr uint64_t kOperatorBytes = 2048;

uint64_t Pages(uint64_t bytes) {
  const uint64_t page_bytes = PageBytes();
  return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

// Those that an op which keeps a state reads for each row; -1: none.
std::vector<int32_t> TensorsOfStateOp(const fb::Op& op) {
  if (const auto* convolution = op.attributes_as_ShortConvolution())
    return {convolution->weight(), convolution->bias()};
  if (const auto* rule = op.attributes_as_GatedDeltaRule()) return {rule->rates(), rule->offsets()};
  if (const auto* scan = op.attributes_as_SelectiveScan()) return {scan->rates(), scan->offsets()};
  if (const auto* recurrence = op.attributes_as_GatedRecurrence())
    return {recurrence->input_weight(), recurrence->gate_weight(), recurrence->rates()};
  return {};
}

// Bytes that stay mapped of the file: its header, and around every tensor that is read in place.
uint64_t BytesReadInPlace(const schema::VerifiedModel& model) {
  const auto& tensors = *model.model().tensors();
  struct Windows {
    uint64_t first, end;
  };
  std::vector<Windows> read;
  const auto add = [&](uint64_t offset, uint64_t size) {
    if (size == 0) return;
    read.push_back({offset / kMappedAroundBytes, (offset + size - 1) / kMappedAroundBytes + 1});
  };
  const auto add_tensor = [&](int32_t index) {
    if (index < 0) return;
    const schema::TensorBytes bytes =
        model.tensor_bytes(*tensors.Get(static_cast<uint32_t>(index)));
    for (const std::span<const uint8_t> part : {bytes.data, bytes.scales})
      add(static_cast<uint64_t>(part.data() - model.file_bytes().data()), part.size());
  };
  add(0, HeaderEndOf(model));
  for (const fb::Op* op : *model.model().graph()->ops()) {
    if (const auto* norm = op->attributes_as_RmsNorm()) add_tensor(norm->weight());
    if (const auto* rope = op->attributes_as_Rope()) {
      add_tensor(rope->inverse_frequencies());
      add_tensor(rope->table());
    }
    if (const auto* constant = op->attributes_as_Constant()) add_tensor(constant->tensor());
    for (const int32_t tensor : TensorsOfStateOp(*op)) add_tensor(tensor);
    if (const auto* attention = op->attributes_as_Attention()) {
      add_tensor(attention->alibi_slopes());
      add_tensor(attention->position_bias());
      add_tensor(attention->score_bias());
      if (const auto* tables = attention->position_tables()) {
        add_tensor(tables->query());
        add_tensor(tables->key());
      }
      add_tensor(attention->sinks());
    }
    if (const auto* route = op->attributes_as_Route()) add_tensor(route->bias());
    if (const auto* rotate = op->attributes_as_Rotate()) add_tensor(rotate->angles());
    if (const auto* grid = op->attributes_as_GridPositions()) add_tensor(grid->table());
    if (const auto* convolution = op->attributes_as_Convolution();
        convolution != nullptr && IsDepthwise(model, *convolution))
      add_tensor(convolution->weight());
    if (const auto* norm = op->attributes_as_LayerNorm()) {
      add_tensor(norm->weight());
      add_tensor(norm->bias());
    }
  }
  std::sort(read.begin(), read.end(),
            [](const Windows& a, const Windows& b) { return a.first < b.first; });
  uint64_t windows = 0;
  uint64_t counted = 0;  // up to here
  for (const Windows& range : read) {
    counted = std::max(counted, range.first);
    windows += std::max(range.end, counted) - counted;
    counted = std::max(counted, range.end);
  }
  return std::min<uint64_t>(windows * kMappedAroundBytes, Pages(model.file_bytes().size()));
}

// What rows of large tables that are far apart bring in between two times that pages are let go.
uint64_t BytesLookedUp(const LookupTables& tables, uint64_t rows) {
  const uint64_t most = std::min<uint64_t>(rows, LookupTables::kRowsHeld) * kMappedAroundBytes *
                        tables.large_ranges();
  return std::min(tables.large_bytes(), most);
}

// Of graphs that tokens do not go through in chunks, with `tokens` tokens of one text, or one row
// of whatever else.
Result<uint64_t> ArenaBytesOfText(const Plan& plan, uint32_t tokens) {
  Binding binding(plan.symbols(), 1);
  for (const int32_t value : {plan.token_ids(), plan.positions(), plan.token_types()}) {
    if (value < 0) continue;
    const PlanDimension& dimension = plan.values()[static_cast<size_t>(value)].shape[0];
    if (dimension.symbol >= 0) binding[static_cast<size_t>(dimension.symbol)] = tokens;
  }
  Schedule schedule;
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, binding, &schedule));
  return schedule.arena_bytes;
}

// Of a pack's result, what is made of a matrix to be packed is there at the same time.
uint64_t LargestMatrix(const schema::VerifiedModel& model, const PackLayout& layout) {
  uint64_t most = 0;
  for (const PackedEntry& entry : layout.entries) {
    const schema::TensorBytes bytes = model.tensor_bytes(
        *model.model().tensors()->Get(static_cast<uint32_t>(entry.source.weight)));
    most = std::max<uint64_t>(most, bytes.data.size() + bytes.scales.size());
  }
  return most;
}

uint64_t OperatorBytes(const Plan& plan, const PackLayout& layout, unsigned workers) {
  uint64_t operators = 0;
  for (const Step& step : plan.steps()) {
    if (!step.kind->reads_weights) continue;
    const auto weights = [&](uint32_t op) -> const LinearWeights& {
      return layout.entries[layout.entry_of_op[op]].weights;
    };
    // Experts share a whole slice's operator and a last one's, of each worker.
    if (plan.op(step.ops[0]).attributes_as_ExpertLinear() != nullptr) {
      operators += uint64_t{2} * workers * step.ops.size();
      continue;
    }
    uint64_t group_bytes = 0;
    for (const uint32_t op : step.ops) group_bytes += weights(op).packed_bytes;
    uint64_t blocks = 1;
    if (step.block_rows != 0) {
      const PlanValue& input = plan.values()[static_cast<size_t>(step.inputs[0])];
      blocks = static_cast<uint64_t>(input.shape[0].size) / step.block_rows + 1;
    }
    for (const uint32_t op : step.ops)
      operators += blocks * SlicesOf(weights(op), group_bytes, workers).count;
  }
  return operators * kOperatorBytes;
}

}  // namespace

Result<MemoryEstimate> EstimateMemory(const DataSource& source, const SessionOptions& options,
                                      unsigned model_threads) {
  GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel model, schema::Verify(source.bytes()));
  GRAFT_RETURN_IF_ERROR(CheckOps(model));
  GRAFT_RETURN_IF_ERROR(KeepReadInPlace(model, source));
  GRAFT_RETURN_IF_ERROR(InitializeKernels());
  GRAFT_ASSIGN_OR_RETURN(const PackLayout layout, LayOutWeights(model));
  const Plan plan = MakePlan(model);
  MemoryEstimate estimate;
  GRAFT_ASSIGN_OR_RETURN(estimate.sizes, SizesOf(model, options, model_threads));
  GRAFT_ASSIGN_OR_RETURN(SessionMemory session, LayOutSession(plan, estimate.sizes));
  if (session.arena_bytes == 0) {
    GRAFT_ASSIGN_OR_RETURN(session.arena_bytes,
                           ArenaBytesOfText(plan, estimate.sizes.context_tokens));
  }
  estimate.file_bytes = model.file_bytes().size();
  estimate.packed_bytes = layout.bytes;
  estimate.kv_bytes = session.cache_bytes + session.states.all_bytes();
  estimate.activation_bytes = session.arena_bytes + session.scratch_bytes + session.id_bytes;

  const unsigned threads = std::max(model_threads, estimate.sizes.threads);
  const uint64_t own = source.own_bytes() + estimate.kv_bytes + estimate.activation_bytes +
                       OperatorBytes(plan, layout, estimate.sizes.threads) + kHeapBytes +
                       threads * kThreadBytes;
  const LookupTables tables(model, source);
  uint64_t of_files = kCodeBytes;
  uint64_t looked_up = 0;
  uint64_t passing = 0;
  if (source.own_bytes() < estimate.file_bytes) {
    of_files += BytesReadInPlace(model) + tables.small_bytes();
    looked_up = BytesLookedUp(tables, estimate.sizes.prefill_chunk);
    if (source.own_bytes() > 0) passing = LargestMatrix(model, layout);
  }
  const uint64_t packed = Pages(layout.bytes);
  // Between two calls some of the last rows are still there.
  estimate.packing = {own + packed + of_files + std::max(looked_up, passing),
                      own + packed + of_files + looked_up / 2, own + packed};
  estimate.cached = {own + packed + of_files + looked_up, estimate.packing.steady, own};
  // A tensor that is read as a whole to be checked has its packed bytes still ahead of it, which
  // are about as many; the file is written from the packed bytes.
  estimate.storing_peak_bytes = estimate.packing.peak;
  return estimate;
}

}  // namespace graft::runtime
