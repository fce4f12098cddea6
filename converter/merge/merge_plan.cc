// SPDX-License-Identifier: Apache-2.0
// Replacements first, then each module by its kind, then the tied head, then the reckoning: nothing
// left over.
#include "converter/merge/merge_plan.h"

#include <algorithm>

#include "converter/adapter/mlx_targets.h"
#include "converter/base/printable.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {
namespace {

std::string BaseShape(const TensorInfo& info) { return "'" + info.name + "' " + info.ShapeText(); }

// The layers that transformers builds from Conv1D, by their names in GPT-2 and its descendants.
bool IsConv1DName(std::string_view module) {
  constexpr std::string_view kNames[] = {"c_attn", "c_proj", "c_fc", "q_attn"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [module](std::string_view name) { return NameEndsWith(module, name); });
}

}  // namespace

Status ReadStartingRows(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                        int64_t row_end, std::span<double> out) {
  const int64_t row_elements = tensor.info.row_elements();
  const int64_t from_base =
      std::clamp(tensor.base_rows - row_begin, int64_t{0}, row_end - row_begin);
  const size_t base_elements = static_cast<size_t>(from_base * row_elements);
  if (from_base > 0) {
    GRAFT_RETURN_IF_ERROR(base.ReadRows(tensor.base_name, row_begin, row_begin + from_base,
                                        out.first(base_elements)));
  }
  std::fill(out.begin() + static_cast<ptrdiff_t>(base_elements), out.end(), 0.0);
  return OkStatus();
}

MergePlan::MergePlan(const TensorSource& base, const TiedEmbeddings& tie)
    : base_(&base), tie_(&tie), names_(base.tensors()) {}

PlannedTensor* MergePlan::Plan(const TensorInfo& base_info) {
  std::unique_ptr<PlannedTensor>& tensor = tensors_[base_info.name];
  if (tensor == nullptr) {
    tensor = std::make_unique<PlannedTensor>();
    tensor->info = base_info;
    tensor->base_name = base_info.name;
    tensor->base_rows = base_info.rows();
  }
  return tensor.get();
}

PlannedPart& MergePlan::Part(PlannedTensor* tensor) {
  if (tensor->parts.empty() || tensor->parts.back().adapter != counts_.size()) {
    PlannedPart& part = tensor->parts.emplace_back();
    part.adapter = counts_.size();
    part.weight = weight_;
  }
  return tensor->parts.back();
}

Result<PlannedTensor*> MergePlan::Tensor(std::string_view module, std::string_view leaf,
                                         const AdapterTensor& user) {
  auto found = names_.Find(module, leaf);
  if (!found.ok())
    return adapter_->Fail(found.status().code(), user, std::string(found.status().message()));
  if (*found == nullptr) {
    if (leaf == "weight") {
      GRAFT_ASSIGN_OR_RETURN(PlannedTensor * head, TiedHead(module));
      if (head != nullptr) return head;
    }
    std::string name(module);
    if (!leaf.empty()) name.append(".").append(leaf);
    const std::string nearest = names_.Nearest(name);
    return adapter_->Fail(
        StatusCode::kMismatch, user,
        "matches nothing: the base has no tensor '" + name + "'" +
            (nearest.empty() ? std::string() : "; the nearest is '" + nearest + "'"));
  }
  if (!IsFloat((*found)->dtype)) {
    return adapter_->Fail(StatusCode::kUnsupported, user,
                          "changes the base's " + BaseShape(**found) + ", which holds " +
                              DTypeName((*found)->dtype) + "; start from the unquantized base");
  }
  return Plan(**found);
}

RowReader MergePlan::ReaderSoFar(const PlannedTensor* tensor) const {
  const size_t part_index = tensor->parts.empty() ? 0 : tensor->parts.size() - 1;
  const size_t update_count = tensor->parts.empty() ? 0 : tensor->parts.back().updates.size();
  return [this_base = base_, tensor, part_index, update_count](
             int64_t begin, int64_t end, std::span<double> out, Workspace* workspace) -> Status {
    GRAFT_RETURN_IF_ERROR(ReadStartingRows(*this_base, *tensor, begin, end, out));
    for (size_t i = 0; i < update_count; ++i) {
      GRAFT_RETURN_IF_ERROR(
          tensor->parts[part_index].updates[i]->ApplyRows(begin, end, out, workspace));
    }
    return OkStatus();
  };
}

