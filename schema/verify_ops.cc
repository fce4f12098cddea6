// SPDX-License-Identifier: Apache-2.0
// The rules of each kind of op; model.fbs says them in words.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "schema/generated/model_generated.h"
#include "schema/graph_checker.h"
#include "schema/image_window.h"

namespace graft::schema {

Status GraphChecker::CheckOp() {
  for (const int32_t value : *op_->inputs()) {
    if (value < 0 || static_cast<uint32_t>(value) >= origins_.size()) {
      return OpError("reads value %d of %zu", value, origins_.size());
    }
    if (origins_[value] == Origin::kUndefined) {
      return OpError("reads %.100s before anything computes it",
                     graph_.values()->Get(value)->name()->c_str());
    }
  }
  for (const int32_t value : *op_->outputs()) {
    if (value < 0 || static_cast<uint32_t>(value) >= origins_.size()) {
      return OpError("writes value %d of %zu", value, origins_.size());
    }
    if (origins_[value] != Origin::kUndefined) {
      return OpError("writes %.100s, which is defined already",
                     graph_.values()->Get(value)->name()->c_str());
    }
  }
  if (op_->attributes_type() > fb::OpAttributes::MAX) {
    return Error(StatusCode::kUnsupported,
                 "op %u (%.200s) is of kind %u, which this build does not know", op_index_,
                 op_->name() ? op_->name()->c_str() : "unnamed",
                 static_cast<unsigned>(op_->attributes_type()));
  }
  if (op_->attributes() == nullptr) return OpError("has no attributes");
  GRAFT_RETURN_IF_ERROR(CheckKind());
  for (const int32_t value : *op_->outputs()) origins_[value] = Origin::kComputed;
  return OkStatus();
}

Status GraphChecker::CheckKind() {
  switch (op_->attributes_type()) {
    case fb::OpAttributes::Embedding:
      return CheckEmbedding(*op_->attributes_as_Embedding());
    case fb::OpAttributes::Linear:
      return CheckLinear(*op_->attributes_as_Linear());
    case fb::OpAttributes::RmsNorm:
      return CheckRmsNorm(*op_->attributes_as_RmsNorm());
    case fb::OpAttributes::LayerNorm:
      return CheckLayerNorm(*op_->attributes_as_LayerNorm());
    case fb::OpAttributes::Rope:
      return CheckRope(*op_->attributes_as_Rope());
    case fb::OpAttributes::Attention:
      return CheckAttention(*op_->attributes_as_Attention());
    case fb::OpAttributes::Add:
    case fb::OpAttributes::Multiply:
      return CheckElementwise(2, fb::ActivationKind::MIN);
    case fb::OpAttributes::Activation:
      return CheckElementwise(1, op_->attributes_as_Activation()->kind());
    case fb::OpAttributes::GatedActivation:
      return CheckElementwise(2, op_->attributes_as_GatedActivation()->kind());
    case fb::OpAttributes::SelectRows:
      return CheckSelectRows();
    case fb::OpAttributes::Scale:
      return CheckScale(*op_->attributes_as_Scale());
    case fb::OpAttributes::PoolRows:
      return CheckPoolRows(*op_->attributes_as_PoolRows());
    case fb::OpAttributes::Constant:
      return CheckConstant(*op_->attributes_as_Constant());
    case fb::OpAttributes::ConcatenateRows:
      return CheckConcatenateRows();
    case fb::OpAttributes::Patches:
      return CheckPatches(*op_->attributes_as_Patches()->window());
    case fb::OpAttributes::PoolPixels:
      return CheckPoolPixels(*op_->attributes_as_PoolPixels());
    case fb::OpAttributes::NONE:
      break;
  }
  return OpError("has no kind");
}

Status GraphChecker::CheckEmbedding(const fb::Embedding& embedding) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  uint64_t* bound = nullptr;
  switch (InputOrigin(0)) {
    case Origin::kTokenIds:
      bound = &facts_.vocabulary;
      break;
    case Origin::kPositions:
      bound = &facts_.positions;
      break;
    case Origin::kTokenTypes:
      bound = &facts_.token_types;
      break;
    default:
      return OpError("needs %.100s to be the graph input of role TokenIds, Positions or TokenTypes",
                     Input(0).name()->c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* table, MatrixAt(embedding.table(), "table"));
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), table->shape()->Get(1)));
  GRAFT_RETURN_IF_ERROR(ExpectSameRows(Input(0), Output(0)));
  if (!std::isfinite(embedding.scale())) return OpError("has a scale that is not finite");
  const auto rows = static_cast<uint64_t>(table->shape()->Get(0));
  *bound = *bound == 0 ? rows : std::min(*bound, rows);
  return OkStatus();
}

