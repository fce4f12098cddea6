// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_graph.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "schema/generated/model_generated.h"
#include "schema/image_window.h"

namespace graft::schema {
namespace {

// Bounds that every real model keeps by far, so that products of a few of them cannot overflow 64
// bits.
constexpr int64_t kMaxDimension = std::numeric_limits<int32_t>::max();
constexpr uint32_t kMaxValueRank = 8;
constexpr uint32_t kMaxSymbols = 16;
constexpr uint32_t kMaxHeads = 1 << 16;
constexpr uint32_t kMaxHeadDim = 1 << 14;

constexpr size_t kRoles = static_cast<size_t>(fb::InputRole::MAX) + 1;

enum class Origin : uint8_t {
  kUndefined,
  kTensorInput,
  kTokenIds,
  kPositions,
  kOutputRows,
  kTokenTypes,
  kTextEnds,
  kComputed
};

bool SameDimension(const fb::Dimension& a, const fb::Dimension& b) {
  return a.symbol() < 0 ? (b.symbol() < 0 && a.size() == b.size()) : a.symbol() == b.symbol();
}

class GraphChecker {
 public:
  explicit GraphChecker(const fb::Model& model) : model_(model), graph_(*model.graph()) {}

  Result<GraphFacts> Check() {
    GRAFT_RETURN_IF_ERROR(CheckValues());
    GRAFT_RETURN_IF_ERROR(CheckCaches());
    GRAFT_RETURN_IF_ERROR(CheckInputs());
    for (op_index_ = 0; op_index_ < graph_.ops()->size(); ++op_index_) {
      op_ = graph_.ops()->Get(op_index_);
      GRAFT_RETURN_IF_ERROR(CheckOp());
    }
    op_ = nullptr;
    GRAFT_RETURN_IF_ERROR(CheckOutputs());
    facts_.token_ids = RoleInput(fb::InputRole::TokenIds);
    facts_.output_rows = RoleInput(fb::InputRole::OutputRows);
    facts_.text_ends = RoleInput(fb::InputRole::TextEnds);
    return facts_;
  }

 private:
  // "op 12 (model.layers.0.mlp.up_proj, Linear) <message>"
  [[gnu::format(printf, 2, 3)]] Status OpError(const char* format, ...) const {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return Error(StatusCode::kCorrupt, "op %u (%.200s, %s) %s", op_index_,
                 op_->name() ? op_->name()->c_str() : "unnamed",
                 fb::EnumNameOpAttributes(op_->attributes_type()), text);
  }

  Status CheckValues() {
    const uint32_t symbols = graph_.symbols() ? graph_.symbols()->size() : 0;
    if (symbols > kMaxSymbols) {
      return Error(StatusCode::kCorrupt, "graph has %u symbols, at most %u are allowed", symbols,
                   kMaxSymbols);
    }
    for (uint32_t i = 0; i < graph_.values()->size(); ++i) {
      const fb::Value& value = *graph_.values()->Get(i);
      const char* name = value.name()->c_str();
      if (value.type() > fb::ElementType::MAX) {
        return Error(StatusCode::kUnsupported,
                     "value %u (%.200s) has element type %u, which this build does not know", i,
                     name, static_cast<unsigned>(value.type()));
      }
      if (value.shape()->size() < 1 || value.shape()->size() > kMaxValueRank) {
        return Error(StatusCode::kCorrupt,
                     "value %u (%.200s) has %u dimensions; 1 to %u are allowed", i, name,
                     value.shape()->size(), kMaxValueRank);
      }
      int64_t fixed_elements = 1;
      for (const fb::Dimension* dimension : *value.shape()) {
        if (dimension->symbol() >= 0) {
          if (static_cast<uint32_t>(dimension->symbol()) >= symbols) {
            return Error(StatusCode::kCorrupt,
                         "value %u (%.200s) has a dimension of symbol %d; the graph has %u", i,
                         name, dimension->symbol(), symbols);
          }
          continue;
        }
        if (dimension->size() < 1 || dimension->size() > kMaxDimension) {
          return Error(StatusCode::kCorrupt,
                       "value %u (%.200s) has a dimension of %" PRId64 "; 1 to %" PRId64
                       " are allowed",
                       i, name, dimension->size(), kMaxDimension);
        }
        if (__builtin_mul_overflow(fixed_elements, dimension->size(), &fixed_elements) ||
            fixed_elements > kMaxDimension) {
          return Error(StatusCode::kCorrupt,
                       "value %u (%.200s) has more than %" PRId64 " elements in a row", i, name,
                       kMaxDimension);
        }
      }
    }
    origins_.assign(graph_.values()->size(), Origin::kUndefined);
    return OkStatus();
  }

