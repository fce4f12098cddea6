// SPDX-License-Identifier: Apache-2.0
// Lookups in the base, checks of shapes, and parts of planned tensors.
#include "converter/merge/plan/adapter_planner.h"

#include <algorithm>
#include <utility>

#include "converter/merge/plan/tie_settler.h"

namespace graft::converter {
namespace {

// The layers that transformers builds from Conv1D, by their names in GPT-2 and its descendants.
bool IsConv1DName(std::string_view module) {
  constexpr std::string_view kNames[] = {"c_attn", "c_proj", "c_fc", "q_attn"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [module](std::string_view name) { return NameEndsWith(module, name); });
}

}  // namespace

const AdapterTensor* AdapterPlanner::Use(const AdapterModule& module, std::string_view role) {
  const AdapterTensor* tensor = module.Find(role);
  if (tensor != nullptr) Use(*tensor);
  return tensor;
}

Result<const AdapterTensor*> AdapterPlanner::Need(const AdapterModule& module,
                                                  std::string_view role) {
  const AdapterTensor* tensor = Use(module, role);
  if (tensor != nullptr) return tensor;
  return Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
              "has no partner: '" + module.name + "' needs " + std::string(role));
}

Status AdapterPlanner::FailShape(const AdapterTensor& tensor, const PlannedTensor& planned) const {
  return Fail(StatusCode::kMismatch, tensor,
              "of shape " + tensor.entry->info.ShapeText() + " does not fit the base's '" +
                  planned.info.name + "' " + planned.info.ShapeText());
}

std::string AdapterPlanner::VocabularyHint(const PlannedTensor& planned, int64_t rows) const {
  const TiedEmbeddings& names = ties().names();
  const bool side = planned.info.name == names.input || planned.info.name == names.head;
  if (!side || rows == planned.info.rows()) return "";
  return "; it was trained over another vocabulary, which is not in the adapter (in PEFT: "
         "save_embedding_layers=True)";
}

Status AdapterPlanner::FailNoMatch(const AdapterTensor& tensor, const std::string& name) const {
  if (const ModelPart part = PartOf(name); part != ModelPart::kText) {
    return Fail(StatusCode::kMismatch, tensor,
                "matches nothing: it belongs to the part of a model that " +
                    std::string(WhatPartDoes(part)) + " ('" + std::string(PartWord(name)) +
                    "'), where the base has no tensor '" + name +
                    "'; name the checkpoint that holds this part too");
  }
  const std::string nearest = context_.names->Nearest(name);
  return Fail(StatusCode::kMismatch, tensor,
              "matches nothing: the base has no tensor '" + name + "'" +
                  (nearest.empty() ? std::string() : "; the nearest is '" + nearest + "'"));
}

Result<std::string> AdapterPlanner::UnderscoredModule(std::string_view name,
                                                      const AdapterTensor& user) {
  if (!underscored_names_.has_value()) underscored_names_.emplace(base().tensors());
  auto module = underscored_names_->Find(name);
  if (!module.ok()) {
    return Fail(module.status().code(), user, std::string(module.status().message()));
  }
  return std::string(*module);
}

bool AdapterPlanner::IsConv1D(std::string_view module) const {
  if (!IsConv1DName(module)) return false;
  bool any = false;
  for (const TensorInfo& info : base().tensors()) {
    if (info.shape.size() != 2 || info.shape[0] == info.shape[1]) continue;
    const std::string relative(ModuleOfWeight(info.name));
    if (!IsConv1DName(relative)) continue;
    const TensorInfo* bias = base().Find(relative + ".bias");
    if (bias == nullptr || bias->shape.size() != 1) continue;
    if (bias->shape[0] == info.shape[1]) return true;
    any = any || bias->shape[0] == info.shape[0];
  }
  return !any && config().fan_in_fan_out;
}

Result<bool> AdapterPlanner::IsTransposed(const PlannedTensor& tensor, std::string_view module,
                                          int64_t out_features, int64_t in_features,
                                          const AdapterTensor& user) const {
  const std::vector<int64_t>& shape = tensor.info.shape;
  const bool straight = shape.size() == 2 && shape[0] == out_features && shape[1] == in_features;
  const bool transposed = shape.size() == 2 && shape[0] == in_features && shape[1] == out_features;
  if (straight != transposed) return transposed;
  if (!straight) {
    return Fail(StatusCode::kMismatch, user,
                "does not fit the base's '" + tensor.info.name + "' " + tensor.info.ShapeText() +
                    ": it updates " + std::to_string(out_features) + " outputs of " +
                    std::to_string(in_features) + " inputs" + VocabularyHint(tensor, out_features));
  }
  return IsConv1D(module);  // a square weight does not show its orientation
}