Status GraphChecker::CheckLinear(const fb::Linear& linear) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, MatrixAt(linear.weight(), "weight"));
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Input(0), weight->shape()->Get(1)));
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), weight->shape()->Get(0)));
  if (linear.bias() != -1)
    GRAFT_RETURN_IF_ERROR(ExpectVector(linear.bias(), weight->shape()->Get(0), "bias"));
  return ExpectSameRows(Input(0), Output(0));
}

Status GraphChecker::CheckRmsNorm(const fb::RmsNorm& norm) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  int64_t width = 0;
  int64_t group = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
  GRAFT_RETURN_IF_ERROR(ExpectVector(norm.weight(), 0, "weight", &group));
  if (width % group != 0)
    return OpError("has a width of %" PRId64 ", not a multiple of its weight's %" PRId64, width,
                   group);
  GRAFT_RETURN_IF_ERROR(ExpectPositive(norm.epsilon(), "epsilon"));
  return ExpectSameShape(Input(0), Output(0));
}

Status GraphChecker::CheckLayerNorm(const fb::LayerNorm& norm) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
  GRAFT_RETURN_IF_ERROR(ExpectVector(norm.weight(), width, "weight"));
  if (norm.bias() != -1) GRAFT_RETURN_IF_ERROR(ExpectVector(norm.bias(), width, "bias"));
  GRAFT_RETURN_IF_ERROR(ExpectPositive(norm.epsilon(), "epsilon"));
  return ExpectSameShape(Input(0), Output(0));
}

Status GraphChecker::CheckRope(const fb::Rope& rope) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(2, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
  GRAFT_RETURN_IF_ERROR(ExpectOrigin(1, Origin::kPositions, "Positions"));
  GRAFT_RETURN_IF_ERROR(ExpectSameRows(Input(0), Input(1)));
  if (rope.head_dim() < 1 || rope.head_dim() > kMaxHeadDim || width % rope.head_dim() != 0) {
    return OpError("has a width of %" PRId64 ", not a multiple of head_dim %u (at most %u)", width,
                   rope.head_dim(), kMaxHeadDim);
  }
  if (rope.rotary_dim() < 2 || rope.rotary_dim() % 2 != 0 || rope.rotary_dim() > rope.head_dim()) {
    return OpError("has a rotary_dim of %u; it must be even and at most head_dim %u",
                   rope.rotary_dim(), rope.head_dim());
  }
  GRAFT_RETURN_IF_ERROR(
      ExpectVector(rope.inverse_frequencies(), rope.rotary_dim() / 2, "inverse_frequencies"));
  GRAFT_RETURN_IF_ERROR(ExpectPositive(rope.magnitude(), "magnitude"));
  return ExpectSameShape(Input(0), Output(0));
}

Status GraphChecker::CheckAttentionRows(const fb::Attention& attention) const {
  for (uint32_t i = 1; i < 3; ++i) GRAFT_RETURN_IF_ERROR(ExpectSameRows(Input(0), Input(i)));
  if (op_->inputs()->size() == 4 && InputOrigin(3) != Origin::kTextEnds) {
    GRAFT_RETURN_IF_ERROR(ExpectOrigin(3, Origin::kPositions, "Positions"));
    return ExpectSameRows(Input(0), Input(3));
  }
  if (attention.causal() || attention.window() != 0 || attention.kv_cache() != -1) {
    return OpError("is causal, windowed or keeps a kv_cache, and needs positions for that");
  }
  if (op_->inputs()->size() == 3) return OkStatus();
  return ExpectTokenRows();
}