  Status CheckCaches() {
    const uint32_t count = graph_.kv_caches() ? graph_.kv_caches()->size() : 0;
    for (uint32_t i = 0; i < count; ++i) {
      const fb::KvCache& cache = *graph_.kv_caches()->Get(i);
      if (cache.kv_heads() < 1 || cache.kv_heads() > kMaxHeads || cache.head_dim() < 1 ||
          cache.head_dim() > kMaxHeadDim) {
        return Error(StatusCode::kCorrupt,
                     "kv_cache %u (%.200s) has %u heads of %u; at most %u of %u are allowed", i,
                     cache.name()->c_str(), cache.kv_heads(), cache.head_dim(), kMaxHeads,
                     kMaxHeadDim);
      }
    }
    cache_used_.assign(count, false);
    return OkStatus();
  }

  Status CheckInputs() {
    bool seen[kRoles] = {};
    for (uint32_t i = 0; i < graph_.inputs()->size(); ++i) {
      const fb::GraphInput& input = *graph_.inputs()->Get(i);
      if (input.value() < 0 || static_cast<uint32_t>(input.value()) >= origins_.size()) {
        return Error(StatusCode::kCorrupt, "graph input %u is value %d of %zu", i, input.value(),
                     origins_.size());
      }
      if (input.role() > fb::InputRole::MAX) {
        return Error(StatusCode::kUnsupported,
                     "graph input %u has role %u, which this build does not know", i,
                     static_cast<unsigned>(input.role()));
      }
      Origin& origin = origins_[input.value()];
      if (origin != Origin::kUndefined) {
        return Error(StatusCode::kCorrupt, "value %d is a graph input twice", input.value());
      }
      const auto role = static_cast<uint8_t>(input.role());
      origin = static_cast<Origin>(role + static_cast<uint8_t>(Origin::kTensorInput));
      if (input.role() == fb::InputRole::Tensor) continue;
      if (seen[role]) {
        return Error(StatusCode::kCorrupt, "two graph inputs have the role %s",
                     fb::EnumNameInputRole(input.role()));
      }
      seen[role] = true;
      const fb::Value& value = *graph_.values()->Get(input.value());
      if (value.type() != fb::ElementType::Int32 || value.shape()->size() != 1 ||
          value.shape()->Get(0)->symbol() < 0) {
        return Error(
            StatusCode::kCorrupt,
            "graph input %u (%.200s) has the role %s and must be i32 of one symbolic dimension", i,
            value.name()->c_str(), fb::EnumNameInputRole(input.role()));
      }
      roles_[role] = &value;
    }
    const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
    for (const auto role : {fb::InputRole::Positions, fb::InputRole::TokenTypes}) {
      if (tokens == nullptr || RoleInput(role) == nullptr || SameRows(*tokens, *RoleInput(role)))
        continue;
      return Error(StatusCode::kCorrupt, "token ids and positions have different dimensions");
    }
    const fb::Value* texts = RoleInput(fb::InputRole::TextEnds);
    if (texts == nullptr) {
      if (RoleInput(fb::InputRole::TokenTypes) == nullptr) return OkStatus();
      return Error(StatusCode::kCorrupt, "token types need ends of texts");
    }
    if (tokens == nullptr || SameRows(*tokens, *texts)) {
      return Error(StatusCode::kCorrupt,
                   "ends of texts need token ids, and a dimension of their own");
    }
    // The runtime fills all inputs of such a graph from the texts.
    for (const fb::GraphInput* input : *graph_.inputs()) {
      if (input->role() != fb::InputRole::Tensor && input->role() != fb::InputRole::OutputRows)
        continue;
      return Error(StatusCode::kCorrupt,
                   "a graph of several texts takes nothing but texts, but %.200s is of role %s",
                   graph_.values()->Get(input->value())->name()->c_str(),
                   fb::EnumNameInputRole(input->role()));
    }
    return OkStatus();
  }

