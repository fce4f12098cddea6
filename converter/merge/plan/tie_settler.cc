// SPDX-License-Identifier: Apache-2.0
// The two sides of tied embeddings: one matrix as long as an adapter treats both alike.
#include "converter/merge/plan/tie_settler.h"

#include <memory>
#include <string>

#include "converter/merge/plan/replacements.h"
#include "converter/merge/updates/scaled_rows.h"

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

}  // namespace

PlannedTensor* TieSettler::Head(std::string_view module, size_t adapter) {
  const TensorInfo* input = base_.Find(names_.input);
  if (names_.has_head || input == nullptr || !TiedEmbeddings::IsHeadModule(module)) return nullptr;
  const auto [place, is_new] = tensors_.try_emplace(names_.head);
  PlannedTensor& head = place->second;
  if (!is_new) return &head;
  head = StartFrom(*input, names_.head);
  unties_ = true;
  // What earlier adapters taught the shared matrix.
  for (const TiedTokens& tokens : tokens_) {
    if (tokens.adapter == adapter) continue;
    PlannedPart& part = head.parts.emplace_back();
    part.adapter = tokens.adapter;
    part.weight = tokens.weight;
    part.updates.push_back(std::make_unique<ReplaceSomeRows>(tokens.values, *tokens.indices));
  }
  return &head;
}

void TieSettler::NoteSaved(const PlannedTensor& tensor, const AdapterTensor& by, size_t adapter) {
  if (tensor.info.name == names_.input) notes_[adapter].input_saved = &by;
  if (tensor.info.name == names_.head) notes_[adapter].head_saved = &by;
}

void TieSettler::NoteBaseLayer(const PlannedTensor& tensor, const AdapterTensor& weight,
                               size_t adapter) {
  if (!names_.has_head && tensor.base_name == names_.input) notes_[adapter].base_weight = &weight;
}

void TieSettler::NoteTokens(const PlannedTensor& tensor, StoredFactor values,
                            const std::vector<int64_t>& indices, const AdapterPlanner& planner) {
  if (tensor.info.name == names_.head) notes_[planner.index()].head_has_tokens = true;
  if (tensor.info.name != names_.input || !names_.tied) return;
  tokens_.push_back({planner.index(), planner.weight(), values, &indices});
}

PlannedTensor* TieSettler::ChangedBy(size_t adapter, std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return nullptr;
  const std::vector<PlannedPart>& parts = found->second.parts;
  return !parts.empty() && parts.back().adapter == adapter ? &found->second : nullptr;
}

const TieSettler::TiedTokens* TieSettler::TokensOf(size_t adapter) const {
  return !tokens_.empty() && tokens_.back().adapter == adapter ? &tokens_.back() : nullptr;
}

Result<bool> TieSettler::SidesAlike(const PlannedTensor& input, const PlannedTensor& head,
                                    const AdapterPlanner& planner) {
  const Notes& notes = notes_[planner.index()];
  const bool tokens = TokensOf(planner.index()) != nullptr;
  const bool saved = notes.input_saved != nullptr;
  if (notes.head_has_tokens || saved != (notes.head_saved != nullptr) || input.parts.size() != 1 ||
      head.parts.size() != 1) {
    return false;
  }
  // The head may be saved whole, have a low-rank update on top, and nothing else.
  const size_t updates = head.parts[0].updates.size();
  const bool low_rank = updates == (saved ? 2 : 1);
  if (updates > 2 || input.parts[0].updates.size() != updates + (tokens ? 1 : 0)) return false;
  if (saved) {
    GRAFT_ASSIGN_OR_RETURN(
        const bool same,
        planner.adapter().weights().Same(*notes.input_saved->entry, *notes.head_saved->entry));
    if (!same) return false;
  }
  if (!low_rank) return true;
  if (input.kind != "lora" || head.kind != "lora" || input.scale != head.scale) return false;
  return FactorsAlike(planner.adapter());
}

Status TieSettler::Settle(AdapterPlanner* planner) {
  if (names_.has_head || names_.input.empty()) return OkStatus();
  const AdapterConfig& config = planner->config();
  // mlx-lm's embedding layers serve as the tied head with their update: the tie is what it trained.
  if (config.type == AdapterType::kMlx) return OkStatus();
  const Notes& notes = notes_[planner->index()];
  PlannedTensor* input = ChangedBy(planner->index(), names_.input);
  PlannedTensor* head = ChangedBy(planner->index(), names_.head);
  if (input != nullptr && head != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const bool alike, SidesAlike(*input, *head, *planner));
    if (alike && names_.tied) {
      tensors_.erase(names_.head);
      unties_ = false;
      return OkStatus();
    }
  } else if (input == nullptr && head != nullptr && notes.base_weight != nullptr) {
    return ReplaceTensor(planner->Plan(*base_.Find(names_.input)), "", *notes.base_weight, planner);
  }
  if (input == nullptr || !names_.tied) return OkStatus();

  // Trained tokens are rows of the shared matrix: a head of its own gets them too.
  const TiedTokens* tokens = TokensOf(planner->index());
  if (const auto own = tensors_.find(names_.head); own != tensors_.end()) {
    if (tokens != nullptr && !notes.head_has_tokens) {
      planner->Add(&own->second,
                   std::make_unique<ReplaceSomeRows>(tokens->values, *tokens->indices));
    }
    return OkStatus();
  }
  const size_t updates = input->parts.back().updates.size();
  // PEFT ties the head to what the input embedding became; a head alone it trains alone.
  const bool only_saved = notes.input_saved != nullptr && updates == 1;
  const bool keeps_tie = config.ensure_weight_tying && (only_saved || config.ties_factors);
  const bool only_tokens = tokens != nullptr && updates == (notes.input_saved != nullptr ? 2 : 1);
  // A head for a grown vocabulary would have untrained rows: there the tie is kept.
  const bool grown = input->info.rows() != input->base_rows && notes.base_weight == nullptr;
  if (keeps_tie || only_tokens || grown) return OkStatus();
  PlannedTensor* own = Head(ModuleOfWeight(names_.head), planner->index());
  if (notes.base_weight == nullptr) return OkStatus();
  return ReplaceTensor(own, "lm_head", *notes.base_weight, planner);
}

}  // namespace graft::converter