Status MergePlan::NoteModule(PlannedTensor* tensor, std::string kind, int64_t rank, double scale) {
  if (!merged_modules_.insert(tensor->info.name).second) {
    return Error(StatusCode::kMismatch,
                 "%s: two modules of the adapter mean the base's tensor '%s'",
                 adapter_->weights().path().c_str(), tensor->info.name.c_str());
  }
  // The sum of several low-rank changes has the sum of their ranks, and no one scale.
  const bool first = tensor->parts.size() <= 1 || tensor->kind.empty();
  tensor->scale = first || tensor->scale == scale ? scale : 0;
  tensor->rank = first ? rank : tensor->rank + rank;
  if (first) {
    tensor->kind = std::move(kind);
  } else if (tensor->kind != kind) {
    tensor->kind += "+" + kind;
  }
  return OkStatus();
}

Result<bool> MergePlan::IsTransposed(const PlannedTensor& tensor, std::string_view module,
                                     int64_t out_features, int64_t in_features,
                                     const AdapterTensor& user) const {
  const std::vector<int64_t>& shape = tensor.info.shape;
  const bool straight = shape.size() == 2 && shape[0] == out_features && shape[1] == in_features;
  const bool transposed = shape.size() == 2 && shape[0] == in_features && shape[1] == out_features;
  if (straight != transposed) return transposed;
  if (!straight) {
    return adapter_->Fail(StatusCode::kMismatch, user,
                          "does not fit the base's " + BaseShape(tensor.info) + ": it updates " +
                              std::to_string(out_features) + " outputs of " +
                              std::to_string(in_features) + " inputs");
  }
  return IsConv1D(module);  // a square weight does not show its orientation
}

bool MergePlan::IsConv1D(std::string_view module) const {
  if (!IsConv1DName(module)) return false;
  bool any = false;
  for (const TensorInfo& info : base_->tensors()) {
    if (info.shape.size() != 2 || info.shape[0] == info.shape[1] ||
        !info.name.ends_with(".weight")) {
      continue;
    }
    const std::string relative = info.name.substr(0, info.name.size() - 7);
    if (!IsConv1DName(relative)) continue;
    const TensorInfo* bias = base_->Find(relative + ".bias");
    if (bias == nullptr || bias->shape.size() != 1) continue;
    if (bias->shape[0] == info.shape[1]) return true;
    any = any || bias->shape[0] == info.shape[0];
  }
  return !any && adapter_->config().fan_in_fan_out;
}

Result<std::string> MergePlan::UnderscoredModule(std::string_view name, const AdapterTensor& user) {
  if (underscored_names_ == nullptr)
    underscored_names_ = std::make_unique<UnderscoredNames>(base_->tensors());
  auto module = underscored_names_->Find(name);
  if (!module.ok()) {
    return adapter_->Fail(module.status().code(), user, std::string(module.status().message()));
  }
  return std::string(*module);
}

Result<PlannedTensor*> MergePlan::TensorIfThere(std::string_view module, std::string_view leaf) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* found, names_.Find(module, leaf));
  return found != nullptr ? Plan(*found) : nullptr;
}

Status MergePlan::Replace(PlannedTensor* tensor, std::string_view module, const AdapterTensor& by) {
  const TensorInfo& stored = by.entry->info;
  // Only the first dimension may differ, and only where it counts tokens or classes.
  std::vector<int64_t> fitted = tensor->info.shape;
  const bool may_grow = adapter_->rules().IsSavedModule(module) ||
                        TiedEmbeddings::IsHeadModule(module) || tensor->base_name == tie_->input;
  if (may_grow && !fitted.empty() && !stored.shape.empty()) fitted[0] = stored.shape[0];
  if (fitted != stored.shape) {
    return adapter_->Fail(
        StatusCode::kMismatch, by,
        "has shape " + stored.ShapeText() + ", but replaces the base's " + BaseShape(tensor->info));
  }
  if (tensor->info.shape != fitted && (weight_ != 1 || !tensor->parts.empty())) {
    return adapter_->Fail(
        StatusCode::kUnsupported, by,
        "changes the number of rows, which only a single adapter of weight 1 can");
  }
  tensor->info.shape = fitted;
  tensor->base_rows = std::min(tensor->base_rows, tensor->info.rows());
  Part(tensor).updates.push_back(std::make_unique<ReplaceRows>(&adapter_->weights(), by.entry));
  if (tensor->kind.empty()) tensor->kind = "saved";
  if (tensor->info.name == tie_->input) input_saved_ = &by;
  if (tensor->info.name == tie_->head) head_saved_ = &by;
  return OkStatus();
}