  const fb::Value* RoleInput(fb::InputRole role) const { return roles_[static_cast<size_t>(role)]; }
  static bool SameRows(const fb::Value& a, const fb::Value& b) {
    return SameDimension(*a.shape()->Get(0), *b.shape()->Get(0));
  }

  // ---- operands of the current op ----

  Status ExpectOperands(uint32_t inputs, uint32_t outputs) const {
    if (op_->inputs()->size() != inputs || op_->outputs()->size() != outputs) {
      return OpError("has %u inputs and %u outputs; it needs %u and %u", op_->inputs()->size(),
                     op_->outputs()->size(), inputs, outputs);
    }
    return OkStatus();
  }

  const fb::Value& Input(uint32_t i) const { return *graph_.values()->Get(op_->inputs()->Get(i)); }
  const fb::Value& Output(uint32_t i) const {
    return *graph_.values()->Get(op_->outputs()->Get(i));
  }
  Origin InputOrigin(uint32_t i) const { return origins_[op_->inputs()->Get(i)]; }

  Status ExpectSameShape(const fb::Value& a, const fb::Value& b) const {
    bool same = a.type() == b.type() && a.shape()->size() == b.shape()->size();
    for (uint32_t i = 0; same && i < a.shape()->size(); ++i)
      same = SameDimension(*a.shape()->Get(i), *b.shape()->Get(i));
    if (!same)
      return OpError("needs %.100s and %.100s to be of one shape and type", a.name()->c_str(),
                     b.name()->c_str());
    return OkStatus();
  }

  // f32 [rows, width] with width fixed; *width receives it.
  Status ExpectMatrix(const fb::Value& value, int64_t* width) const {
    if (value.type() != fb::ElementType::Float32 || value.shape()->size() != 2 ||
        value.shape()->Get(1)->symbol() >= 0) {
      return OpError("needs %.100s to be f32 of [rows, fixed width]", value.name()->c_str());
    }
    *width = value.shape()->Get(1)->size();
    return OkStatus();
  }

  Status ExpectWidth(const fb::Value& value, int64_t width) const {
    int64_t actual = 0;
    GRAFT_RETURN_IF_ERROR(ExpectMatrix(value, &actual));
    if (actual != width) {
      return OpError("needs %.100s to have a width of %" PRId64 ", it has %" PRId64,
                     value.name()->c_str(), width, actual);
    }
    return OkStatus();
  }

  Status ExpectSameRows(const fb::Value& a, const fb::Value& b) const {
    if (!SameDimension(*a.shape()->Get(0), *b.shape()->Get(0))) {
      return OpError("needs %.100s and %.100s to have as many rows", a.name()->c_str(),
                     b.name()->c_str());
    }
    return OkStatus();
  }

  Status ExpectOrigin(uint32_t input, Origin origin, const char* role) const {
    if (InputOrigin(input) != origin) {
      return OpError("needs %.100s to be the graph input of role %s", Input(input).name()->c_str(),
                     role);
    }
    return OkStatus();
  }

  Result<const fb::Tensor*> TensorAt(int32_t index, const char* what) const {
    if (index < 0 || static_cast<uint32_t>(index) >= model_.tensors()->size()) {
      return OpError("has tensor %d of %u as its %s", index, model_.tensors()->size(), what);
    }
    return model_.tensors()->Get(index);
  }

