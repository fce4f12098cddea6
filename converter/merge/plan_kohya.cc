// SPDX-License-Identifier: Apache-2.0
// Adapters of kohya's sd-scripts and of LyCORIS: LoRA, LoHa, LoKr and whole differences on linear
// layers and convolutions, each module with an alpha of its own.
#include <algorithm>
#include <memory>
#include <string>

#include "converter/merge/merge_plan.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

StoredFactor Stored(const MergePlan& plan, const AdapterTensor& tensor) {
  return {&plan.adapter().weights(), tensor.entry};
}

const std::vector<int64_t>& Shape(const AdapterTensor& tensor) { return tensor.entry->info.shape; }

// A shape without the kernel of one point that some writers give to matrices.
std::vector<int64_t> WithoutPoint(std::vector<int64_t> shape) {
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  return shape;
}

Status Misfit(const MergePlan& plan, const AdapterTensor& tensor, const PlannedTensor& base) {
  return plan.adapter().Fail(StatusCode::kMismatch, tensor,
                             "of shape " + tensor.entry->info.ShapeText() +
                                 " does not fit the base's '" + base.info.name + "' " +
                                 base.info.ShapeText());
}

// Roles that change the mathematics in a way graft does not follow.
Status CheckRoles(const AdapterModule& module, const MergePlan& plan) {
  constexpr std::string_view kMerged[] = {
      "lora_down", "lora_up", "lora_mid",  "alpha",   "hada_w1_a", "hada_w1_b", "hada_w2_a",
      "hada_w2_b", "hada_t1", "hada_t2",   "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2",
      "lokr_w2_a", "lokr_t2", "lokr_w2_b", "diff",    "diff_b",    "w_norm",    "b_norm"};
  for (const auto& [role, tensor] : module.tensors) {
    if (std::find(std::begin(kMerged), std::end(kMerged), role) != std::end(kMerged)) continue;
    return plan.adapter().Fail(
        StatusCode::kUnsupported, tensor,
        role == "dora_scale"
            ? "is LyCORIS' form of DoRA, whose norm differs between its versions; merge it with "
              "the program that trained it"
            : "has the part '" + role.substr(0, 60) +
                  "', which graft does not merge in an adapter of kohya's or LyCORIS' names; "
                  "merge it with the program that trained it");
  }
  return OkStatus();
}

// alpha / rank, or 1 without an alpha: kohya's trainers then take the rank for it.
Result<double> ScaleOf(const AdapterModule& module, int64_t rank, const MergePlan& plan) {
  const AdapterTensor* alpha = module.Use("alpha");
  if (alpha == nullptr) return 1.0;
  double value = 0;
  if (alpha->entry->info.rows() * alpha->entry->info.row_elements() != 1) {
    return plan.adapter().Fail(StatusCode::kCorrupt, *alpha,
                               "of shape " + alpha->entry->info.ShapeText() + " is not one number");
  }
  GRAFT_RETURN_IF_ERROR(
      plan.adapter().weights().ReadElements(*alpha->entry, 0, std::span(&value, 1)));
  return value / static_cast<double>(rank);
}

// The base's name of a module.
Result<std::string> BaseModule(const AdapterModule& module, MergePlan* plan) {
  const std::string_view name = UnderscoredName(module.name);
  if (name.empty()) return module.name;
  return plan->UnderscoredModule(name, module.tensors.begin()->second);
}

bool HasAny(const AdapterModule& module, std::string_view prefix) {
  const auto first = module.tensors.lower_bound(prefix);
  return first != module.tensors.end() && first->first.starts_with(prefix);
}

