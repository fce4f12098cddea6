// SPDX-License-Identifier: Apache-2.0
#include "schema/op_checker.h"

#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "schema/generated/model_generated.h"

namespace graft::schema {
namespace {

bool SameDimension(const fb::Dimension& a, const fb::Dimension& b) {
  return a.symbol() < 0 ? (b.symbol() < 0 && a.size() == b.size()) : a.symbol() == b.symbol();
}

}  // namespace

OpChecker::OpChecker(const fb::Model& model) : model_(model), graph_(*model.graph()) {}

uint32_t OpChecker::input_count() const { return op_->inputs()->size(); }

Status OpChecker::OpError(const char* format, ...) const {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return Error(StatusCode::kCorrupt, "op %u (%.200s, %s) %s", op_index_,
               op_->name() ? op_->name()->c_str() : "unnamed",
               fb::EnumNameOpAttributes(op_->attributes_type()), text);
}

Status OpChecker::Unknown(const char* what, unsigned kind) const {
  return Error(StatusCode::kUnsupported, "op %u %s %u, which this build does not know", op_index_,
               what, kind);
}

Result<const fb::KvCache*> OpChecker::CacheAt(int32_t index) const {
  if (index < 0 || static_cast<size_t>(index) >= cache_used_.size())
    return OpError("uses kv_cache %d of %zu", index, cache_used_.size());
  return graph_.kv_caches()->Get(index);
}

uint32_t& OpChecker::ExpertsOf(int32_t value) {
  if (experts_of_.empty()) experts_of_.resize(graph_.values()->size());
  return experts_of_[static_cast<size_t>(value)];
}

Status OpChecker::UseCache(int32_t index) {
  if (cache_used_[index]) return OpError("uses kv_cache %d, which another op uses", index);
  cache_used_[index] = true;
  return OkStatus();
}

Status OpChecker::ReadCache(int32_t index) const {
  if (cache_used_[index]) return OkStatus();
  return OpError("reads kv_cache %d, which no op before it stores into", index);
}

Result<const fb::State*> OpChecker::StateAt(int32_t index) const {
  if (index < 0 || static_cast<size_t>(index) >= state_used_.size())
    return OpError("keeps state %d of %zu", index, state_used_.size());
  return graph_.states()->Get(index);
}

Status OpChecker::UseState(int32_t index) {
  if (state_used_[index]) return OpError("keeps state %d, which another op keeps", index);
  state_used_[index] = true;
  return OkStatus();
}

Status OpChecker::ExpectOperands(uint32_t inputs, uint32_t outputs) const {
  if (op_->inputs()->size() != inputs || op_->outputs()->size() != outputs) {
    return OpError("has %u inputs and %u outputs; it needs %u and %u", op_->inputs()->size(),
                   op_->outputs()->size(), inputs, outputs);
  }
  return OkStatus();
}

const fb::Value& OpChecker::Input(uint32_t i) const {
  return *graph_.values()->Get(op_->inputs()->Get(i));
}

const fb::Value& OpChecker::Output(uint32_t i) const {
  return *graph_.values()->Get(op_->outputs()->Get(i));
}

Origin OpChecker::InputOrigin(uint32_t i) const { return origins_[op_->inputs()->Get(i)]; }

uint64_t* OpChecker::BoundOf(uint32_t input) {
  switch (InputOrigin(input)) {
    case Origin::kTokenIds:
      return &facts_.vocabulary;
    case Origin::kPositions:
      return &facts_.positions;
    case Origin::kTokenTypes:
      return &facts_.token_types;
    case Origin::kSourceIds:
      return &facts_.source_vocabulary;
    case Origin::kSourcePositions:
      return &facts_.source_positions;
    case Origin::kImagePositions:
      return &facts_.image_positions;
    default:
      return nullptr;
  }
}

bool OpChecker::SameRows(const fb::Value& a, const fb::Value& b) {
  return SameDimension(*a.shape()->Get(0), *b.shape()->Get(0));
}

Status OpChecker::ExpectSameShape(const fb::Value& a, const fb::Value& b) const {
  bool same = a.type() == b.type() && a.shape()->size() == b.shape()->size();
  for (uint32_t i = 0; same && i < a.shape()->size(); ++i)
    same = SameDimension(*a.shape()->Get(i), *b.shape()->Get(i));
  if (!same)
    return OpError("needs %.100s and %.100s to be of one shape and type", a.name()->c_str(),
                   b.name()->c_str());
  return OkStatus();
}

Status OpChecker::ExpectMatrix(const fb::Value& value, int64_t* width) const {
  if (value.type() != fb::ElementType::Float32 || value.shape()->size() != 2 ||
      value.shape()->Get(1)->symbol() >= 0) {
    return OpError("needs %.100s to be f32 of [rows, fixed width]", value.name()->c_str());
  }
  *width = value.shape()->Get(1)->size();
  return OkStatus();
}

Status OpChecker::ExpectWidth(const fb::Value& value, int64_t width) const {
  int64_t actual = 0;
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(value, &actual));
  if (actual != width) {
    return OpError("needs %.100s to have a width of %" PRId64 ", it has %" PRId64,
                   value.name()->c_str(), width, actual);
  }
  return OkStatus();
}