// mlx keeps some layers in another order than the checkpoint it read them from.
Status MergePlan::CheckReplacement(const PlannedTensor& tensor, std::string_view module,
                                   const AdapterTensor& by) const {
  if (adapter_->config().type != AdapterType::kMlx) return OkStatus();
  const size_t dimensions = by.entry->info.shape.size();
  if (dimensions > 2 || (dimensions == 2 && IsConv1D(module))) {
    return adapter_->Fail(StatusCode::kUnsupported, by,
                          "replaces the base's " + BaseShape(tensor.info) +
                              ", a convolution, transposed layer or stack of experts, which mlx "
                              "keeps in an order of its own; fuse it with mlx_lm.fuse first");
  }
  return OkStatus();
}

Status MergePlan::AddReplacements() {
  for (const auto& [name, tensor] : adapter_->replacements()) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* found, names_.Find(name, ""));
    const size_t dot = name.rfind('.');
    const std::string module = dot == std::string::npos ? std::string() : name.substr(0, dot);
    PlannedTensor* planned = nullptr;
    if (found != nullptr) {
      planned = Plan(*found);
    } else if (name.ends_with(".weight")) {
      GRAFT_ASSIGN_OR_RETURN(planned, TiedHead(module));
    }
    if (planned == nullptr) {
      // A head the base was saved without: the adapter brings all of it.
      if (!adapter_->rules().IsSavedModule(module) && !adapter_->rules().IsSavedModule(name)) {
        const std::string nearest = names_.Nearest(name);
        return adapter_->Fail(
            StatusCode::kMismatch, tensor,
            "matches nothing: the base has no tensor '" + name + "'" +
                (nearest.empty() ? std::string() : "; the nearest is '" + nearest + "'"));
      }
      std::unique_ptr<PlannedTensor>& created = tensors_[name];
      if (created == nullptr) {
        created = std::make_unique<PlannedTensor>();
        created->info = tensor.entry->info;
        created->info.name = name;
      }
      planned = created.get();
    }
    GRAFT_RETURN_IF_ERROR(CheckReplacement(*planned, module, tensor));
    GRAFT_RETURN_IF_ERROR(Replace(planned, module, tensor));
    if (adapter_->config().whole_tensors) GRAFT_RETURN_IF_ERROR(NoteModule(planned, "full", 0, 0));
    tensor.used = true;
  }
  return OkStatus();
}

Status MergePlan::AddBaseLayer(const AdapterModule& module) {
  if (const AdapterTensor* weight = module.Use("base_layer.weight"); weight != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, Tensor(module.name, "weight", *weight));
    GRAFT_RETURN_IF_ERROR(Replace(tensor, module.name, *weight));
    // Embeddings and heads are saved like this unasked; where they are tied, the other side has the
    // same weight.
    if (!tie_->has_head && (tensor->base_name == tie_->input)) tied_weight_ = weight;
  }
  // Its bias, or in_proj_bias of PyTorch's own attention.
  constexpr std::string_view kPrefix = "base_layer.";
  for (auto it = module.tensors.lower_bound(kPrefix);
       it != module.tensors.end() && it->first.starts_with(kPrefix); ++it) {
    const std::string_view leaf = std::string_view(it->first).substr(kPrefix.size());
    if (leaf == "weight") continue;
    it->second.used = true;
    GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, Tensor(module.name, leaf, it->second));
    GRAFT_RETURN_IF_ERROR(Replace(tensor, module.name, it->second));
  }
  // What a saved module was before training, which the saved one has taken the place of.
  constexpr std::string_view kOriginal = "original_module.";
  for (auto it = module.tensors.lower_bound(kOriginal);
       it != module.tensors.end() && it->first.starts_with(kOriginal); ++it) {
    const std::string saved = module.name + "." + it->first.substr(kOriginal.size());
    it->second.used = adapter_->replacements().count(saved) > 0;
  }
  return OkStatus();
}

