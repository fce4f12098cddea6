// SPDX-License-Identifier: Apache-2.0
// IA3: a trained vector scales a layer's outputs, or its inputs where it is a feed-forward layer.
#include <algorithm>
#include <memory>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/scaled_rows.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"ia3_l"};

// Whether IA3 scales this module's input rather than its output. PEFT compares name endings without
// regard to dots.
Result<bool> IsFeedForward(const AdapterModule& module, const AdapterConfig& config) {
  if (config.feedforward_is_pattern) {
    GRAFT_ASSIGN_OR_RETURN(
        const Pattern pattern,
        Pattern::Compile(config.feedforward_modules[0], config.file + ": feedforward_modules"));
    return pattern.FullMatch(module.name);
  }
  return std::any_of(config.feedforward_modules.begin(), config.feedforward_modules.end(),
                     [&](const std::string& ending) { return module.name.ends_with(ending); });
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterTensor* scale = planner->Use(module, "ia3_l");
  if (scale == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *scale));
  GRAFT_ASSIGN_OR_RETURN(const bool feed_forward, IsFeedForward(module, planner->config()));
  const std::vector<int64_t>& shape = tensor->info.shape;
  if (shape.size() < 2 || scale->elements() == 0) return planner->FailShape(*scale, *tensor);

  bool transposed = false;
  const int64_t scaled = scale->elements();
  if (shape.size() == 2) {
    const int64_t other = shape[0] == scaled ? shape[1] : shape[0];
    GRAFT_ASSIGN_OR_RETURN(
        transposed, planner->IsTransposed(*tensor, module.name, feed_forward ? other : scaled,
                                          feed_forward ? scaled : other, *scale));
    if (transposed && !planner->IsConv1D(module.name)) return planner->FailShape(*scale, *tensor);
  }
  const bool by_rows = feed_forward == transposed;
  const int64_t side = by_rows ? shape[0] : shape[1];
  if (side != scaled) return planner->FailShape(*scale, *tensor);
  if (by_rows) {
    planner->Add(tensor, std::make_unique<ScaleRows>(planner->Stored(*scale)));
  } else {
    const int64_t columns = tensor->info.row_elements();
    planner->Add(
        tensor, std::make_unique<ScaleColumns>(planner->Stored(*scale), columns, columns / scaled));
  }
  GRAFT_RETURN_IF_ERROR(planner->NoteModule(tensor, "ia3", 0, 0));
  if (feed_forward) return OkStatus();
  // Scaling the output scales the bias too.
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * bias, planner->TensorIfThere(module.name, "bias"));
  if (bias == nullptr) return OkStatus();
  if (bias->info.shape != std::vector<int64_t>{scaled}) return planner->FailShape(*scale, *bias);
  planner->Add(bias, std::make_unique<ScaleRows>(planner->Stored(*scale)));
  if (bias->kind.empty()) bias->kind = "ia3";
  return OkStatus();
}

}  // namespace

extern constinit const PlannedKind kIa3Kind = {{AdapterType::kIa3, "IA3", "ia3", kRoles, {}}, Plan};

}  // namespace graft::converter