Status GraphChecker::CheckAttention(const fb::Attention& attention) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(op_->inputs()->size() == 3 ? 3 : 4, 1));
  if (attention.heads() < 1 || attention.heads() > kMaxHeads || attention.head_dim() < 1 ||
      attention.head_dim() > kMaxHeadDim || attention.kv_heads() < 1 ||
      attention.heads() % attention.kv_heads() != 0) {
    return OpError(
        "has %u heads, %u kv_heads of %u; heads must be a multiple of kv_heads, at most %u of %u",
        attention.heads(), attention.kv_heads(), attention.head_dim(), kMaxHeads, kMaxHeadDim);
  }
  const int64_t query_width = int64_t{attention.heads()} * attention.head_dim();
  const int64_t kv_width = int64_t{attention.kv_heads()} * attention.head_dim();
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Input(0), query_width));
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Input(1), kv_width));
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Input(2), kv_width));
  GRAFT_RETURN_IF_ERROR(CheckAttentionRows(attention));
  GRAFT_RETURN_IF_ERROR(ExpectPositive(attention.scale(), "scale"));
  if (!std::isfinite(attention.soft_cap()) || attention.soft_cap() < 0.0f) {
    return OpError("has soft_cap %g; it must be finite, and 0 or more", attention.soft_cap());
  }
  if (attention.kv_cache() != -1) {
    if (attention.kv_cache() < 0 ||
        static_cast<size_t>(attention.kv_cache()) >= cache_used_.size()) {
      return OpError("uses kv_cache %d of %zu", attention.kv_cache(), cache_used_.size());
    }
    const fb::KvCache& cache = *graph_.kv_caches()->Get(attention.kv_cache());
    if (cache.kv_heads() != attention.kv_heads() || cache.head_dim() != attention.head_dim()) {
      return OpError("has %u kv_heads of %u, its kv_cache %u of %u", attention.kv_heads(),
                     attention.head_dim(), cache.kv_heads(), cache.head_dim());
    }
    if (cache_used_[attention.kv_cache()])
      return OpError("uses kv_cache %d, which another op uses", attention.kv_cache());
    if (!attention.causal()) return OpError("keeps a kv_cache but is not causal");
    cache_used_[attention.kv_cache()] = true;
  }
  return ExpectSameShape(Input(0), Output(0));
}

Status GraphChecker::CheckElementwise(uint32_t inputs, fb::ActivationKind kind) {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(inputs, 1));
  if (kind > fb::ActivationKind::MAX) {
    return Error(StatusCode::kUnsupported,
                 "op %u has activation %u, which this build does not know", op_index_,
                 static_cast<unsigned>(kind));
  }
  if (Input(0).type() != fb::ElementType::Float32) return OpError("needs f32 operands");
  for (uint32_t i = 1; i < inputs; ++i) GRAFT_RETURN_IF_ERROR(ExpectSameShape(Input(0), Input(i)));
  return ExpectSameShape(Input(0), Output(0));
}

Status GraphChecker::CheckSelectRows() {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(2, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
  GRAFT_RETURN_IF_ERROR(ExpectOrigin(1, Origin::kOutputRows, "OutputRows"));
  // The runtime picks rows of this call's tokens, so only values with one row for each token may
  // be picked from.
  GRAFT_RETURN_IF_ERROR(ExpectTokenRows());
  GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), width));
  return ExpectSameRows(Input(1), Output(0));
}

Status GraphChecker::CheckScale(const fb::Scale& scale) {
  if (!std::isfinite(scale.factor())) return OpError("has a factor that is not finite");
  return CheckElementwise(1, fb::ActivationKind::MIN);
}

Status GraphChecker::CheckPoolRows(const fb::PoolRows& pool) const {
  const bool by_texts = op_->inputs()->size() == 2;
  GRAFT_RETURN_IF_ERROR(ExpectOperands(by_texts ? 2 : 1, 1));
  if (pool.kind() > fb::PoolKind::MAX) {
    return Error(StatusCode::kUnsupported, "op %u pools by %u, which this build does not know",
                 op_index_, static_cast<unsigned>(pool.kind()));
  }
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
  int64_t fewest_rows = 1;
  if (by_texts) {
    GRAFT_RETURN_IF_ERROR(ExpectOrigin(1, Origin::kTextEnds, "TextEnds"));
    GRAFT_RETURN_IF_ERROR(ExpectTokenRows());
    GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), width));
    GRAFT_RETURN_IF_ERROR(ExpectSameRows(Input(1), Output(0)));
  } else {
    GRAFT_RETURN_IF_ERROR(ExpectFixedMatrix(Input(0), &fewest_rows, &width));
    GRAFT_RETURN_IF_ERROR(ExpectFixedShape(Output(0), 1, width));
  }
  if (pool.index() >= fewest_rows || pool.index() < -fewest_rows) {
    return OpError("takes row %d of as few as %" PRId64, pool.index(), fewest_rows);
  }
  return OkStatus();
}

