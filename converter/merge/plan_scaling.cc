// SPDX-License-Identifier: Apache-2.0
// Planners of the kinds that scale or turn a weight, and of trained tokens: IA3, OFT, BOFT,
// trainable_token_indices.
#include <algorithm>

#include "converter/merge/merge_plan.h"
#include "converter/merge/updates/rotation.h"
#include "converter/merge/updates/scaled_rows.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {
namespace {

StoredFactor Stored(const MergePlan& plan, const AdapterTensor& tensor) {
  return {&plan.adapter().weights(), tensor.entry};
}

int64_t Elements(const AdapterTensor& tensor) {
  return tensor.entry->info.rows() * tensor.entry->info.row_elements();
}

Status Misfit(const MergePlan& plan, const AdapterTensor& tensor, const PlannedTensor& base) {
  return plan.adapter().Fail(StatusCode::kMismatch, tensor,
                             "of shape " + tensor.entry->info.ShapeText() +
                                 " does not fit the base's '" + base.info.name + "' " +
                                 base.info.ShapeText());
}

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

}  // namespace

Status PlanIa3(const AdapterModule& module, MergePlan* plan) {
  const AdapterTensor* scale = module.Use("ia3_l");
  if (scale == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *scale));
  GRAFT_ASSIGN_OR_RETURN(const bool feed_forward, IsFeedForward(module, plan->adapter().config()));
  const std::vector<int64_t>& shape = tensor->info.shape;
  if (shape.size() < 2 || Elements(*scale) == 0) return Misfit(*plan, *scale, *tensor);

  bool transposed = false;
  const int64_t scaled = Elements(*scale);
  if (shape.size() == 2) {
    const int64_t other = shape[0] == scaled ? shape[1] : shape[0];
    GRAFT_ASSIGN_OR_RETURN(transposed,
                           plan->IsTransposed(*tensor, module.name, feed_forward ? other : scaled,
                                              feed_forward ? scaled : other, *scale));
    if (transposed && !plan->IsConv1D(module.name)) return Misfit(*plan, *scale, *tensor);
  }
  const bool by_rows = feed_forward == transposed;
  const int64_t side = by_rows ? shape[0] : shape[1];
  if (side != scaled) return Misfit(*plan, *scale, *tensor);
  std::vector<std::unique_ptr<RowUpdate>>& updates = plan->Part(tensor).updates;
  if (by_rows) {
    updates.push_back(std::make_unique<ScaleRows>(Stored(*plan, *scale)));
  } else {
    const int64_t columns = tensor->info.row_elements();
    updates.push_back(
        std::make_unique<ScaleColumns>(Stored(*plan, *scale), columns, columns / scaled));
  }
  GRAFT_RETURN_IF_ERROR(plan->NoteModule(tensor, "ia3", 0, 0));
  if (feed_forward) return OkStatus();
  // Scaling the output scales the bias too.
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * bias, plan->TensorIfThere(module.name, "bias"));
  if (bias == nullptr) return OkStatus();
  if (bias->info.shape != std::vector<int64_t>{scaled}) return Misfit(*plan, *scale, *bias);
  plan->Part(bias).updates.push_back(std::make_unique<ScaleRows>(Stored(*plan, *scale)));
  if (bias->kind.empty()) bias->kind = "ia3";
  return OkStatus();
}

Status PlanOft(const AdapterModule& module, MergePlan* plan) {
  const AdapterConfig& config = plan->adapter().config();
  const AdapterTensor* stored = module.Use("oft_R");
  if (stored == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *stored));
  const std::vector<int64_t>& shape = stored->entry->info.shape;
  const int64_t columns = tensor->info.row_elements();
  // n * (n - 1) / 2 numbers make a skew-symmetric matrix of side n.
  int64_t side = 1;
  while (shape.size() == 2 && side < 65536 && side * (side - 1) / 2 < shape[1]) ++side;
  const bool whole = shape.size() == 2 && shape[1] > 0 && side * (side - 1) / 2 == shape[1];
  const bool shared = config.oft_block_share && whole && shape[0] == 1;
  if (tensor->info.shape.size() < 2 || !whole || columns % side != 0 ||
      (!shared && shape[0] * side != columns)) {
    return Misfit(*plan, *stored, *tensor);
  }
  if (plan->IsConv1D(module.name)) {
    return plan->adapter().Fail(
        StatusCode::kUnsupported, *stored,
        "turns a Conv1D layer, '" + tensor->info.name + "', which PEFT does not define");
  }
  const CayleyForm form{config.oft_cayley_neumann ? config.oft_neumann_terms : 0};
  std::vector<RotationBlocks> factors;
  factors.push_back(OftBlocks(Stored(*plan, *stored), side, form));
  plan->Part(tensor).updates.push_back(
      std::make_unique<RotateColumns>(std::move(factors), columns, StoredFactor{}));
  return plan->NoteModule(tensor, "oft", side, 0);
}