Status MergePlan::CountModules() {
  ModuleCount& count = counts_.back();
  count.merged = static_cast<int64_t>(merged_modules_.size());
  if (adapter_->config().type == AdapterType::kMlx) {
    const MlxTargets targets(adapter_->config(), base_->tensors(), merged_modules_);
    for (const TensorInfo& info : base_->tensors()) {
      if (merged_modules_.count(info.name) > 0 || !IsFloat(info.dtype)) continue;
      if (targets.Has(info, names_.AdapterNameOf(info.name))) count.missing.push_back(info.name);
    }
    count.expected = count.merged + static_cast<int64_t>(count.missing.size());
    return OkStatus();
  }
  if (!adapter_->rules().names_targets()) {
    count.expected = count.merged;
    return OkStatus();
  }
  for (const TensorInfo& info : base_->tensors()) {
    if (info.shape.size() < 2 || !info.name.ends_with(".weight") || !IsFloat(info.dtype)) continue;
    const std::string module = names_.AdapterNameOf(info.name.substr(0, info.name.size() - 7));
    GRAFT_ASSIGN_OR_RETURN(const bool targeted, adapter_->rules().Targets(module));
    if (!targeted || merged_modules_.count(info.name) > 0) continue;
    count.missing.push_back(info.name);
  }
  count.expected = count.merged + static_cast<int64_t>(count.missing.size());
  return OkStatus();
}

Status MergePlan::PlanModule(const AdapterModule& module) {
  switch (adapter_->config().type) {
    case AdapterType::kLora: {
      GRAFT_RETURN_IF_ERROR(PlanTokens(module, this));
      if (!adapter_->config().target_parameters.empty() && module.Has("lora_A")) {
        GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, names_.Find(module.name, "weight"));
        if (weight == nullptr) return PlanParameter(module, this);
      }
      return PlanLora(module, this);
    }
    case AdapterType::kAdaLora:
      return PlanAdaLora(module, this);
    case AdapterType::kLoHa:
      return PlanLoHa(module, this);
    case AdapterType::kLoKr:
      return PlanLoKr(module, this);
    case AdapterType::kVera:
      return PlanVera(module, this);
    case AdapterType::kIa3:
      return PlanIa3(module, this);
    case AdapterType::kOft:
      return PlanOft(module, this);
    case AdapterType::kBoft:
      return PlanBoft(module, this);
    case AdapterType::kMlx:
      return PlanMlx(module, this);
    case AdapterType::kKohya:
      return PlanKohya(module, this);
  }
  return OkStatus();
}

Status MergePlan::PlanAll() {
  GRAFT_RETURN_IF_ERROR(AddReplacements());
  for (const auto& [name, module] : adapter_->modules()) {
    GRAFT_RETURN_IF_ERROR(AddBaseLayer(module));
    if (!module.AllUsed()) GRAFT_RETURN_IF_ERROR(PlanModule(module));
  }
  return SettleTie();
}

Status MergePlan::Add(const AdapterFile& adapter, double weight) {
  adapter_ = &adapter;
  weight_ = weight;
  tied_weight_ = nullptr;
  input_saved_ = nullptr;
  head_saved_ = nullptr;
  head_has_tokens_ = false;
  merged_modules_.clear();
  if (Status status = PlanAll(); !status.ok()) {
    const std::string& trained_on = adapter.config().base_model;
    if (status.code() != StatusCode::kMismatch || trained_on.empty()) return status;
    return Status(status.code(), std::string(status.message()) +
                                     "; the adapter says that it was trained on '" +
                                     Printable(trained_on) + "'");
  }
  counts_.emplace_back();
  GRAFT_RETURN_IF_ERROR(CountModules());
  return adapter.CheckAllUsed();
}

}  // namespace graft::converter