Status GraphChecker::CheckConstant(const fb::Constant& constant) const {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(0, 1));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, TensorAt(constant.tensor(), "tensor"));
  int64_t rows = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectFixedMatrix(Output(0), &rows, &width));
  // Both products are bounded: values' by CheckValues, tensors' by their bytes.
  int64_t elements = 1;
  for (const int64_t size : *tensor->shape()) elements *= size;
  if (tensor->format() != fb::TensorFormat::Float32 || elements != rows * width) {
    return OpError("needs its tensor (%.100s) to be f32 of %" PRId64 " numbers",
                   tensor->name()->c_str(), rows * width);
  }
  return OkStatus();
}

Status GraphChecker::CheckConcatenateRows() const {
  const uint32_t inputs = op_->inputs()->size();
  GRAFT_RETURN_IF_ERROR(ExpectOperands(inputs < 1 ? 1 : inputs, 1));
  int64_t width = 0;
  int64_t all_rows = 0;
  for (uint32_t i = 0; i < inputs; ++i) {
    int64_t rows = 0;
    GRAFT_RETURN_IF_ERROR(ExpectFixedMatrix(Input(i), &rows, &width));
    GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), width));
    all_rows += rows;  // each is below 2^31
  }
  return ExpectFixedShape(Output(0), all_rows, width);
}

Status GraphChecker::CheckPatches(const fb::ImageWindow& window) const {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  const Result<WindowPlaces> places = PlacesOf(window);
  if (!places.ok()) return OpError("%s", std::string(places.status().message()).c_str());
  const fb::Value& image = Input(0);
  if (image.shape()->size() == 3) {
    const int64_t expected[] = {window.channels(), window.height(), window.width()};
    for (uint32_t i = 0; i < 3; ++i) {
      const fb::Dimension& dimension = *image.shape()->Get(i);
      if (image.type() == fb::ElementType::Float32 && dimension.symbol() < 0 &&
          dimension.size() == expected[i]) {
        continue;
      }
      return OpError("needs %.100s to be f32 of [%u, %u, %u]", image.name()->c_str(),
                     window.channels(), window.height(), window.width());
    }
  } else {
    GRAFT_RETURN_IF_ERROR(
        ExpectFixedShape(image, int64_t{window.height()} * window.width(), window.channels()));
  }
  const int64_t kernel = int64_t{window.kernel_height()} * window.kernel_width();
  return ExpectFixedShape(Output(0), places->height * places->width, kernel * window.channels());
}

Status GraphChecker::CheckPoolPixels(const fb::PoolPixels& pool) const {
  GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
  const fb::ImageWindow& window = *pool.window();
  const Result<WindowPlaces> places = PlacesOf(window);
  if (!places.ok()) return OpError("%s", std::string(places.status().message()).c_str());
  if (pool.kind() != fb::PoolKind::Mean && pool.kind() != fb::PoolKind::Max)
    return OpError("pools by %u; it must be Mean or Max", static_cast<unsigned>(pool.kind()));
  // Every window then holds a pixel.
  if (window.dilation_height() != 1 || window.dilation_width() != 1 ||
      2 * window.pad_height() > window.kernel_height() ||
      2 * window.pad_width() > window.kernel_width()) {
    return OpError("is dilated, or has a padding of more than half its window");
  }
  GRAFT_RETURN_IF_ERROR(
      ExpectFixedShape(Input(0), int64_t{window.height()} * window.width(), window.channels()));
  return ExpectFixedShape(Output(0), places->height * places->width, window.channels());
}

}  // namespace graft::schema