Status PlanBoft(const AdapterModule& module, MergePlan* plan) {
  const AdapterTensor* stored = module.Use("boft_R");
  const AdapterTensor* scale = module.Use("boft_s");
  if (stored == nullptr || scale == nullptr) {
    return plan->adapter().Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                                "has no partner: '" + module.name + "' needs boft_R and boft_s");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *stored));
  const std::vector<int64_t>& shape = stored->entry->info.shape;
  const int64_t columns = tensor->info.row_elements();
  const bool blocks = shape.size() == 4 && shape[2] == shape[3] && shape[0] >= 1 &&
                      shape[0] <= 32 && shape[2] > 0 && shape[1] * shape[2] == columns;
  // Several factors mix halves of blocks over runs that double.
  const bool butterfly =
      blocks &&
      (shape[0] == 1 || (shape[2] % 2 == 0 && shape[1] % (int64_t{1} << (shape[0] - 1)) == 0));
  if (tensor->info.shape.size() < 2 || !butterfly) return Misfit(*plan, *stored, *tensor);
  if (Elements(*scale) != tensor->info.rows()) return Misfit(*plan, *scale, *tensor);
  if (plan->IsConv1D(module.name)) {
    return plan->adapter().Fail(
        StatusCode::kUnsupported, *stored,
        "turns a Conv1D layer, '" + tensor->info.name + "', which PEFT does not define");
  }
  std::vector<RotationBlocks> factors;
  for (int64_t index = 0; index < shape[0]; ++index)
    factors.push_back(BoftBlocks(Stored(*plan, *stored), index));
  plan->Part(tensor).updates.push_back(
      std::make_unique<RotateColumns>(std::move(factors), columns, Stored(*plan, *scale)));
  return plan->NoteModule(tensor, "boft", shape[2], 0);
}

Status PlanTokens(const AdapterModule& module, MergePlan* plan) {
  const AdapterTensor* values = module.Use("token_adapter");
  if (values == nullptr) return OkStatus();
  const AdapterConfig& config = plan->adapter().config();
  const std::vector<int64_t>* indices = nullptr;
  for (const auto& [name, rows] : config.trainable_token_indices) {
    if (name.empty() || NameEndsWith(module.name, name)) indices = &rows;
  }
  if (indices == nullptr) {
    return plan->adapter().Fail(StatusCode::kMismatch, *values,
                                "has no rows named for it in trainable_token_indices");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *values));
  const TensorInfo& stored = values->entry->info;
  if (tensor->info.shape.size() != 2 || stored.shape.size() != 2 ||
      stored.shape[1] != tensor->info.shape[1] ||
      stored.rows() != static_cast<int64_t>(indices->size())) {
    return Misfit(*plan, *values, *tensor);
  }
  std::vector<int64_t> sorted = *indices;
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (twice || (!sorted.empty() && (sorted.front() < 0 || sorted.back() >= tensor->info.rows()))) {
    return plan->adapter().Fail(StatusCode::kMismatch, *values,
                                "is for rows of '" + tensor->info.name +
                                    "' that are named twice or lie outside its " +
                                    std::to_string(tensor->info.rows()));
  }
  plan->Part(tensor).updates.push_back(
      std::make_unique<ReplaceSomeRows>(Stored(*plan, *values), *indices));
  plan->NoteTokens(*tensor, *values, *indices);
  if (tensor->kind.empty()) tensor->kind = "tokens";
  return OkStatus();
}

}  // namespace graft::converter