  // An f32 tensor of one dimension; elements 0: any number.
  Status ExpectVector(int32_t index, int64_t elements, const char* what,
                      int64_t* actual = nullptr) const {
    GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, TensorAt(index, what));
    if (tensor->format() != fb::TensorFormat::Float32 || tensor->shape()->size() != 1 ||
        (elements != 0 && tensor->shape()->Get(0) != elements)) {
      return OpError("needs its %s (%.100s) to be f32 of [%" PRId64 "]", what,
                     tensor->name()->c_str(), elements);
    }
    if (actual != nullptr) *actual = tensor->shape()->Get(0);
    return OkStatus();
  }

  Result<const fb::Tensor*> MatrixAt(int32_t index, const char* what) const {
    GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, TensorAt(index, what));
    if (tensor->shape()->size() != 2 || tensor->format() == fb::TensorFormat::Int32 ||
        tensor->shape()->Get(0) > kMaxDimension || tensor->shape()->Get(1) > kMaxDimension) {
      return OpError("needs its %s (%.100s) to be a matrix of numbers, at most %" PRId64 " a side",
                     what, tensor->name()->c_str(), kMaxDimension);
    }
    return tensor;
  }

  Status ExpectPositive(float value, const char* what) const {
    if (!(value > 0.0f) || !std::isfinite(value))
      return OpError("has %s %g; it must be positive and finite", what, value);
    return OkStatus();
  }

