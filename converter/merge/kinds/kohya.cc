// SPDX-License-Identifier: Apache-2.0
// Adapters of kohya's sd-scripts and of LyCORIS: LoRA, LoHa, LoKr and whole differences on linear
// layers and convolutions, each module with an alpha of its own.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "converter/adapter/metadata_config.h"
#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/lycoris_products.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

// A shape without the kernel of one point that some writers give to matrices.
std::vector<int64_t> WithoutPoint(std::vector<int64_t> shape) {
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  return shape;
}

// Roles that change the mathematics in a way graft does not follow.
Status CheckRoles(const AdapterModule& module, AdapterPlanner* planner) {
  constexpr std::string_view kMerged[] = {
      "lora_down", "lora_up", "lora_mid",  "alpha",   "hada_w1_a", "hada_w1_b", "hada_w2_a",
      "hada_w2_b", "hada_t1", "hada_t2",   "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2",
      "lokr_w2_a", "lokr_t2", "lokr_w2_b", "diff",    "diff_b",    "w_norm",    "b_norm"};
  for (const auto& [role, tensor] : module.tensors) {
    if (std::find(std::begin(kMerged), std::end(kMerged), role) != std::end(kMerged)) continue;
    return planner->Fail(
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

bool HasAlphas(const AdapterFile& adapter) {
  return std::any_of(adapter.modules().begin(), adapter.modules().end(),
                     [](const auto& module) { return module.second.Has("alpha"); });
}

// alpha / rank, or 1 without an alpha: kohya's trainers then take the rank for it. Where no module
// has one, the metadata may say the one that all were trained with.
Result<double> ScaleOf(const AdapterModule& module, int64_t rank, AdapterPlanner* planner) {
  const AdapterTensor* alpha = planner->Use(module, "alpha");
  if (alpha == nullptr) {
    const std::optional<double> common = AlphaFromMetadata(planner->adapter().weights());
    if (!common.has_value() || HasAlphas(planner->adapter())) return 1.0;
    return *common / static_cast<double>(rank);
  }
  double value = 0;
  if (alpha->elements() != 1) {
    return planner->Fail(StatusCode::kCorrupt, *alpha,
                         "of shape " + alpha->entry->info.ShapeText() + " is not one number");
  }
  GRAFT_RETURN_IF_ERROR(
      planner->adapter().weights().ReadElements(*alpha->entry, 0, std::span(&value, 1)));
  return value / static_cast<double>(rank);
}

// The base's name of a module.
Result<std::string> BaseModule(const AdapterModule& module, AdapterPlanner* planner) {
  const std::string_view name = UnderscoredName(module.name);
  if (name.empty()) return module.name;
  return planner->UnderscoredModule(name, module.tensors.begin()->second);
}

bool HasAny(const AdapterModule& module, std::string_view prefix) {
  const auto first = module.tensors.lower_bound(prefix);
  return first != module.tensors.end() && first->first.starts_with(prefix);
}

Status PlanLowRank(const AdapterModule& module, std::string_view base_module,
                   AdapterPlanner* planner) {
  const AdapterTensor* down = planner->Use(module, "lora_down");
  const AdapterTensor* up = planner->Use(module, "lora_up");
  const AdapterTensor* mid = planner->Use(module, "lora_mid");
  if (down == nullptr || up == nullptr) {
    return planner->Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                         "has no partner: '" + module.name + "' needs lora_down and lora_up");
  }
  const std::vector<int64_t> down_shape = WithoutPoint(down->shape());
  const std::vector<int64_t> up_shape = WithoutPoint(up->shape());
  const bool pair = down_shape.size() >= 2 && up_shape.size() == 2 && up_shape[1] > 0;
  const std::vector<int64_t>* core = mid != nullptr ? &mid->shape() : nullptr;
  const bool fits =
      pair && (core == nullptr ? down_shape[0] == up_shape[1]
                               : core->size() > 2 && (*core)[0] == up_shape[1] &&
                                     (*core)[1] == down_shape[0] && down_shape.size() == 2);
  if (!fits) {
    return planner->Fail(StatusCode::kMismatch, *up,
                         "of shape " + up->entry->info.ShapeText() + " does not fit '" +
                             down->entry->info.name + "' of shape " +
                             down->entry->info.ShapeText());
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(base_module, "weight", *down));
  std::vector<int64_t> wanted = down_shape;
  wanted[0] = up_shape[0];
  if (core != nullptr) wanted.insert(wanted.end(), core->begin() + 2, core->end());
  if (WithoutPoint(tensor->info.shape) != WithoutPoint(wanted))
    return planner->FailShape(*down, *tensor);
  const int64_t rank = down_shape[0];
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, rank, planner));
  LowRankFactors factors =
      mid != nullptr
          ? CoreFactors(planner->Stored(*mid), planner->Stored(*down), planner->Stored(*up), scale)
          : ProductFactors(planner->Stored(*down), planner->Stored(*up), scale);
  planner->Add(tensor, std::make_unique<LowRankRows>(std::move(factors)));
  return planner->NoteModule(tensor, "lora", rank, scale);
}

