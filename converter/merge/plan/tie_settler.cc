// SPDX-License-Identifier: Apache-2.0
// The two sides of a tie: planned apart, compared in the end.
#include "converter/merge/plan/tie_settler.h"

#include <algorithm>
#include <string>
#include <vector>

namespace graft::converter {
namespace {

Result<bool> IsTransposeOf(const WeightFile& file, const WeightFile::Entry& a,
                           const WeightFile::Entry& b) {
  if (a.info.shape.size() != 2 || b.info.shape.size() != 2 || a.info.shape[0] != b.info.shape[1] ||
      a.info.shape[1] != b.info.shape[0]) {
    return false;
  }
  const size_t rows = static_cast<size_t>(a.info.shape[0]);
  const size_t columns = static_cast<size_t>(a.info.shape[1]);
  std::vector<double> of_a(rows * columns), of_b(rows * columns);
  GRAFT_RETURN_IF_ERROR(file.ReadElements(a, 0, of_a));
  GRAFT_RETURN_IF_ERROR(file.ReadElements(b, 0, of_b));
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      if (of_a[row * columns + column] != of_b[column * rows + row]) return false;
    }
  }
  return true;
}

Result<bool> FactorsAlike(const AdapterFile& adapter) {
  const AdapterModule* input = nullptr;
  const AdapterModule* head = nullptr;
  for (const auto& [name, module] : adapter.modules()) {
    if (module.Has("lora_embedding_A")) input = &module;
    if (module.Has("lora_A") && TiedEmbeddings::IsHeadModule(name)) head = &module;
  }
  if (input == nullptr || head == nullptr) return false;
  // (B A) transposed is A transposed times B transposed.
  const auto entry = [](const AdapterModule* module, std::string_view role) {
    return module->tensors.find(role)->second.entry;
  };
  const WeightFile& file = adapter.weights();
  GRAFT_ASSIGN_OR_RETURN(const bool down, IsTransposeOf(file, *entry(head, "lora_A"),
                                                        *entry(input, "lora_embedding_B")));
  if (!down) return false;
  return IsTransposeOf(file, *entry(head, "lora_B"), *entry(input, "lora_embedding_A"));
}

// The adapter's part of a planned tensor; null if it has none.
PlannedPart* PartOf(PlannedTensor* tensor, size_t adapter) {
  if (tensor == nullptr || tensor->parts.empty()) return nullptr;
  PlannedPart& last = tensor->parts.back();
  return last.adapter == adapter && !last.updates.empty() ? &last : nullptr;
}

bool Has(const PlannedPart* part, UpdateRole role) {
  return part != nullptr &&
         std::any_of(part->updates.begin(), part->updates.end(),
                     [role](const PlannedUpdate& update) { return update.role == role; });
}

}  // namespace

PlannedTensor* TieSettler::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found != tensors_.end() ? &found->second : nullptr;
}

PlannedTensor* TieSettler::PlanHead() {
  const TensorInfo* start = base_.Find(names_.has_head ? names_.head : names_.input);
  if (start == nullptr) return nullptr;
  return &tensors_.try_emplace(names_.head, StartFrom(*start, names_.head)).first->second;
}

PlannedTensor* TieSettler::Head(std::string_view module) {
  if (names_.has_head || !TiedEmbeddings::IsHeadModule(module)) return nullptr;
  return PlanHead();
}

Result<PlannedTensor*> TieSettler::Side(std::string_view module, const AdapterTensor& user,
                                        AdapterPlanner* planner) {
  const auto found = planner->BaseTensor(module, "weight");
  if (!found.ok())
    return static_cast<PlannedTensor*>(nullptr);  // ambiguous: no side, and said later
  if (*found == nullptr) return Head(module);
  if ((*found)->name != names_.input && (*found)->name != names_.head)
    return static_cast<PlannedTensor*>(nullptr);
  return planner->Tensor(module, "weight", user);
}

Status TieSettler::Start(PlannedTensor* side, const AdapterTensor& weight,
                         const AdapterPlanner& planner) {
  const StoredFactor start = planner.Stored(weight);
  const TensorInfo& stored = start.entry->info;
  if (stored.shape.size() != 2 || side->info.shape.size() != 2 ||
      stored.shape[1] != side->info.shape[1]) {
    return planner.Fail(StatusCode::kMismatch, weight,
                        "has shape " + stored.ShapeText() + ", but replaces the base's '" +
                            side->info.name + "' " + side->info.ShapeText());
  }
  if (side->start.entry != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const bool same, side->start.file->SameNumbers(
                                                *side->start.entry, *start.file, *start.entry));
    if (same) return OkStatus();
    return planner.Fail(StatusCode::kMismatch, weight,
                        "is not what '" + side->start.entry->info.name + "' of " +
                            side->start.file->path() +
                            " is: the two adapters were trained over different embeddings");
  }
  side->start = start;
  side->info.shape[0] = stored.rows();
  if (side->kind.empty()) side->kind = "saved";
  return OkStatus();
}

