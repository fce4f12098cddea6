// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/attention_scratch.h"

#include <algorithm>

#include "runtime/kernels/attention.h"
#include "runtime/kernels/row_kernels.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {

size_t PositionTablesWidth(const schema::fb::Model& model,
                           const schema::fb::PositionTables& tables) {
  const int32_t tensor = tables.query() >= 0 ? tables.query() : tables.key();
  return static_cast<size_t>(model.tensors()->Get(static_cast<uint32_t>(tensor))->shape()->Get(1));
}

AttentionScratch ScratchOf(const Plan& plan) {
  constexpr size_t kLineFloats = 16;
  constexpr size_t kQuantizationFloats = sizeof(RowQuantization) / sizeof(float);
  const auto& tensors = *plan.model().model().tensors();
  AttentionScratch scratch;
  for (const schema::fb::Op* op : *plan.model().model().graph()->ops()) {
    if (const schema::fb::ExpertLinear* linear = op->attributes_as_ExpertLinear()) {
      const auto& shape = *tensors.Get(static_cast<uint32_t>(linear->weight()))->shape();
      const auto out_features = static_cast<size_t>(shape[0]) / linear->experts();
      const size_t row_floats = static_cast<size_t>(shape[1]) + out_features + kQuantizationFloats;
      scratch.worker_floats =
          std::max(scratch.worker_floats, kFewestExpertRows * row_floats + kExpertRowsTail);
    }
    const schema::fb::Attention* attention = op->attributes_as_Attention();
    if (attention == nullptr) continue;
    AttentionShape shape;
    shape.heads = attention->heads();
    shape.kv_heads = attention->kv_heads();
    shape.head_dim = attention->head_dim();
    if (const auto* tables = attention->position_tables())
      shape.tables.width = PositionTablesWidth(plan.model().model(), *tables);
    scratch.worker_floats = std::max(scratch.worker_floats, AttentionScratchFloats(shape));
    scratch.partial_floats = std::max(scratch.partial_floats,
                                      shape.kv_heads * kMaxAttentionSplits * PartialFloats(shape));
    scratch.most_kv_heads = std::max<size_t>(scratch.most_kv_heads, shape.kv_heads);
  }
  scratch.worker_floats = (scratch.worker_floats + 2 * kLineFloats - 1) / kLineFloats * kLineFloats;
  return scratch;
}

}  // namespace graft::runtime
