// SPDX-License-Identifier: Apache-2.0
// Of each adapter: replacements first, then each module by its kind, then the tied head, then the
// reckoning: nothing left over.
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
  for (const TensorInfo& info : base) {
    const std::string_view module = ModuleOfWeight(info.name);
    if (info.shape.size() < 2 || module.empty() || !IsFloat(info.dtype)) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool targeted,
                           planner.rules().Targets(planner.AdapterNameOf(module)));
    if (targeted && planner.changed().count(info.name) == 0) missing.push_back(info.name);
  }
  return missing;
}

}  // namespace

Result<MergePlan> PlanMerge(const TensorSource& base, const TiedEmbeddings& tie,
                            std::span<const WeightedAdapter> adapters) {
  MergePlan plan;
  const ModuleNames names(base.tensors());
  TieSettler ties(base, tie, &plan.tensors);
  for (size_t i = 0; i < adapters.size(); ++i) {
    const AdapterFile& adapter = *adapters[i].file;
    AdapterPlanner planner({&base, &names, &plan.tensors, &ties}, i, adapter, adapters[i].weight);
    if (Status status = PlanAll(&planner); !status.ok()) {
      const std::string& trained_on = adapter.config().base_model;
      if (status.code() != StatusCode::kMismatch || trained_on.empty()) return status;
      return Status(status.code(), std::string(status.message()) +
                                       "; the adapter says that it was trained on '" +
                                       Sanitize(trained_on) + "'");
    }
    ModuleCount& count = plan.counts.emplace_back();
    GRAFT_ASSIGN_OR_RETURN(count.missing, MissingTensors(planner));
    count.merged = static_cast<int64_t>(planner.changed().size());
    count.expected = count.merged + static_cast<int64_t>(count.missing.size());
    GRAFT_RETURN_IF_ERROR(planner.ledger().CheckComplete(adapter));
  }
  plan.unties_embeddings = ties.unties();
  return plan;
}

}  // namespace graft::converter
