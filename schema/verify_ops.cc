// SPDX-License-Identifier: Apache-2.0
// The rule of each kind of op, which model.fbs says in words, and the switch that finds it.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"
#include "schema/ops/verify_image_ops.h"
#include "schema/ops/verify_source.h"
#include "schema/verify_row_ops.h"

namespace graft::schema {
namespace {

void Bound(uint64_t limit, uint64_t* bound) {
  *bound = *bound == 0 ? limit : std::min(*bound, limit);
}

Status CheckEmbedding(OpChecker& op, const fb::Embedding& embedding) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  uint64_t* const bound = op.BoundOf(0);
  if (bound == nullptr) {
    return op.OpError(
        "needs %.100s to be the graph input of role TokenIds, Positions or TokenTypes, ids or "
        "positions of a source, or places of patches",
        op.Input(0).name()->c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table, op.MatrixAt(embedding.table(), "table"));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), table->shape()->Get(1)));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Output(0)));
  if (!std::isfinite(embedding.scale())) return op.OpError("has a scale that is not finite");
  Bound(static_cast<uint64_t>(table->shape()->Get(0)), bound);
  return OkStatus();
}

Status CheckLinear(const OpChecker& op, const fb::Linear& linear) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, op.MatrixAt(linear.weight(), "weight"));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), weight->shape()->Get(1)));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), weight->shape()->Get(0)));
  if (linear.bias() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(linear.bias(), weight->shape()->Get(0), "bias"));
  return op.ExpectSameRows(op.Input(0), op.Output(0));
}

Status CheckRmsNorm(const OpChecker& op, const fb::RmsNorm& norm) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t width = 0;
  int64_t group = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(norm.weight(), 0, "weight", &group));
  if (norm.runs() != 0 ? group != width || width % norm.runs() != 0 : width % group != 0) {
    return op.OpError("has a width of %" PRId64 " in %u runs, which its weight of %" PRId64
                      " does not fit",
                      width, norm.runs(), group);
  }
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(norm.epsilon(), "epsilon"));
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckLayerNorm(const OpChecker& op, const fb::LayerNorm& norm) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(norm.weight(), width, "weight"));
  if (norm.bias() != -1) GRAFT_RETURN_IF_ERROR(op.ExpectVector(norm.bias(), width, "bias"));
  if (norm.group() != 0 && width % norm.group() != 0) {
    return op.OpError("has a width of %" PRId64 ", not a multiple of its group's %u", width,
                      norm.group());
  }
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(norm.epsilon(), "epsilon"));
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckRope(OpChecker& op, const fb::Rope& rope) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(2, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  const bool of_patches = op.InputOrigin(1) == Origin::kImagePositions;
  if (!of_patches) GRAFT_RETURN_IF_ERROR(op.ExpectPositions(1));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Input(1)));
  if (rope.head_dim() < 1 || rope.head_dim() > kMaxHeadDim || width % rope.head_dim() != 0) {
    return op.OpError("has a width of %" PRId64 ", not a multiple of head_dim %u (at most %u)",
                      width, rope.head_dim(), kMaxHeadDim);
  }
  if (rope.rotary_dim() < 2 || rope.rotary_dim() % 2 != 0 || rope.rotary_dim() > rope.head_dim()) {
    return op.OpError("has a rotary_dim of %u; it must be even and at most head_dim %u",
                      rope.rotary_dim(), rope.head_dim());
  }
  uint64_t positions = rope.positions();
  GRAFT_RETURN_IF_ERROR(CheckAngles(op, rope, of_patches, &positions));
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(rope.magnitude(), "magnitude"));
  if (!std::isfinite(rope.growth()) || rope.growth() < 0.0f)
    return op.OpError("has growth %g; it must be finite, and 0 or more", rope.growth());
  GraphFacts& facts = op.facts();
  if (rope.axes() != nullptr && !of_patches) facts.has_axes = true;
  if (positions != 0) Bound(positions, of_patches ? &facts.image_positions : &facts.positions);
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

// Whether the op has no keys and values of its own, but reads those that another has stored.
bool ReadsStored(const OpChecker& op) { return op.input_count() == 2; }