// The rank is the inner side of whichever product is there.
int64_t RankOf(const AdapterModule& module, std::initializer_list<std::string_view> right_factors) {
  for (const std::string_view role : right_factors) {
    if (const AdapterTensor* right = module.Find(role)) return right->entry->info.rows();
  }
  return 0;
}

Status PlanHadamard(const AdapterModule& module, std::string_view base_module,
                    AdapterPlanner* planner) {
  const int64_t rank = std::max<int64_t>(RankOf(module, {"hada_w1_b", "hada_w2_b"}), 1);
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, rank, planner));
  return AddLoHa(module, base_module, scale, planner);
}

Status PlanKronecker(const AdapterModule& module, std::string_view base_module,
                     AdapterPlanner* planner) {
  const int64_t rank = RankOf(module, {"lokr_w1_b", "lokr_w2_b"});
  GRAFT_ASSIGN_OR_RETURN(double scale, ScaleOf(module, std::max<int64_t>(rank, 1), planner));
  // Two whole matrices have no rank to divide by, and LyCORIS trains them unscaled.
  if (rank == 0) scale = 1;
  return AddLoKr(module, base_module, rank, scale, planner);
}

// W += difference, for weights and biases of any layer.
Status PlanDifference(const AdapterModule& module, std::string_view base_module,
                      std::string_view role, std::string_view leaf, AdapterPlanner* planner) {
  const AdapterTensor* difference = planner->Use(module, role);
  if (difference == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(base_module, leaf, *difference));
  if (WithoutPoint(tensor->info.shape) != WithoutPoint(difference->shape())) {
    return planner->FailShape(*difference, *tensor);
  }
  planner->Add(tensor,
               std::make_unique<AddVector>(&planner->adapter().weights(), difference->entry, 1.0));
  if (leaf == "weight") return planner->NoteModule(tensor, "diff", 0, 0);
  if (tensor->kind.empty()) tensor->kind = "diff";
  return OkStatus();
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_RETURN_IF_ERROR(CheckRoles(module, planner));
  GRAFT_ASSIGN_OR_RETURN(const std::string base_module, BaseModule(module, planner));
  if (HasAny(module, "lora_")) {
    GRAFT_RETURN_IF_ERROR(PlanLowRank(module, base_module, planner));
  } else if (HasAny(module, "hada_")) {
    GRAFT_RETURN_IF_ERROR(PlanHadamard(module, base_module, planner));
  } else if (HasAny(module, "lokr_")) {
    GRAFT_RETURN_IF_ERROR(PlanKronecker(module, base_module, planner));
  }
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "diff", "weight", planner));
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "w_norm", "weight", planner));
  GRAFT_RETURN_IF_ERROR(PlanDifference(module, base_module, "diff_b", "bias", planner));
  return PlanDifference(module, base_module, "b_norm", "bias", planner);
}

}  // namespace

extern constinit const PlannedKind kKohyaKind = {{AdapterType::kKohya, "", "kohya", {}, {}}, Plan};

}  // namespace graft::converter