Result<PlannedTensor*> AdapterPlanner::Tensor(std::string_view module, std::string_view leaf,
                                              const AdapterTensor& user) {
  auto found = BaseTensor(module, leaf);
  if (!found.ok()) return Fail(found.status().code(), user, std::string(found.status().message()));
  if (*found == nullptr) {
    PlannedTensor* head = leaf == "weight" ? ties().Head(module) : nullptr;
    if (head != nullptr) return head;
    std::string name(module);
    if (!leaf.empty()) name.append(".").append(leaf);
    return FailNoMatch(user, name);
  }
  if (!IsFloat((*found)->dtype)) {
    return Fail(StatusCode::kUnsupported, user,
                "changes the base's '" + (*found)->name + "' " + (*found)->ShapeText() +
                    ", which holds " + DTypeName((*found)->dtype) +
                    "; start from the unquantized base");
  }
  return Plan(**found);
}

Result<PlannedTensor*> AdapterPlanner::TensorIfThere(std::string_view module,
                                                     std::string_view leaf) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* found, BaseTensor(module, leaf));
  return found != nullptr ? Plan(*found) : nullptr;
}

PlannedTensor* AdapterPlanner::Plan(const TensorInfo& base_info) {
  return Plan(base_info.name, StartFrom(base_info, base_info.name));
}

PlannedTensor* AdapterPlanner::Plan(const std::string& name, PlannedTensor&& start) {
  return &context_.tensors->try_emplace(name, std::move(start)).first->second;
}

PlannedPart& AdapterPlanner::Part(PlannedTensor* tensor) {
  if (tensor->parts.empty() || tensor->parts.back().adapter != index_) {
    PlannedPart& part = tensor->parts.emplace_back();
    part.adapter = index_;
    part.weight = weight_;
  }
  return tensor->parts.back();
}

void AdapterPlanner::Add(PlannedTensor* tensor, PlannedUpdate update) {
  Part(tensor).updates.push_back(std::move(update));
}

RowReader AdapterPlanner::ReaderSoFar(PlannedTensor* tensor) {
  const size_t update_count = Part(tensor).updates.size();
  const size_t part_index = tensor->parts.size() - 1;
  return [base = context_.base, tensor, part_index, update_count](
             int64_t begin, int64_t end, std::span<double> out, Workspace* workspace) -> Status {
    GRAFT_RETURN_IF_ERROR(ReadStartingRows(*base, *tensor, begin, end, out));
    for (size_t i = 0; i < update_count; ++i) {
      GRAFT_RETURN_IF_ERROR(
          tensor->parts[part_index].updates[i].update->ApplyRows(begin, end, out, workspace));
    }
    return OkStatus();
  };
}

Status AdapterPlanner::NotePart(PlannedTensor* tensor, std::string_view part, std::string kind,
                                int64_t rank, double scale) {
  if (!parts_.insert(tensor->info.name + "/" + std::string(part)).second) {
    return Error(StatusCode::kMismatch,
                 "%s: two modules of the adapter mean the part %.*s of the base's tensor '%s'",
                 adapter_.weights().path().c_str(), static_cast<int>(part.size()), part.data(),
                 tensor->info.name.c_str());
  }
  const bool first = changed_.count(tensor->info.name) == 0;
  if (first) return NoteModule(tensor, std::move(kind), rank, scale);
  // Rows of one part alone have no more than the largest rank of all parts.
  tensor->rank = std::max(tensor->rank, rank);
  if (tensor->scale != scale) tensor->scale = 0;
  return OkStatus();
}

Status AdapterPlanner::NoteModule(PlannedTensor* tensor, std::string kind, int64_t rank,
                                  double scale) {
  if (!changed_.insert(tensor->info.name).second) {
    return Error(StatusCode::kMismatch,
                 "%s: two modules of the adapter mean the base's tensor '%s'",
                 adapter_.weights().path().c_str(), tensor->info.name.c_str());
  }
  Part(tensor).kind = kind;
  Part(tensor).scale = scale;
  // The sum of several low-rank changes has the sum of their ranks, and no one scale.
  const bool first = tensor->parts.size() <= 1 || tensor->kind.empty();
  tensor->scale = first || tensor->scale == scale ? scale : 0;
  tensor->rank = first ? rank : tensor->rank + rank;
  if (first) {
    tensor->kind = std::move(kind);
  } else if (tensor->kind != kind) {
    tensor->kind += "+" + kind;
  }
  return OkStatus();
}

}  // namespace graft::converter
