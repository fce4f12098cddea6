// SPDX-License-Identifier: Apache-2.0
// VeRA: vectors of each layer scale a product that all layers share.
#include <memory>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/factor_forms.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"vera_A", "vera_B", "vera_lambda_b", "vera_lambda_d"};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const auto& modules = planner->adapter().modules();
  // The projection lies at the top of the model and serves every layer.
  const auto top = modules.find("");
  const AdapterTensor* a = top != modules.end() ? planner->Use(top->second, "vera_A") : nullptr;
  const AdapterTensor* b = top != modules.end() ? planner->Use(top->second, "vera_B") : nullptr;
  if (module.name.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_b, planner->Need(module, "vera_lambda_b"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_d, planner->Need(module, "vera_lambda_d"));
  if (a == nullptr || b == nullptr) {
    return planner->Fail(
        StatusCode::kUnsupported, *lambda_b,
        "needs vera_A and vera_B, which the file lacks: it was saved without its projection");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *lambda_b));
  // The projection is as large as the largest layer needs, so only the outputs show which way round
  // the weight lies.
  const int64_t outputs = lambda_b->entry->info.rows();
  const std::vector<int64_t>& shape = tensor->info.shape;
  if (shape.size() != 2 || (shape[0] != outputs && shape[1] != outputs))
    return planner->FailShape(*lambda_b, *tensor);
  const int64_t inputs = shape[0] == outputs ? shape[1] : shape[0];
  GRAFT_ASSIGN_OR_RETURN(const bool transposed,
                         planner->IsTransposed(*tensor, module.name, outputs, inputs, *lambda_b));
  const bool fits = a->shape().size() == 2 && b->shape().size() == 2 &&
                    a->shape()[0] == b->shape()[1] &&
                    a->shape()[0] == lambda_d->entry->info.rows() && outputs <= b->shape()[0] &&
                    inputs <= a->shape()[1] && (!transposed || planner->IsConv1D(module.name));
  if (!fits) return planner->FailShape(*lambda_b, *tensor);
  LowRankFactors factors =
      SharedFactors(planner->Stored(*a), planner->Stored(*b), planner->Stored(*lambda_b),
                    planner->Stored(*lambda_d), inputs);
  if (transposed) factors = Transposed(std::move(factors), outputs);
  planner->Add(tensor, std::make_unique<LowRankRows>(std::move(factors)));
  return planner->NoteModule(tensor, "vera", a->shape()[0], 1);
}

}  // namespace

extern constinit const PlannedKind kVeraKind = {{AdapterType::kVera, "VERA", "vera", kRoles, {}},
                                                Plan};

}  // namespace graft::converter