  Status CheckOp() {
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

  Status CheckKind() {
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

  Status CheckEmbedding(const fb::Embedding& embedding) {
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
        return OpError(
            "needs %.100s to be the graph input of role TokenIds, Positions or TokenTypes",
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

  Status CheckLinear(const fb::Linear& linear) {
    GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
    GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, MatrixAt(linear.weight(), "weight"));
    GRAFT_RETURN_IF_ERROR(ExpectWidth(Input(0), weight->shape()->Get(1)));
    GRAFT_RETURN_IF_ERROR(ExpectWidth(Output(0), weight->shape()->Get(0)));
    if (linear.bias() != -1)
      GRAFT_RETURN_IF_ERROR(ExpectVector(linear.bias(), weight->shape()->Get(0), "bias"));
    return ExpectSameRows(Input(0), Output(0));
  }

  Status CheckRmsNorm(const fb::RmsNorm& norm) {
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

  Status CheckLayerNorm(const fb::LayerNorm& norm) {
    GRAFT_RETURN_IF_ERROR(ExpectOperands(1, 1));
    int64_t width = 0;
    GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
    GRAFT_RETURN_IF_ERROR(ExpectVector(norm.weight(), width, "weight"));
    if (norm.bias() != -1) GRAFT_RETURN_IF_ERROR(ExpectVector(norm.bias(), width, "bias"));
    GRAFT_RETURN_IF_ERROR(ExpectPositive(norm.epsilon(), "epsilon"));
    return ExpectSameShape(Input(0), Output(0));
  }

  Status CheckRope(const fb::Rope& rope) {
    GRAFT_RETURN_IF_ERROR(ExpectOperands(2, 1));
    int64_t width = 0;
    GRAFT_RETURN_IF_ERROR(ExpectMatrix(Input(0), &width));
    GRAFT_RETURN_IF_ERROR(ExpectOrigin(1, Origin::kPositions, "Positions"));
    GRAFT_RETURN_IF_ERROR(ExpectSameRows(Input(0), Input(1)));
    if (rope.head_dim() < 1 || rope.head_dim() > kMaxHeadDim || width % rope.head_dim() != 0) {
      return OpError("has a width of %" PRId64 ", not a multiple of head_dim %u (at most %u)",
                     width, rope.head_dim(), kMaxHeadDim);
    }
    if (rope.rotary_dim() < 2 || rope.rotary_dim() % 2 != 0 ||
        rope.rotary_dim() > rope.head_dim()) {
      return OpError("has a rotary_dim of %u; it must be even and at most head_dim %u",
                     rope.rotary_dim(), rope.head_dim());
    }
    GRAFT_RETURN_IF_ERROR(
        ExpectVector(rope.inverse_frequencies(), rope.rotary_dim() / 2, "inverse_frequencies"));
    GRAFT_RETURN_IF_ERROR(ExpectPositive(rope.magnitude(), "magnitude"));
    return ExpectSameShape(Input(0), Output(0));
  }

  // Which rows a row attends to: by positions, by texts, or all.
  Status CheckAttentionRows(const fb::Attention& attention) const {
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

  // The op's first operand has one row for each token.
  Status ExpectTokenRows() const {
    const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
    if (tokens != nullptr && SameRows(Input(0), *tokens)) return OkStatus();
    return OpError("needs %.100s to have one row for each token", Input(0).name()->c_str());
  }

  Status CheckAttention(const fb::Attention& attention) {
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

  Status CheckElementwise(uint32_t inputs, fb::ActivationKind kind) {
    GRAFT_RETURN_IF_ERROR(ExpectOperands(inputs, 1));
    if (kind > fb::ActivationKind::MAX) {
      return Error(StatusCode::kUnsupported,
                   "op %u has activation %u, which this build does not know", op_index_,
                   static_cast<unsigned>(kind));
    }
    if (Input(0).type() != fb::ElementType::Float32) return OpError("needs f32 operands");
    for (uint32_t i = 1; i < inputs; ++i)
      GRAFT_RETURN_IF_ERROR(ExpectSameShape(Input(0), Input(i)));
    return ExpectSameShape(Input(0), Output(0));
  }

  Status CheckSelectRows() {
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

  Status CheckScale(const fb::Scale& scale) {
    if (!std::isfinite(scale.factor())) return OpError("has a factor that is not finite");
    return CheckElementwise(1, fb::ActivationKind::MIN);
  }

  // f32 [rows, width], both fixed.
  Status ExpectFixedMatrix(const fb::Value& value, int64_t* rows, int64_t* width) const {
    GRAFT_RETURN_IF_ERROR(ExpectMatrix(value, width));
    if (value.shape()->Get(0)->symbol() >= 0)
      return OpError("needs %.100s to have a fixed number of rows", value.name()->c_str());
    *rows = value.shape()->Get(0)->size();
    return OkStatus();
  }

  Status ExpectFixedShape(const fb::Value& value, int64_t rows, int64_t width) const {
    int64_t actual_rows = 0;
    int64_t actual_width = 0;
    GRAFT_RETURN_IF_ERROR(ExpectFixedMatrix(value, &actual_rows, &actual_width));
    if (actual_rows == rows && actual_width == width) return OkStatus();
    return OpError("needs %.100s to be [%" PRId64 ", %" PRId64 "], it is [%" PRId64 ", %" PRId64
                   "]",
                   value.name()->c_str(), rows, width, actual_rows, actual_width);
  }

  Status CheckPoolRows(const fb::PoolRows& pool) const {
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

  Status CheckConstant(const fb::Constant& constant) const {
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

  Status CheckConcatenateRows() const {
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

  Status CheckPatches(const fb::ImageWindow& window) const {
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

  Status CheckPoolPixels(const fb::PoolPixels& pool) const {
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

  Status CheckOutputs() const {
    if (graph_.outputs()->size() == 0) return Error(StatusCode::kCorrupt, "graph has no outputs");
    for (const int32_t value : *graph_.outputs()) {
      if (value < 0 || static_cast<uint32_t>(value) >= origins_.size() ||
          origins_[value] != Origin::kComputed) {
        return Error(StatusCode::kCorrupt, "graph output %d is not a value that an op computes",
                     value);
      }
    }
    return OkStatus();
  }

  const fb::Model& model_;
  const fb::Graph& graph_;
  const fb::Op* op_ = nullptr;
  uint32_t op_index_ = 0;
  std::vector<Origin> origins_;
  std::vector<bool> cache_used_;
  const fb::Value* roles_[kRoles] = {};  // the graph input of each fb::InputRole but Tensor
  GraphFacts facts_;
};

}  // namespace

Result<GraphFacts> CheckGraph(const fb::Model& model) { return GraphChecker(model).Check(); }

}  // namespace graft::schema
