// SPDX-License-Identifier: Apache-2.0
// BEFT: a trained vector is added to a layer's bias.
#include <memory>
#include <string>
#include <string_view>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/row_update.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"beft_bias"};
constexpr Setting kSettings[] = {{"init_weights", 0, SettingUse::kIgnored, ""}};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* vector, planner->Need(module, "beft_bias"));
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, planner->BaseTensor(module.name, "weight"));
  if (weight == nullptr) return planner->FailNoMatch(*vector, module.name + ".weight");
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * bias, planner->TensorIfThere(module.name, "bias"));
  if (bias == nullptr) {
    return planner->Fail(StatusCode::kUnsupported, *vector,
                         "is a bias for '" + weight->name +
                             "', which has none in the base to add it to: the base has no "
                             "tensor '" +
                             module.name + ".bias'");
  }
  if (weight->shape.size() != 2 || bias->info.shape.size() != 1 ||
      vector->elements() != bias->info.rows()) {
    return planner->FailShape(*vector, *bias);
  }
  planner->Add(bias, std::make_unique<AddVector>(&planner->adapter().weights(), vector->entry, 1));
  planner->NoteCovered(weight->name);
  return planner->NoteModule(bias, "beft", 0, 1);
}

}  // namespace

extern constinit const PlannedKind kBeftKind = {
    {AdapterType::kOther, "BEFT", "beft", kRoles, kSettings}, Plan};

}  // namespace graft::converter
