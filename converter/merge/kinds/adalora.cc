// SPDX-License-Identifier: Apache-2.0
// AdaLoRA: a low-rank product around a trained diagonal, whose rank training has cut.
#include <memory>
#include <utility>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/factor_forms.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"lora_A", "lora_B", "lora_E"};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterConfig& config = planner->config();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "lora_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "lora_B"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* e, planner->Need(module, "lora_E"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *a));
  if (a->shape().size() != 2 || b->shape().size() != 2 || a->shape()[0] != b->shape()[1] ||
      e->elements() != a->shape()[0]) {
    return planner->Fail(StatusCode::kMismatch, *a, "does not fit its lora_B or lora_E");
  }
  // The rank may have been cut to nothing; the scale stays that of the rank training began with.
  const double alpha = config.alpha > 0 ? config.alpha : static_cast<double>(config.init_rank);
  const double scale = alpha / (static_cast<double>(config.init_rank) + 1e-5);
  bool transposed = false;
  if (tensor->info.shape.size() > 2) {
    if (tensor->info.rows() != b->shape()[0] || tensor->info.row_elements() != a->shape()[1]) {
      return planner->FailShape(*a, *tensor);
    }
  } else {
    GRAFT_ASSIGN_OR_RETURN(
        transposed, planner->IsTransposed(*tensor, module.name, b->shape()[0], a->shape()[1], *a));
  }
  LowRankFactors factors = transposed
                               ? TransposedFactors(planner->Stored(*a), planner->Stored(*b), scale)
                               : ProductFactors(planner->Stored(*a), planner->Stored(*b), scale);
  planner->Add(
      tensor, std::make_unique<LowRankRows>(WithDiagonal(std::move(factors), planner->Stored(*e))));
  return planner->NoteModule(tensor, "adalora", a->shape()[0], scale);
}

}  // namespace

extern constinit const PlannedKind kAdaLoraKind = {
    {AdapterType::kAdaLora, "ADALORA", "adalora", kRoles, {}}, Plan};

}  // namespace graft::converter