Status CheckAttentionRows(const OpChecker& op, const fb::Attention& attention) {
  const uint32_t last = op.input_count() - 1;
  const bool is_alone = last == 2 && attention.kv_cache() == -1 && !attention.causal() &&
                        attention.window() == 0 && attention.position_bias() == -1 &&
                        attention.position_tables() == nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  if (is_alone && op.ExpectFixedMatrix(op.Input(0), &rows, &width).ok() &&
      op.ExpectFixedMatrix(op.Input(1), &rows, &width).ok()) {
    return op.ExpectSameRows(op.Input(1), op.Input(2));
  }
  for (uint32_t i = 1; i < 3 && i <= last; ++i)
    GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Input(i)));
  if (ReadsStored(op)) return op.ExpectPositions(1);
  const bool by_texts = last == 3 && op.InputOrigin(3) == Origin::kTextEnds;
  if (last == 3 && !by_texts) {
    GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(3, Origin::kPositions, "Positions"));
    return op.ExpectSameRows(op.Input(0), op.Input(3));
  }
  // The rows of a text are its positions.
  const bool needs_order = attention.causal() || attention.window() != 0;
  if (attention.kv_cache() != -1 || (needs_order && !by_texts)) {
    return op.OpError("is causal, windowed or keeps a kv_cache, and needs positions for that");
  }
  if (last == 2) return OkStatus();
  return op.ExpectTokenRows();
}

Status CheckPositionBias(const OpChecker& op, const fb::Attention& attention) {
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table,
                         op.MatrixAt(attention.position_bias(), "position_bias"));
  const int64_t heads = table->shape()->Get(0);
  const int64_t distances = table->shape()->Get(1);
  if (table->format() != fb::TensorFormat::Float32 || heads != attention.heads() ||
      attention.position_bias_before() >= distances) {
    return op.OpError(
        "needs its position_bias (%.100s) to be f32 of [%u, distances], %u of them before the row",
        table->name()->c_str(), attention.heads(), attention.position_bias_before());
  }
  return OkStatus();
}

Status CheckCache(OpChecker& op, const fb::Attention& attention) {
  GRAFT_ASSIGN_OR_RETURN(const fb::KvCache* cache, op.CacheAt(attention.kv_cache()));
  if (cache->kv_heads() != attention.kv_heads() || cache->head_dim() != attention.head_dim()) {
    return op.OpError("has %u kv_heads of %u, its kv_cache %u of %u", attention.kv_heads(),
                      attention.head_dim(), cache->kv_heads(), cache->head_dim());
  }
  GRAFT_RETURN_IF_ERROR(ReadsStored(op) ? op.ReadCache(attention.kv_cache())
                                        : op.UseCache(attention.kv_cache()));
  if (!cache->of_source() && !attention.causal())
    return op.OpError("keeps a kv_cache but is not causal");
  return OkStatus();
}

