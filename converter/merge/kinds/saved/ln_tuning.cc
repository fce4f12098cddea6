// SPDX-License-Identifier: Apache-2.0
// LN tuning: norms, or other layers, that were trained as they are.
#include <string>
#include <string_view>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/plan/replacements.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRole = "ln_tuning_layers";
constexpr std::string_view kKeyed[] = {kRole};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  for (auto it = module.tensors.lower_bound(kRole);
       it != module.tensors.end() && it->first.starts_with(kRole); ++it) {
    const AdapterTensor& trained = it->second;
    planner->Use(trained);
    // A role that ends at the layer, or at a layer within it, means its weight.
    std::string leaf = it->first.substr(kRole.size());
    leaf = leaf.empty() ? "weight" : leaf.substr(1);
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* found, planner->BaseTensor(module.name, leaf));
    if (found == nullptr) {
      GRAFT_ASSIGN_OR_RETURN(found, planner->BaseTensor(module.name, leaf + ".weight"));
      if (found != nullptr) leaf += ".weight";
    }
    GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, leaf, trained));
    GRAFT_RETURN_IF_ERROR(ReplaceTensor(tensor, module.name, trained, planner));
    tensor->kind = "ln_tuning";
    if (leaf == "bias" && module.Has(kRole)) continue;
    GRAFT_RETURN_IF_ERROR(planner->NoteModule(tensor, "ln_tuning", 0, 1));
  }
  return OkStatus();
}

}  // namespace

extern constinit const PlannedKind kLnTuningKind = {
    {AdapterType::kOther, "LN_TUNING", "ln_tuning", {}, {}, kKeyed, {}, 1}, Plan};

}  // namespace graft::converter
