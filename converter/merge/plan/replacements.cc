// SPDX-License-Identifier: Apache-2.0
// Each replacement is looked up and checked against what it replaces.
#include "converter/merge/plan/replacements.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "converter/merge/plan/tie_settler.h"

namespace graft::converter {
namespace {

// mlx keeps some layers in another order than the checkpoint it read them from.
Status CheckReplacement(const PlannedTensor& tensor, std::string_view module,
                        const AdapterTensor& by, const AdapterPlanner& planner) {
  if (planner.config().type != AdapterType::kMlx) return OkStatus();
  const size_t dimensions = by.shape().size();
  if (dimensions > 2 || (dimensions == 2 && planner.IsConv1D(module))) {
    return planner.Fail(StatusCode::kUnsupported, by,
                        "replaces the base's '" + tensor.info.name + "' " +
                            tensor.info.ShapeText() +
                            ", a convolution, transposed layer or stack of experts, which mlx "
                            "keeps in an order of its own; fuse it with mlx_lm.fuse first");
  }
  return OkStatus();
}

// Whether a head that is no saved module itself was trained as one: with ensure_weight_tying it has
// the matrix of the saved embedding.
Result<bool> IsTiedToSaved(const AdapterTensor& head, std::string_view module,
                           const AdapterPlanner& planner) {
  if (!planner.config().ensure_weight_tying || !TiedEmbeddings::IsHeadModule(module)) return false;
  for (const auto& [name, other] : planner.adapter().replacements()) {
    if (!planner.rules().IsSavedModule(ModuleOfWeight(name))) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool same,
                           planner.adapter().weights().Same(*head.entry, *other.entry));
    if (same) return true;
  }
  return false;
}

}  // namespace

Status ReplaceTensor(PlannedTensor* tensor, std::string_view module, const AdapterTensor& by,
                     AdapterPlanner* planner) {
  const TensorInfo& stored = by.entry->info;
  // Only the first dimension may differ, and only where it counts tokens or classes.
  std::vector<int64_t> fitted = tensor->info.shape;
  const bool may_grow = planner->rules().IsSavedModule(module) ||
                        TiedEmbeddings::IsHeadModule(module) ||
                        tensor->base_name == planner->ties().names().input;
  if (may_grow && !fitted.empty() && !stored.shape.empty()) fitted[0] = stored.shape[0];
  if (fitted != stored.shape) {
    return planner->Fail(StatusCode::kMismatch, by,
                         "has shape " + stored.ShapeText() + ", but replaces the base's '" +
                             tensor->info.name + "' " + tensor->info.ShapeText());
  }
  if (tensor->info.shape != fitted && !tensor->parts.empty()) {
    return planner->Fail(StatusCode::kUnsupported, by,
                         "changes the number of rows of '" + tensor->info.name +
                             "', which another adapter changes too");
  }
  tensor->info.shape = fitted;
  planner->Add(tensor,
               {UpdateRole::kSaved,
                std::make_shared<ReplaceRows>(&planner->adapter().weights(), by.entry), by.entry});
  if (tensor->kind.empty()) tensor->kind = "saved";
  return OkStatus();
}

Status PlanStarts(AdapterPlanner* planner) {
  const AdapterType type = planner->config().type;
  if (type == AdapterType::kMlx || type == AdapterType::kKohya) return OkStatus();
  const auto plan = [planner](std::string_view module, const AdapterTensor* weight) -> Status {
    if (weight == nullptr) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(PlannedTensor * side, planner->ties().Side(module, *weight, planner));
    if (side == nullptr) return OkStatus();
    planner->Use(*weight);
    return planner->ties().Start(side, *weight, *planner);
  };
  const auto& replacements = planner->adapter().replacements();
  for (const auto& [name, module] : planner->adapter().modules()) {
    GRAFT_RETURN_IF_ERROR(plan(name, module.Find("base_layer.weight")));
    if (replacements.count(name + ".weight") > 0) {
      GRAFT_RETURN_IF_ERROR(plan(name, module.Find("original_module.weight")));
    }
  }
  for (const auto& [name, tensor] : replacements) {
    const std::string_view module = ModuleOfWeight(name);
    if (module.empty() || planner->rules().IsSavedModule(module)) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool tied, IsTiedToSaved(tensor, module, *planner));
    if (!tied) GRAFT_RETURN_IF_ERROR(plan(module, &tensor));
  }
  return OkStatus();
}

Status PlanReplacements(AdapterPlanner* planner) {
  const ModuleRules& rules = planner->rules();
  for (const auto& [name, tensor] : planner->adapter().replacements()) {
    if (planner->ledger().Has(tensor)) continue;
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* found, planner->BaseTensor(name, ""));
    const size_t dot = name.rfind('.');
    const std::string module = dot == std::string::npos ? std::string() : name.substr(0, dot);
    PlannedTensor* planned = nullptr;
    if (found != nullptr) {
      planned = planner->Plan(*found);
    } else if (!ModuleOfWeight(name).empty()) {
      planned = planner->ties().Head(module);
    }
    if (planned == nullptr) {
      // A head the base was saved without: the adapter brings all of it.
      if (!rules.IsSavedModule(module) && !rules.IsSavedModule(name)) {
        return planner->FailNoMatch(tensor, name);
      }
      PlannedTensor start;
      start.info = tensor.entry->info;
      start.info.name = name;
      planned = planner->Plan(name, std::move(start));
    }
    GRAFT_RETURN_IF_ERROR(CheckReplacement(*planned, module, tensor, *planner));
    GRAFT_RETURN_IF_ERROR(ReplaceTensor(planned, module, tensor, planner));
    if (planner->config().whole_tensors) {
      GRAFT_RETURN_IF_ERROR(planner->NoteModule(planned, "full", 0, 0));
    }
    planner->Use(tensor);
  }
  return OkStatus();
}

Status PlanBaseLayer(const AdapterModule& module, AdapterPlanner* planner) {
  // Its weight, its bias, or in_proj_bias of PyTorch's own attention.
  constexpr std::string_view kPrefix = "base_layer.";
  for (auto it = module.tensors.lower_bound(kPrefix);
       it != module.tensors.end() && it->first.starts_with(kPrefix); ++it) {
    const std::string_view leaf = std::string_view(it->first).substr(kPrefix.size());
    if (planner->ledger().Has(it->second)) continue;
    planner->Use(it->second);
    GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, leaf, it->second));
    GRAFT_RETURN_IF_ERROR(ReplaceTensor(tensor, module.name, it->second, planner));
  }
  // What a saved module was before training, which the saved one has taken the place of.
  constexpr std::string_view kOriginal = "original_module.";
  for (auto it = module.tensors.lower_bound(kOriginal);
       it != module.tensors.end() && it->first.starts_with(kOriginal); ++it) {
    const std::string saved = module.name + "." + it->first.substr(kOriginal.size());
    if (planner->adapter().replacements().count(saved) > 0) planner->Use(it->second);
  }
  return OkStatus();
}

}  // namespace graft::converter
