// SPDX-License-Identifier: Apache-2.0
// What all adapters were trained over; then of each adapter: replacements first, then each module by
// its kind, then the tied head, then the reckoning: nothing left over. The tie is settled last.
#include "converter/merge/merge_plan.h"

#include "converter/adapter/mlx_targets.h"
#include "converter/base/sanitize.h"
#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/plan/replacements.h"
#include "converter/merge/plan/tie_settler.h"

namespace graft::converter {
namespace {

Status PlanAll(AdapterPlanner* planner) {
  const PlanModule plan = PlannerOf(*planner->config().kind);
  GRAFT_RETURN_IF_ERROR(PlanReplacements(planner));
  for (const auto& [name, module] : planner->adapter().modules()) {
    GRAFT_RETURN_IF_ERROR(PlanBaseLayer(module, planner));
    if (!planner->ledger().HasAll(module)) GRAFT_RETURN_IF_ERROR(plan(module, planner));
  }
  return planner->ties().Settle(planner);
}

// The base tensors that the configuration asks for and the adapter has nothing for.
Result<std::vector<std::string>> MissingTensors(const AdapterPlanner& planner) {
  std::vector<std::string> missing;
  const std::span<const TensorInfo> base = planner.base().tensors();
  if (planner.config().type == AdapterType::kMlx) {
    const MlxTargets targets(planner.config(), base, planner.changed());
    for (const TensorInfo& info : base) {
      if (planner.changed().count(info.name) > 0 || !IsFloat(info.dtype)) continue;
      if (targets.Has(info, planner.AdapterNameOf(info.name))) missing.push_back(info.name);
    }
    return missing;
  }
  if (!planner.rules().names_targets()) return missing;
  const size_t least_dimensions = planner.config().kind->least_dimensions;
  for (const TensorInfo& info : base) {
    const std::string_view module = ModuleOfWeight(info.name);
    if (info.shape.size() < least_dimensions || module.empty() || !IsFloat(info.dtype)) continue;
    // PEFT adapts nothing within a saved module.
    if (planner.adapter().replacements().count(planner.AdapterNameOf(info.name)) > 0) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool targeted,
                           planner.rules().Targets(planner.AdapterNameOf(module)));
    if (targeted && !planner.Covers(info.name)) missing.push_back(info.name);
  }
  return missing;
}

// The message of a mismatch says what the adapter was trained on.
Status WithOrigin(const Status& status, const AdapterConfig& config) {
  if (status.code() != StatusCode::kMismatch || config.base_model.empty()) return status;
  return Status(status.code(), std::string(status.message()) +
                                   "; the adapter says that it was trained on '" +
                                   Sanitize(config.base_model) + "'");
}

// Rows that the base does not have are no change of it: they cannot be weighed or added up.
Status CheckRows(const MergePlan& plan) {
  for (const auto& [name, tensor] : plan.tensors) {
    const bool one = tensor.parts.size() == 1 && tensor.parts[0].weight == 1;
    if (tensor.parts.empty() || one || tensor.base_name.empty()) continue;
    if (tensor.info.rows() == StartingRows(tensor)) continue;
    return Error(StatusCode::kUnsupported,
                 "tensor '%s': an adapter changes the number of rows, which only a single adapter "
                 "of weight 1 can",
                 name.c_str());
  }
  return OkStatus();
}

}  // namespace

Result<MergePlan> PlanMerge(const TensorSource& base, const TiedEmbeddings& tie,
                            std::span<const WeightedAdapter> adapters) {
  MergePlan plan;
  const ModuleNames names(base.tensors());
  TieSettler ties(base, tie, &plan.tensors);
  std::vector<AdapterPlanner> planners;
  for (size_t i = 0; i < adapters.size(); ++i) {
    planners.emplace_back(PlanContext{&base, &names, &plan.tensors, &ties}, i, *adapters[i].file,
                          adapters[i].weight);
  }
  for (AdapterPlanner& planner : planners) {
    if (const Status status = PlanStarts(&planner); !status.ok())
      return WithOrigin(status, planner.config());
  }
  GRAFT_RETURN_IF_ERROR(ties.SettleStarts());
  for (AdapterPlanner& planner : planners) {
    if (const Status status = PlanAll(&planner); !status.ok())
      return WithOrigin(status, planner.config());
    ModuleCount& count = plan.counts.emplace_back();
    GRAFT_ASSIGN_OR_RETURN(count.missing, MissingTensors(planner));
    count.merged = static_cast<int64_t>(planner.changed().size());
    count.expected = count.merged + static_cast<int64_t>(count.missing.size());
    GRAFT_RETURN_IF_ERROR(planner.ledger().CheckComplete(planner.adapter()));
  }
  GRAFT_RETURN_IF_ERROR(ties.Finish());
  GRAFT_RETURN_IF_ERROR(CheckRows(plan));
  plan.unties_embeddings = ties.unties() || (tie.tied && tie.has_head);
  return plan;
}

}  // namespace graft::converter