Status TieSettler::SettleStarts() {
  if (!names_.tied || names_.input.empty()) return OkStatus();
  PlannedTensor* input = Find(names_.input);
  PlannedTensor* head = Find(names_.head);
  const bool input_starts = input != nullptr && input->start.entry != nullptr;
  const bool head_starts = head != nullptr && head->start.entry != nullptr;
  if (input_starts && head_starts) {
    const StoredFactor& of_input = input->start;
    GRAFT_ASSIGN_OR_RETURN(
        const bool same,
        of_input.file->SameNumbers(*of_input.entry, *head->start.file, *head->start.entry));
    if (same) head->start = of_input;
    return OkStatus();
  }
  if (!input_starts && !head_starts) return OkStatus();
  // transformers ties again when it resizes, whatever the base stored.
  const TensorInfo* base = base_.Find(names_.input);
  const PlannedTensor& from = input_starts ? *input : *head;
  if (names_.has_head && from.info.rows() == base->rows()) return OkStatus();
  PlannedTensor* to =
      input_starts
          ? PlanHead()
          : &tensors_.try_emplace(names_.input, StartFrom(*base, names_.input)).first->second;
  to->start = from.start;
  to->info.shape = from.info.shape;
  return OkStatus();
}

Result<bool> TieSettler::PartsAlike(const PlannedPart& input, const PlannedPart& head,
                                    const AdapterFile& adapter) const {
  // Trained tokens of the embedding are the head's too, if that has none.
  std::vector<PlannedUpdate> of_input = input.updates;
  const std::vector<PlannedUpdate>& of_head = head.updates;
  if (!Has(&head, UpdateRole::kTokens)) {
    std::erase_if(of_input, [](const PlannedUpdate& u) { return u.role == UpdateRole::kTokens; });
  }
  if (of_input.size() != of_head.size()) return false;
  size_t low_rank = 0;
  for (size_t i = 0; i < of_input.size(); ++i) {
    if (of_input[i].role != of_head[i].role || of_input[i].rows != of_head[i].rows) return false;
    if (of_input[i].role == UpdateRole::kLearned) {
      ++low_rank;
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const bool same,
                           adapter.weights().Same(*of_input[i].values, *of_head[i].values));
    if (!same) return false;
  }
  if (low_rank != 1) return low_rank == 0;
  if (input.kind != "lora" || head.kind != "lora" || input.scale != head.scale) return false;
  return FactorsAlike(adapter);
}

Status TieSettler::Settle(AdapterPlanner* planner) {
  if (!names_.tied || names_.input.empty()) return OkStatus();
  PlannedTensor* input_side = Find(names_.input);
  PlannedPart* input = PartOf(input_side, planner->index());
  if (input == nullptr) return OkStatus();  // PEFT trains a head alone
  PlannedPart* head = PartOf(Find(names_.head), planner->index());
  if (head != nullptr && !names_.has_head) {
    GRAFT_ASSIGN_OR_RETURN(const bool alike, PartsAlike(*input, *head, planner->adapter()));
    if (alike) {
      head->updates = input->updates;
      return OkStatus();
    }
  }

  const AdapterConfig& config = planner->config();
  // mlx-lm's embedding layers serve as the tied head with their update. A head without rows for the
  // adapter's grown vocabulary cannot be another than its embedding.
  const bool follows =
      config.type == AdapterType::kMlx || input_side->info.rows() != StartingRows(*input_side);
  // PEFT looks for the tie by the name of the embedding.
  const bool ensured =
      config.ensure_weight_tying && NameEndsWith(ModuleOfWeight(names_.input), "embed_tokens");
  const bool saved = Has(head, UpdateRole::kSaved);
  std::vector<PlannedUpdate> followed;
  for (const PlannedUpdate& update : input->updates) {
    bool add = false;
    switch (update.role) {
      case UpdateRole::kSaved:
        add = !saved && (follows || ensured);
        break;
      case UpdateRole::kTokens:
        add = !saved && !Has(head, UpdateRole::kTokens);
        break;
      case UpdateRole::kLearned:
        add = !Has(head, UpdateRole::kLearned) && (follows || (ensured && config.ties_factors));
        break;
    }
    if (add) followed.push_back(update);
  }
  if (followed.empty()) return OkStatus();
  PlannedTensor* head_side = PlanHead();
  if (input_side->info.rows() != head_side->info.rows()) head_side->info = input_side->info;
  head_side->info.name = names_.head;
  std::vector<PlannedUpdate>& updates = planner->Part(head_side).updates;
  updates.insert(updates.begin(), followed.begin(), followed.end());
  std::stable_sort(updates.begin(), updates.end(),
                   [](const PlannedUpdate& a, const PlannedUpdate& b) { return a.role < b.role; });
  return OkStatus();
}