Status PlanLowRank(const AdapterModule& module, std::string_view base_module, MergePlan* plan) {
  const AdapterFile& adapter = plan->adapter();
  const AdapterTensor* down = module.Use("lora_down");
  const AdapterTensor* up = module.Use("lora_up");
  const AdapterTensor* mid = module.Use("lora_mid");
  if (down == nullptr || up == nullptr) {
    return adapter.Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                        "has no partner: '" + module.name + "' needs lora_down and lora_up");
  }
  const std::vector<int64_t> down_shape = WithoutPoint(Shape(*down));
  const std::vector<int64_t> up_shape = WithoutPoint(Shape(*up));
  const bool pair = down_shape.size() >= 2 && up_shape.size() == 2 && up_shape[1] > 0;
  const std::vector<int64_t>* core = mid != nullptr ? &Shape(*mid) : nullptr;
  const bool fits =
      pair && (core == nullptr ? down_shape[0] == up_shape[1]
                               : core->size() > 2 && (*core)[0] == up_shape[1] &&
                                     (*core)[1] == down_shape[0] && down_shape.size() == 2);
  if (!fits) {
    return adapter.Fail(StatusCode::kMismatch, *up,
                        "of shape " + up->entry->info.ShapeText() + " does not fit '" +
                            down->entry->info.name + "' of shape " + down->entry->info.ShapeText());
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(base_module, "weight", *down));
  std::vector<int64_t> wanted = down_shape;
  wanted[0] = up_shape[0];
  if (core != nullptr) wanted.insert(wanted.end(), core->begin() + 2, core->end());
  if (WithoutPoint(tensor->info.shape) != WithoutPoint(wanted))
    return Misfit(*plan, *down, *tensor);
  const int64_t rank = down_shape[0];
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, rank, *plan));
  LowRankFactors factors =
      mid != nullptr
          ? CoreFactors(Stored(*plan, *mid), Stored(*plan, *down), Stored(*plan, *up), scale)
          : ProductFactors(Stored(*plan, *down), Stored(*plan, *up), scale);
  plan->Part(tensor).updates.push_back(std::make_unique<LowRankRows>(std::move(factors)));
  return plan->NoteModule(tensor, "lora", rank, scale);
}

// The rank is the inner side of whichever product is there.
int64_t RankOf(const AdapterModule& module, std::initializer_list<std::string_view> right_factors) {
  for (const std::string_view role : right_factors) {
    const auto found = module.tensors.find(role);
    if (found != module.tensors.end()) return found->second.entry->info.rows();
  }
  return 0;
}

Status PlanHadamard(const AdapterModule& module, std::string_view base_module, MergePlan* plan) {
  const int64_t rank = std::max<int64_t>(RankOf(module, {"hada_w1_b", "hada_w2_b"}), 1);
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, rank, *plan));
  return MergeLoHa(module, base_module, scale, plan);
}

Status PlanKronecker(const AdapterModule& module, std::string_view base_module, MergePlan* plan) {
  const int64_t rank = RankOf(module, {"lokr_w1_b", "lokr_w2_b"});
  GRAFT_ASSIGN_OR_RETURN(double scale, ScaleOf(module, std::max<int64_t>(rank, 1), *plan));
  // Two whole matrices have no rank to divide by, and LyCORIS trains them unscaled.
  if (rank == 0) scale = 1;
  return MergeLoKr(module, base_module, rank, scale, plan);
}

// W += difference, for weights and biases of any layer.
Status PlanDifference(const AdapterModule& module, std::string_view base_module,
                      std::string_view role, std::string_view leaf, MergePlan* plan) {
  const AdapterTensor* difference = module.Use(role);
  if (difference == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(base_module, leaf, *difference));
  if (WithoutPoint(tensor->info.shape) != WithoutPoint(Shape(*difference))) {
    return Misfit(*plan, *difference, *tensor);
  }
  plan->Part(tensor).updates.push_back(
      std::make_unique<AddVector>(&plan->adapter().weights(), difference->entry, 1.0));
  if (leaf == "weight") return plan->NoteModule(tensor, "diff", 0, 0);
  if (tensor->kind.empty()) tensor->kind = "diff";
  return OkStatus();
}

}  // namespace

Status PlanKohya(const AdapterModule& module, MergePlan* plan) {
  GRAFT_RETURN_IF_ERROR(CheckRoles(module, *plan));
  GRAFT_ASSIGN_OR_RETURN(const std::string base_module, BaseModule(module, plan));
  if (HasAny(module, "lora_")) {
    GRAFT_RETURN_IF_ERROR(PlanLowRank(module, base_module, plan));
  } else if (HasAny(module, "hada_")) {
    GRAFT_RETURN_IF_ERROR(PlanHadamard(module, base_module, plan));
  } else if (HasAny(module, "lokr_")) {
    GRAFT_RETURN_IF_ERROR(PlanKronecker(module, base_module, plan));
  }
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "diff", "weight", plan));
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "w_norm", "weight", plan));
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "diff_b", "bias", plan));
  return PlanDifference(module, base_module, "b_norm", "bias", plan);
}

}  // namespace graft::converter