Status CheckAttention(OpChecker& op, const fb::Attention& attention) {
  const bool stored = ReadsStored(op);
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(stored ? 2 : op.input_count() == 3 ? 3 : 4, 1));
  if (attention.heads() < 1 || attention.heads() > kMaxHeads || attention.head_dim() < 1 ||
      attention.head_dim() > kMaxHeadDim || attention.kv_heads() < 1 ||
      attention.heads() % attention.kv_heads() != 0) {
    return op.OpError(
        "has %u heads, %u kv_heads of %u; heads must be a multiple of kv_heads, at most %u of %u",
        attention.heads(), attention.kv_heads(), attention.head_dim(), kMaxHeads, kMaxHeadDim);
  }
  const int64_t query_width = int64_t{attention.heads()} * attention.head_dim();
  const int64_t kv_width = int64_t{attention.kv_heads()} * attention.head_dim();
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), query_width));
  for (uint32_t i = 1; i < 3 && !stored; ++i)
    GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(i), kv_width));
  GRAFT_RETURN_IF_ERROR(AttendsToSource(op, attention) ? CheckCrossAttention(op, attention)
                                                       : CheckAttentionRows(op, attention));
  GRAFT_RETURN_IF_ERROR(CheckBlocks(op, attention));
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(attention.scale(), "scale"));
  if (!std::isfinite(attention.soft_cap()) || attention.soft_cap() < 0.0f) {
    return op.OpError("has soft_cap %g; it must be finite, and 0 or more", attention.soft_cap());
  }
  if (attention.alibi_slopes() != -1) {
    GRAFT_RETURN_IF_ERROR(
        op.ExpectVector(attention.alibi_slopes(), attention.heads(), "alibi_slopes"));
    if (!std::isfinite(attention.alibi_scale()))
      return op.OpError("has an alibi_scale that is not finite");
  }
  if (attention.position_tables() != nullptr)
    GRAFT_RETURN_IF_ERROR(CheckPositionTables(op, attention));
  if (attention.position_bias() != -1) GRAFT_RETURN_IF_ERROR(CheckPositionBias(op, attention));
  if (attention.sinks() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(attention.sinks(), attention.heads(), "sinks"));
  if (stored || attention.kv_cache() != -1) GRAFT_RETURN_IF_ERROR(CheckCache(op, attention));
  if (attention.image_runs()) {
    if (!attention.causal() || op.facts().image_patches == nullptr)
      return op.OpError("has image_runs, which need pictures and a causal op");
    op.facts().has_image_runs = true;
  }
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

// f32 operands of one shape.
Status CheckElementwise(const OpChecker& op, uint32_t inputs) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(inputs, 1));
  if (op.Input(0).type() != fb::ElementType::Float32) return op.OpError("needs f32 operands");
  for (uint32_t i = 1; i < inputs; ++i)
    GRAFT_RETURN_IF_ERROR(op.ExpectSameShape(op.Input(0), op.Input(i)));
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckActivation(const OpChecker& op, uint32_t inputs, fb::ActivationKind kind) {
  GRAFT_RETURN_IF_ERROR(CheckElementwise(op, inputs));
  if (kind > fb::ActivationKind::MAX)
    return op.Unknown("has activation", static_cast<unsigned>(kind));
  return OkStatus();
}

Status CheckScale(const OpChecker& op, const fb::Scale& scale) {
  if (!std::isfinite(scale.factor())) return op.OpError("has a factor that is not finite");
  return CheckElementwise(op, 1);
}

Status CheckClamp(const OpChecker& op, const fb::Clamp& clamp) {
  if (!std::isfinite(clamp.low()) || !std::isfinite(clamp.high()) || clamp.low() > clamp.high())
    return op.OpError("clamps to [%g, %g]; both must be finite, in this order", clamp.low(),
                      clamp.high());
  return CheckElementwise(op, 1);
}

Status CheckXielu(const OpChecker& op, const fb::Xielu& xielu) {
  for (const float number : {xielu.alpha_p(), xielu.alpha_n(), xielu.beta(), xielu.epsilon()}) {
    if (!std::isfinite(number)) return op.OpError("has a number that is not finite");
  }
  if (xielu.epsilon() > 0.0f) return op.OpError("has an epsilon of %g, above 0", xielu.epsilon());
  return CheckElementwise(op, 1);
}

Status CheckPoolRows(const OpChecker& op, const fb::PoolRows& pool) {
  const bool by_texts = op.input_count() == 2;
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(by_texts ? 2 : 1, 1));
  if (pool.kind() > fb::PoolKind::MAX) {
    return op.Unknown("pools by", static_cast<unsigned>(pool.kind()));
  }
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  int64_t fewest_rows = 1;
  if (by_texts) {
    GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(1, Origin::kTextEnds, "TextEnds"));
    GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
    GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), width));
    GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(1), op.Output(0)));
  } else {
    GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(0), &fewest_rows, &width));
    GRAFT_RETURN_IF_ERROR(op.ExpectFixedShape(op.Output(0), 1, width));
  }
  if (pool.index() >= fewest_rows || pool.index() < -fewest_rows) {
    return op.OpError("takes row %d of as few as %" PRId64, pool.index(), fewest_rows);
  }
  return OkStatus();
}

