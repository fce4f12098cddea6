// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_graph.h"

#include <cinttypes>
#include <cstddef>
#include <cstdint>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"

namespace graft::schema {
namespace {

// As far beyond real models as the bounds of op_checker.h.
constexpr uint32_t kMaxValueRank = 8;
constexpr uint32_t kMaxSymbols = 16;
constexpr uint32_t kMaxOps = 1 << 16;
constexpr uint32_t kMaxValues = 1 << 17;
constexpr uint32_t kMaxInputs = 1 << 10;
constexpr uint32_t kMaxOutputs = 1 << 10;
constexpr uint32_t kMaxCaches = 1 << 12;

// One pass over a graph: the ops in the order they run, while each value gets an origin as it comes
// to be defined. What holds of each kind of op is in verify_ops.cc.
class GraphChecker final : public OpChecker {
 public:
  explicit GraphChecker(const fb::Model& model) : OpChecker(model) {}

  // To be called once. Errors are CheckGraph's.
  Result<GraphFacts> Check();

 private:
  Status CheckCounts() const;
  Status CheckValues();
  Status CheckCaches();
  Status CheckStates();
  Status CheckInputs();
  Status CheckInput(uint32_t index);
  Status CheckInputsOfTexts() const;
  Status CheckInputsOfSource();
  Status CheckInputsOfImages() const;
  Status CheckCachesOfSource() const;
  Status CheckOp();
  Status CheckOutputs() const;
};

Result<GraphFacts> GraphChecker::Check() {
  GRAFT_RETURN_IF_ERROR(CheckCounts());
  GRAFT_RETURN_IF_ERROR(CheckValues());
  GRAFT_RETURN_IF_ERROR(CheckCaches());
  GRAFT_RETURN_IF_ERROR(CheckStates());
  GRAFT_RETURN_IF_ERROR(CheckInputs());
  for (op_index_ = 0; op_index_ < graph_.ops()->size(); ++op_index_) {
    op_ = graph_.ops()->Get(op_index_);
    GRAFT_RETURN_IF_ERROR(CheckOp());
  }
  op_ = nullptr;
  GRAFT_RETURN_IF_ERROR(CheckCachesOfSource());
  GRAFT_RETURN_IF_ERROR(CheckOutputs());
  return facts_;
}

Status GraphChecker::CheckCounts() const {
  const struct {
    const char* what;
    uint32_t count, most;
  } counts[] = {
      {"ops", graph_.ops()->size(), kMaxOps},
      {"values", graph_.values()->size(), kMaxValues},
      {"inputs", graph_.inputs()->size(), kMaxInputs},
      {"outputs", graph_.outputs()->size(), kMaxOutputs},
      {"kv_caches", graph_.kv_caches() ? graph_.kv_caches()->size() : 0, kMaxCaches},
      {"states", graph_.states() ? graph_.states()->size() : 0, kMaxCaches},
  };
  for (const auto& [what, count, most] : counts) {
    if (count <= most) continue;
    return Error(StatusCode::kCorrupt, "graph has %u %s, at most %u are allowed", count, what,
                 most);
  }
  return OkStatus();
}

Status GraphChecker::CheckValues() {
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
                   "value %u (%.200s) has element type %u, which this build does not know", i, name,
                   static_cast<unsigned>(value.type()));
    }
    if (value.shape()->size() < 1 || value.shape()->size() > kMaxValueRank) {
      return Error(StatusCode::kCorrupt, "value %u (%.200s) has %u dimensions; 1 to %u are allowed",
                   i, name, value.shape()->size(), kMaxValueRank);
    }
    int64_t fixed_elements = 1;
    for (const fb::Dimension* dimension : *value.shape()) {
      if (dimension->symbol() >= 0) {
        if (static_cast<uint32_t>(dimension->symbol()) >= symbols) {
          return Error(StatusCode::kCorrupt,
                       "value %u (%.200s) has a dimension of symbol %d; the graph has %u", i, name,
                       dimension->symbol(), symbols);
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

Status GraphChecker::CheckCaches() {
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

// Their sizes are held against those of the ops that keep them.
Status GraphChecker::CheckStates() {
  const uint32_t count = graph_.states() ? graph_.states()->size() : 0;
  for (uint32_t i = 0; i < count; ++i) {
    const fb::State& state = *graph_.states()->Get(i);
    if (state.rows() >= 1 && state.width() >= 1 &&
        uint64_t{state.rows()} * state.width() <= static_cast<uint64_t>(kMaxDimension))
      continue;
    return Error(StatusCode::kCorrupt,
                 "state %u (%.200s) is [%u, %u]; 1 to %" PRId64 " numbers are allowed", i,
                 state.name()->c_str(), state.rows(), state.width(), kMaxDimension);
  }
  state_used_.assign(count, false);
  return OkStatus();
}

Status GraphChecker::CheckInputs() {
  static_assert(kRoles == static_cast<size_t>(fb::InputRole::MAX) + 1);
  for (uint32_t i = 0; i < graph_.inputs()->size(); ++i) GRAFT_RETURN_IF_ERROR(CheckInput(i));
  const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
  facts_.token_ids = tokens;
  facts_.output_rows = RoleInput(fb::InputRole::OutputRows);
  facts_.text_ends = RoleInput(fb::InputRole::TextEnds);
  facts_.source_ids = RoleInput(fb::InputRole::SourceIds);
  facts_.source_features = RoleInput(fb::InputRole::SourceFeatures);
  for (const auto role : {fb::InputRole::Positions, fb::InputRole::TokenTypes}) {
    if (tokens == nullptr || RoleInput(role) == nullptr || SameRows(*tokens, *RoleInput(role)))
      continue;
    return Error(StatusCode::kCorrupt, "token ids and positions have different dimensions");
  }
  facts_.image_patches = RoleInput(fb::InputRole::ImagePatches);
  GRAFT_RETURN_IF_ERROR(CheckInputsOfSource());
  GRAFT_RETURN_IF_ERROR(CheckInputsOfImages());
  return CheckInputsOfTexts();
}

Status GraphChecker::CheckInput(uint32_t index) {
  const fb::GraphInput& input = *graph_.inputs()->Get(index);
  if (input.value() < 0 || static_cast<uint32_t>(input.value()) >= origins_.size()) {
    return Error(StatusCode::kCorrupt, "graph input %u is value %d of %zu", index, input.value(),
                 origins_.size());
  }
  if (input.role() > fb::InputRole::MAX) {
    return Error(StatusCode::kUnsupported,
                 "graph input %u has role %u, which this build does not know", index,
                 static_cast<unsigned>(input.role()));
  }
  Origin& origin = origins_[input.value()];
  if (origin != Origin::kUndefined) {
    return Error(StatusCode::kCorrupt, "value %d is a graph input twice", input.value());
  }
  const auto role = static_cast<uint8_t>(input.role());
  origin = static_cast<Origin>(role + static_cast<uint8_t>(Origin::kTensorInput));
  if (input.role() == fb::InputRole::Tensor) return OkStatus();
  if (roles_[role] != nullptr) {
    return Error(StatusCode::kCorrupt, "two graph inputs have the role %s",
                 fb::EnumNameInputRole(input.role()));
  }
  const fb::Value& value = *graph_.values()->Get(input.value());
  roles_[role] = &value;
  if (input.role() == fb::InputRole::SourceFeatures) return OkStatus();  // CheckInputsOfSource
  if (input.role() == fb::InputRole::ImagePatches) return OkStatus();    // CheckInputsOfImages
  if (value.type() != fb::ElementType::Int32 || value.shape()->size() != 1 ||
      value.shape()->Get(0)->symbol() < 0) {
    return Error(
        StatusCode::kCorrupt,
        "graph input %u (%.200s) has the role %s and must be i32 of one symbolic dimension", index,
        value.name()->c_str(), fb::EnumNameInputRole(input.role()));
  }
  return OkStatus();
}

// A source is ids or features, and has rows of its own: what is computed of it depends on nothing
// else.
Status GraphChecker::CheckInputsOfSource() {
  const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
  const fb::Value* positions = RoleInput(fb::InputRole::SourcePositions);
  const fb::Value* ids = facts_.source_ids;
  const fb::Value* features = facts_.source_features;
  if (!facts_.has_source()) {
    if (positions == nullptr) return OkStatus();
    return Error(StatusCode::kCorrupt, "positions of a source need its ids");
  }
  const bool own_rows = ids == nullptr || (tokens != nullptr && !SameRows(*ids, *tokens));
  if (tokens == nullptr || (ids != nullptr) == (features != nullptr) || !own_rows ||
      (positions != nullptr && (ids == nullptr || !SameRows(*ids, *positions)))) {
    return Error(StatusCode::kCorrupt,
                 "a source is ids or features, with a dimension of its own beside token ids, and "
                 "its positions have that");
  }
  if (features != nullptr) {
    bool fixed = features->type() == fb::ElementType::Float32;
    for (const fb::Dimension* dimension : *features->shape())
      fixed = fixed && dimension->symbol() < 0;
    if (!fixed) {
      return Error(StatusCode::kCorrupt, "features of a source (%.200s) must be f32 of fixed size",
                   features->name()->c_str());
    }
  }
  for (const fb::GraphInput* input : *graph_.inputs()) {
    if (input->role() != fb::InputRole::Tensor && input->role() != fb::InputRole::TextEnds &&
        input->role() != fb::InputRole::TokenTypes)
      continue;
    return Error(
        StatusCode::kCorrupt,
        "a graph with a source takes nothing but that and tokens, but %.200s is of role %s",
        graph_.values()->Get(static_cast<uint32_t>(input->value()))->name()->c_str(),
        fb::EnumNameInputRole(input->role()));
  }
  return OkStatus();
}

// Patches have rows of their own: what is computed of them reaches tokens by PlaceImages alone.
Status GraphChecker::CheckInputsOfImages() const {
  const fb::Value* patches = facts_.image_patches;
  const fb::Value* places = RoleInput(fb::InputRole::ImagePositions);
  if (patches == nullptr) {
    if (places == nullptr) return OkStatus();
    return Error(StatusCode::kCorrupt, "places of patches need the patches");
  }
  const auto& shape = *patches->shape();
  if (patches->type() != fb::ElementType::Float32 || shape.size() != 2 ||
      shape.Get(0)->symbol() < 0 || shape.Get(1)->symbol() >= 0) {
    return Error(StatusCode::kCorrupt, "patches of images (%.200s) must be f32 of [patches, width]",
                 patches->name()->c_str());
  }
  const auto has_their_rows = [&](fb::InputRole role) {
    return RoleInput(role) != nullptr && SameRows(*patches, *RoleInput(role));
  };
  if (RoleInput(fb::InputRole::TokenIds) == nullptr || facts_.has_source() ||
      facts_.text_ends != nullptr || has_their_rows(fb::InputRole::TokenIds) ||
      has_their_rows(fb::InputRole::OutputRows) ||
      (places != nullptr && !SameRows(*patches, *places))) {
    return Error(StatusCode::kCorrupt,
                 "patches of images need token ids, a dimension of their own, which their places "
                 "have, and neither a source nor ends of texts");
  }
  for (const fb::GraphInput* input : *graph_.inputs()) {
    if (input->role() == fb::InputRole::Tensor)
      return Error(StatusCode::kCorrupt, "a graph with pictures takes no tensors by name");
  }
  return OkStatus();
}

// The runtime fills all inputs of a graph of several texts from the texts.
Status GraphChecker::CheckInputsOfTexts() const {
  const fb::Value* tokens = RoleInput(fb::InputRole::TokenIds);
  const fb::Value* texts = RoleInput(fb::InputRole::TextEnds);
  if (texts == nullptr) {
    if (RoleInput(fb::InputRole::TokenTypes) == nullptr) return OkStatus();
    return Error(StatusCode::kCorrupt, "token types need ends of texts");
  }
  if (tokens == nullptr || SameRows(*tokens, *texts)) {
    return Error(StatusCode::kCorrupt,
                 "ends of texts need token ids, and a dimension of their own");
  }
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

// Each is used: what it holds says how many rows the source has.
Status GraphChecker::CheckCachesOfSource() const {
  bool any = false;
  for (uint32_t i = 0; i < cache_used_.size(); ++i) {
    const fb::KvCache& cache = *graph_.kv_caches()->Get(i);
    if (!cache.of_source()) continue;
    any = true;
    if (cache_used_[i]) continue;
    return Error(StatusCode::kCorrupt, "kv_cache %u (%.200s) is of the source and is not used", i,
                 cache.name()->c_str());
  }
  if (any == facts_.has_source()) return OkStatus();
  return Error(StatusCode::kCorrupt, "the graph has a source, but nothing attends to it");
}

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
  GRAFT_RETURN_IF_ERROR(CheckKind(*this));
  const bool positions = op_->attributes_type() == fb::OpAttributes::SelectRows &&
                         InputOrigin(0) == Origin::kPositions;
  for (const int32_t value : *op_->outputs())
    origins_[value] = positions ? Origin::kSelectedPositions : Origin::kComputed;
  return OkStatus();
}

Status GraphChecker::CheckOutputs() const {
  if (facts_.image_patches != nullptr && !facts_.places_images)
    return Error(StatusCode::kCorrupt, "the graph takes pictures, but nothing places them");
  if (graph_.outputs()->size() == 0) return Error(StatusCode::kCorrupt, "graph has no outputs");
  for (const int32_t value : *graph_.outputs()) {
    if (value < 0 || static_cast<uint32_t>(value) >= origins_.size() ||
        origins_[value] != Origin::kComputed) {
      return Error(StatusCode::kCorrupt, "graph output %d is not a value that an op computes",
                   value);
    }
    const fb::Value& output = *graph_.values()->Get(static_cast<uint32_t>(value));
    if ((facts_.has_source() || facts_.image_patches != nullptr) &&
        !SameRows(output, *facts_.token_ids) &&
        (facts_.output_rows == nullptr || !SameRows(output, *facts_.output_rows))) {
      return Error(StatusCode::kCorrupt,
                   "output %.200s has rows neither for tokens nor for output rows, as the outputs "
                   "of a graph with a source or pictures must have",
                   output.name()->c_str());
    }
    if (graph_.values()->Get(value)->type() != fb::ElementType::Float32)
      return Error(StatusCode::kCorrupt, "graph output %d is not f32", value);
  }
  return OkStatus();
}

}  // namespace

Result<GraphFacts> CheckGraph(const fb::Model& model) { return GraphChecker(model).Check(); }

}  // namespace graft::schema
