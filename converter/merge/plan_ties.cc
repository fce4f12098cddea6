// SPDX-License-Identifier: Apache-2.0
// The two sides of tied embeddings: one matrix as long as an adapter treats both alike.
#include <vector>

#include "converter/merge/merge_plan.h"
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

}  // namespace

Result<PlannedTensor*> MergePlan::TiedHead(std::string_view module) {
  const TensorInfo* input = base_->Find(tie_->input);
  if (tie_->has_head || input == nullptr || !TiedEmbeddings::IsHeadModule(module)) {
    return static_cast<PlannedTensor*>(nullptr);
  }
  std::unique_ptr<PlannedTensor>& head = tensors_[tie_->head];
  if (head != nullptr) return head.get();
  head = std::make_unique<PlannedTensor>();
  head->info = *input;
  head->info.name = tie_->head;
  head->base_name = input->name;
  head->base_rows = input->rows();
  unties_embeddings_ = true;
  // What earlier adapters taught the shared matrix.
  for (const TiedTokens& tokens : tied_tokens_) {
    if (tokens.adapter == counts_.size()) continue;
    PlannedPart& part = head->parts.emplace_back();
    part.adapter = tokens.adapter;
    part.weight = tokens.weight;
    part.updates.push_back(std::make_unique<ReplaceSomeRows>(tokens.values, *tokens.indices));
  }
  return head.get();
}

void MergePlan::NoteTokens(const PlannedTensor& tensor, const AdapterTensor& values,
                           const std::vector<int64_t>& indices) {
  if (tensor.info.name == tie_->head) head_has_tokens_ = true;
  if (tensor.info.name != tie_->input || !tie_->tied) return;
  tied_tokens_.push_back({counts_.size(), weight_, {&adapter_->weights(), values.entry}, &indices});
}

PlannedTensor* MergePlan::ChangedHere(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return nullptr;
  const std::vector<PlannedPart>& parts = found->second->parts;
  const bool here = !parts.empty() && parts.back().adapter == counts_.size();
  return here ? found->second.get() : nullptr;
}

Result<bool> MergePlan::FactorsAlike() const {
  const AdapterModule* input = nullptr;
  const AdapterModule* head = nullptr;
  for (const auto& [name, module] : adapter_->modules()) {
    if (module.Has("lora_embedding_A")) input = &module;
    if (module.Has("lora_A") && TiedEmbeddings::IsHeadModule(name)) head = &module;
  }
  if (input == nullptr || head == nullptr) return false;
  // (B A) transposed is A transposed times B transposed.
  const auto entry = [](const AdapterModule* module, std::string_view role) {
    return module->tensors.find(role)->second.entry;
  };
  const WeightFile& file = adapter_->weights();
  GRAFT_ASSIGN_OR_RETURN(const bool down, IsTransposeOf(file, *entry(head, "lora_A"),
                                                        *entry(input, "lora_embedding_B")));
  if (!down) return false;
  return IsTransposeOf(file, *entry(head, "lora_B"), *entry(input, "lora_embedding_A"));
}

Result<bool> MergePlan::SidesAlike(const PlannedTensor& input, const PlannedTensor& head) const {
  const bool tokens = !tied_tokens_.empty() && tied_tokens_.back().adapter == counts_.size();
  const bool saved = input_saved_ != nullptr;
  if (head_has_tokens_ || saved != (head_saved_ != nullptr) || input.parts.size() != 1 ||
      head.parts.size() != 1) {
    return false;
  }
  // The head may be saved whole, have a low-rank update on top, and nothing else.
  const size_t updates = head.parts[0].updates.size();
  const bool low_rank = updates == (saved ? 2 : 1);
  if (updates > 2 || input.parts[0].updates.size() != updates + (tokens ? 1 : 0)) return false;
  if (saved) {
    GRAFT_ASSIGN_OR_RETURN(const bool same,
                           adapter_->weights().Same(*input_saved_->entry, *head_saved_->entry));
    if (!same) return false;
  }
  if (!low_rank) return true;
  if (input.kind != "lora" || head.kind != "lora" || input.scale != head.scale) return false;
  return FactorsAlike();
}

Status MergePlan::SettleTie() {
  if (tie_->has_head || tie_->input.empty()) return OkStatus();
  // mlx-lm's embedding layers serve as the tied head with their update: the tie is what it trained.
  if (adapter_->config().type == AdapterType::kMlx) return OkStatus();
  PlannedTensor* input = ChangedHere(tie_->input);
  PlannedTensor* head = ChangedHere(tie_->head);
  if (input != nullptr && head != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const bool alike, SidesAlike(*input, *head));
    if (alike && tie_->tied) {
      tensors_.erase(tie_->head);
      unties_embeddings_ = false;
      return OkStatus();
    }
  } else if (input == nullptr && head != nullptr && tied_weight_ != nullptr) {
    return Replace(Plan(*base_->Find(tie_->input)), "", *tied_weight_);
  }
  if (input == nullptr || !tie_->tied) return OkStatus();

  // Trained tokens are rows of the shared matrix: a head of its own gets them too.
  const bool tokens = !tied_tokens_.empty() && tied_tokens_.back().adapter == counts_.size();
  if (const auto own = tensors_.find(tie_->head); own != tensors_.end()) {
    if (tokens && !head_has_tokens_) {
      const TiedTokens& trained = tied_tokens_.back();
      Part(own->second.get())
          .updates.push_back(std::make_unique<ReplaceSomeRows>(trained.values, *trained.indices));
    }
    return OkStatus();
  }
  const size_t updates = input->parts.back().updates.size();
  // PEFT ties the head to what the input embedding became; a head alone it trains alone.
  const AdapterConfig& config = adapter_->config();
  const bool only_saved = input_saved_ != nullptr && updates == 1;
  const bool keeps_tie = config.ensure_weight_tying && (only_saved || config.ties_factors);
  const bool only_tokens = tokens && updates == (input_saved_ != nullptr ? 2 : 1);
  // A head for a grown vocabulary would have rows nobody trained: there the tie is kept.
  const bool grown = input->info.rows() != input->base_rows && tied_weight_ == nullptr;
  if (keeps_tie || only_tokens || grown) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * own,
                         TiedHead(tie_->head.substr(0, tie_->head.size() - 7)));
  return tied_weight_ != nullptr ? Replace(own, "lm_head", *tied_weight_) : OkStatus();
}

}  // namespace graft::converter