Status OpChecker::ExpectFixedMatrix(const fb::Value& value, int64_t* rows, int64_t* width) const {
  GRAFT_RETURN_IF_ERROR(ExpectMatrix(value, width));
  if (value.shape()->Get(0)->symbol() >= 0)
    return OpError("needs %.100s to have a fixed number of rows", value.name()->c_str());
  *rows = value.shape()->Get(0)->size();
  return OkStatus();
}

Status OpChecker::ExpectFixedShape(const fb::Value& value, int64_t rows, int64_t width) const {
  int64_t actual_rows = 0;
  int64_t actual_width = 0;
  GRAFT_RETURN_IF_ERROR(ExpectFixedMatrix(value, &actual_rows, &actual_width));
  if (actual_rows == rows && actual_width == width) return OkStatus();
  return OpError("needs %.100s to be [%" PRId64 ", %" PRId64 "], it is [%" PRId64 ", %" PRId64 "]",
                 value.name()->c_str(), rows, width, actual_rows, actual_width);
}

Status OpChecker::ExpectChoices(const fb::Value& value, int64_t* choices) const {
  if (value.type() != fb::ElementType::Int32 || value.shape()->size() != 2 ||
      value.shape()->Get(1)->symbol() >= 0) {
    return OpError("needs %.100s to be i32 of [rows, fixed width]", value.name()->c_str());
  }
  *choices = value.shape()->Get(1)->size();
  return OkStatus();
}

Status OpChecker::ExpectSameRows(const fb::Value& a, const fb::Value& b) const {
  if (!SameDimension(*a.shape()->Get(0), *b.shape()->Get(0))) {
    return OpError("needs %.100s and %.100s to have as many rows", a.name()->c_str(),
                   b.name()->c_str());
  }
  return OkStatus();
}

Status OpChecker::ExpectTokenRows() const {
  const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
  if (tokens != nullptr && SameRows(Input(0), *tokens)) return OkStatus();
  return OpError("needs %.100s to have one row for each token", Input(0).name()->c_str());
}

bool OpChecker::HasRowsOf(const fb::Value& value, fb::InputRole role) const {
  return RoleInput(role) != nullptr && SameRows(value, *RoleInput(role));
}

Status OpChecker::ExpectPatchRows(const fb::Value& value) const {
  if (HasRowsOf(value, fb::InputRole::ImagePatches)) return OkStatus();
  return OpError("needs %.100s to have one row for each patch", value.name()->c_str());
}

Status OpChecker::ExpectOrigin(uint32_t input, Origin origin, const char* role) const {
  if (InputOrigin(input) != origin) {
    return OpError("needs %.100s to be the graph input of role %s", Input(input).name()->c_str(),
                   role);
  }
  return OkStatus();
}

Status OpChecker::ExpectPositions(uint32_t input) const {
  if (InputOrigin(input) == Origin::kSelectedPositions) return OkStatus();
  return ExpectOrigin(input, Origin::kPositions, "Positions");
}

Result<const fb::Tensor*> OpChecker::TensorAt(int32_t index, const char* what) const {
  if (index < 0 || static_cast<uint32_t>(index) >= model_.tensors()->size()) {
    return OpError("has tensor %d of %u as its %s", index, model_.tensors()->size(), what);
  }
  return model_.tensors()->Get(index);
}

Status OpChecker::ExpectVector(int32_t index, int64_t elements, const char* what,
                               int64_t* actual) const {
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, TensorAt(index, what));
  if (tensor->format() != fb::TensorFormat::Float32 || tensor->shape()->size() != 1 ||
      (elements != 0 && tensor->shape()->Get(0) != elements)) {
    return OpError("needs its %s (%.100s) to be f32 of [%" PRId64 "]", what,
                   tensor->name()->c_str(), elements);
  }
  if (actual != nullptr) *actual = tensor->shape()->Get(0);
  return OkStatus();
}

Result<const fb::Tensor*> OpChecker::MatrixAt(int32_t index, const char* what) const {
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* tensor, TensorAt(index, what));
  if (tensor->shape()->size() != 2 || tensor->format() == fb::TensorFormat::Int32 ||
      tensor->shape()->Get(0) > kMaxDimension || tensor->shape()->Get(1) > kMaxDimension) {
    return OpError("needs its %s (%.100s) to be a matrix of numbers, at most %" PRId64 " a side",
                   what, tensor->name()->c_str(), kMaxDimension);
  }
  return tensor;
}

Status OpChecker::ExpectPositive(float value, const char* what) const {
  if (!(value > 0.0f) || !std::isfinite(value))
    return OpError("has %s %g; it must be positive and finite", what, value);
  return OkStatus();
}

}  // namespace graft::schema
