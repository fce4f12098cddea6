// SPDX-License-Identifier: Apache-2.0
// trainable_token_indices: rows of an embedding that were trained one by one.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "converter/merge/kinds/lora_parts.h"
#include "converter/merge/plan/tie_settler.h"
#include "converter/merge/updates/scaled_rows.h"

namespace graft::converter {
namespace {

// The rows that were trained of a module; null if the configuration names none for it.
const std::vector<int64_t>* IndicesFor(std::string_view module, const AdapterConfig& config) {
  const std::vector<int64_t>* indices = nullptr;
  for (const auto& [name, rows] : config.trainable_token_indices) {
    if (name.empty() || NameEndsWith(module, name)) indices = &rows;
  }
  return indices;
}

}  // namespace

Status PlanTokens(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterTensor* values = planner->Use(module, "token_adapter");
  if (values == nullptr) return OkStatus();
  const AdapterConfig& config = planner->config();
  const std::vector<int64_t>* indices = IndicesFor(module.name, config);
  // Where the vocabulary grew, PEFT saves the rows of a tied head too, which are the embedding's.
  const TiedEmbeddings& tie = planner->ties().names();
  if (indices == nullptr && tie.tied && TiedEmbeddings::IsHeadModule(module.name))
    indices = IndicesFor(ModuleOfWeight(tie.input), config);
  if (indices == nullptr) {
    return planner->Fail(StatusCode::kMismatch, *values,
                         "has no rows named for it in trainable_token_indices");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *values));
  const TensorInfo& stored = values->entry->info;
  if (tensor->info.shape.size() != 2 || stored.shape.size() != 2 ||
      stored.shape[1] != tensor->info.shape[1] ||
      stored.rows() != static_cast<int64_t>(indices->size())) {
    return planner->FailShape(*values, *tensor);
  }
  std::vector<int64_t> sorted = *indices;
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (twice || (!sorted.empty() && (sorted.front() < 0 || sorted.back() >= tensor->info.rows()))) {
    return planner->Fail(StatusCode::kMismatch, *values,
                         "is for rows of '" + tensor->info.name +
                             "' that are named twice or lie outside its " +
                             std::to_string(tensor->info.rows()));
  }
  planner->Add(tensor, {UpdateRole::kTokens,
                        std::make_shared<ReplaceSomeRows>(planner->Stored(*values), *indices),
                        values->entry, indices});
  if (tensor->kind.empty()) tensor->kind = "tokens";
  return OkStatus();
}

}  // namespace graft::converter