Status CheckConstant(const OpChecker& op, const fb::Constant& constant) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(0, 1));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, op.TensorAt(constant.tensor(), "tensor"));
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Output(0), &rows, &width));
  // Both products are bounded: values' by CheckValues, tensors' by their bytes.
  int64_t elements = 1;
  for (const int64_t size : *tensor->shape()) elements *= size;
  if (tensor->format() != fb::TensorFormat::Float32 || elements != rows * width) {
    return op.OpError("needs its tensor (%.100s) to be f32 of %" PRId64 " numbers",
                      tensor->name()->c_str(), rows * width);
  }
  return OkStatus();
}

Status CheckConcatenateRows(const OpChecker& op) {
  const uint32_t inputs = op.input_count();
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(inputs < 1 ? 1 : inputs, 1));
  int64_t width = 0;
  int64_t all_rows = 0;
  for (uint32_t i = 0; i < inputs; ++i) {
    int64_t rows = 0;
    GRAFT_RETURN_IF_ERROR(op.ExpectFixedMatrix(op.Input(i), &rows, &width));
    GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), width));
    all_rows += rows;  // each is below 2^31
  }
  return op.ExpectFixedShape(op.Output(0), all_rows, width);
}

}  // namespace

Status CheckKind(OpChecker& op) {
  const fb::Op& kind = op.op();
  switch (kind.attributes_type()) {
    case fb::OpAttributes::Embedding:
      return CheckEmbedding(op, *kind.attributes_as_Embedding());
    case fb::OpAttributes::Linear:
      return CheckLinear(op, *kind.attributes_as_Linear());
    case fb::OpAttributes::RmsNorm:
      return CheckRmsNorm(op, *kind.attributes_as_RmsNorm());
    case fb::OpAttributes::LayerNorm:
      return CheckLayerNorm(op, *kind.attributes_as_LayerNorm());
    case fb::OpAttributes::Rope:
      return CheckRope(op, *kind.attributes_as_Rope());
    case fb::OpAttributes::Attention:
      return CheckAttention(op, *kind.attributes_as_Attention());
    case fb::OpAttributes::Add:
    case fb::OpAttributes::Multiply:
      return CheckElementwise(op, 2);
    case fb::OpAttributes::Activation:
      return CheckActivation(op, 1, kind.attributes_as_Activation()->kind());
    case fb::OpAttributes::GatedActivation:
      return CheckActivation(op, 2, kind.attributes_as_GatedActivation()->kind());
    case fb::OpAttributes::SelectRows:
      return CheckSelectRows(op);
    case fb::OpAttributes::Scale:
      return CheckScale(op, *kind.attributes_as_Scale());
    case fb::OpAttributes::PoolRows:
      return CheckPoolRows(op, *kind.attributes_as_PoolRows());
    case fb::OpAttributes::Constant:
      return CheckConstant(op, *kind.attributes_as_Constant());
    case fb::OpAttributes::ConcatenateRows:
      return CheckConcatenateRows(op);
    case fb::OpAttributes::Clamp:
      return CheckClamp(op, *kind.attributes_as_Clamp());
    case fb::OpAttributes::Xielu:
      return CheckXielu(op, *kind.attributes_as_Xielu());
    case fb::OpAttributes::SelectColumns:
    case fb::OpAttributes::WeightedSum:
    case fb::OpAttributes::GaussianTopK:
    case fb::OpAttributes::MatchRms:
    case fb::OpAttributes::RowWindows:
      return CheckRowKind(op);
    case fb::OpAttributes::ShortConvolution:
    case fb::OpAttributes::GatedDeltaRule:
    case fb::OpAttributes::SelectiveScan:
    case fb::OpAttributes::GatedRecurrence:
      return CheckStateKind(op);
    case fb::OpAttributes::Route:
    case fb::OpAttributes::ExpertLinear:
      return CheckExperts(op);
    case fb::OpAttributes::MergePatches:
    case fb::OpAttributes::PlaceImages:
    case fb::OpAttributes::GridPositions:
      return CheckPictureKind(op);
    default:
      return CheckImageKind(op);
  }
}

}  // namespace graft::schema