bool TieSettler::SidesAlike(const PlannedTensor* input, const PlannedTensor& head) const {
  if (input == nullptr) return head.parts.empty() && head.start.entry == nullptr;
  return input->start.entry == head.start.entry && input->info.shape == head.info.shape &&
         std::equal(input->parts.begin(), input->parts.end(), head.parts.begin(), head.parts.end(),
                    [](const PlannedPart& a, const PlannedPart& b) {
                      return a.adapter == b.adapter &&
                             std::equal(a.updates.begin(), a.updates.end(), b.updates.begin(),
                                        b.updates.end(), [](const auto& one, const auto& other) {
                                          return one.update == other.update;
                                        });
                    });
}

Status TieSettler::DropUnchanged(std::string_view name) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return OkStatus();
  const PlannedTensor& tensor = found->second;
  if (!tensor.parts.empty() || tensor.base_name != name) return OkStatus();
  if (tensor.info.rows() != base_.Find(name)->rows()) return OkStatus();
  const int64_t columns = std::max<int64_t>(1, tensor.info.row_elements());
  const int64_t step = std::max<int64_t>(1, 65536 / columns);
  std::vector<double> start, before;
  for (int64_t row = 0; row < tensor.info.rows(); row += step) {
    const int64_t end = std::min(tensor.info.rows(), row + step);
    start.resize(static_cast<size_t>((end - row) * columns));
    before.resize(start.size());
    GRAFT_RETURN_IF_ERROR(ReadStartingRows(base_, tensor, row, end, start));
    GRAFT_RETURN_IF_ERROR(ReadRowsOfBase(base_, tensor, row, end, before));
    if (start != before) return OkStatus();
  }
  tensors_.erase(found);
  return OkStatus();
}

Status TieSettler::CheckRows() const {
  const TensorInfo* base_input = base_.Find(names_.input);
  const TensorInfo* base_head = base_.Find(names_.head);
  const PlannedTensor* input = Find(names_.input);
  const PlannedTensor* head = Find(names_.head);
  if (base_input == nullptr || (base_head == nullptr && head == nullptr)) return OkStatus();
  if (base_head != nullptr && base_head->rows() != base_input->rows()) return OkStatus();
  const int64_t input_rows = input != nullptr ? input->info.rows() : base_input->rows();
  const int64_t head_rows = head != nullptr ? head->info.rows() : base_head->rows();
  if (input_rows == head_rows) return OkStatus();
  return Error(StatusCode::kMismatch,
               "an adapter brings another vocabulary for one side only: '%s' has %lld rows, '%s' "
               "has %lld; save the adapter with both (in PEFT: name both in modules_to_save, or "
               "adapt both), or merge it in the program that trained it",
               names_.input.c_str(), static_cast<long long>(input_rows), names_.head.c_str(),
               static_cast<long long>(head_rows));
}

Status TieSettler::Finish() {
  if (names_.input.empty()) return OkStatus();
  if (!names_.has_head) {
    const PlannedTensor* input = Find(names_.input);
    PlannedTensor* head = Find(names_.head);
    if (names_.tied && input != nullptr && head == nullptr) head = PlanHead();
    if (names_.tied && head != nullptr && SidesAlike(input, *head)) {
      tensors_.erase(names_.head);
      head = nullptr;
    }
    unties_ = head != nullptr && head->base_name == names_.input;
  }
  GRAFT_RETURN_IF_ERROR(CheckRows());
  GRAFT_RETURN_IF_ERROR(DropUnchanged(names_.input));
  return DropUnchanged(names_.head);
}

}  // namespace graft::converter
