// SPDX-License-Identifier: Apache-2.0
// HiRA: a weight is multiplied, element by element, with 1 and a low-rank matrix.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"rank_pattern", 0, SettingUse::kIgnored, ""},  // PEFT does not look at it
    {"bias", 0, SettingUse::kRead, ""},
    {"hira_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// W += W (.) (B A).
// Source   Huang et al. 2025, "HiRA: Parameter-Efficient Hadamard High-Rank Adaptation".
class MultiplyElements final : public RowUpdate {
 public:
  explicit MultiplyElements(LowRankFactors factors) : product_(std::move(factors)) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    std::vector<double> product(rows.size(), 0.0);
    GRAFT_RETURN_IF_ERROR(product_.ApplyRows(row_begin, row_end, product, workspace));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] += rows[i] * product[i];
    return OkStatus();
  }

 private:
  LowRankRows product_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const bool embedding = module.Has("hira_embedding_A") || module.Has("hira_embedding_B");
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a,
                         planner->Need(module, embedding ? "hira_embedding_A" : "hira_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b,
                         planner->Need(module, embedding ? "hira_embedding_B" : "hira_B"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *a));
  const TensorInfo& of_a = a->entry->info;
  const TensorInfo& of_b = b->entry->info;
  const size_t dimensions = of_a.shape.size();
  const int64_t rank = of_a.rows();
  if (dimensions < 2 || of_b.shape.size() != dimensions || of_b.shape[1] != rank || rank == 0 ||
      of_b.row_elements() != rank || tensor->info.shape.size() != dimensions) {
    return planner->FailShape(*a, *tensor);
  }
  bool transposed = embedding;
  if (embedding) {
    const std::vector<int64_t> wanted = {of_a.row_elements(), of_b.rows()};
    if (tensor->info.shape != wanted) {
      return planner->Fail(StatusCode::kMismatch, *a,
                           "of shape " + of_a.ShapeText() + " does not fit the base's embedding '" +
                               tensor->info.name + "' " + tensor->info.ShapeText() +
                               planner->VocabularyHint(*tensor, wanted[0]));
    }
  } else if (dimensions == 2) {
    GRAFT_ASSIGN_OR_RETURN(transposed, planner->IsTransposed(*tensor, module.name, of_b.rows(),
                                                             of_a.row_elements(), *a));
    if (transposed && !planner->IsConv1D(module.name)) return planner->FailShape(*a, *tensor);
  } else {
    std::vector<int64_t> wanted = of_a.shape;
    wanted[0] = of_b.rows();
    if (tensor->info.shape != wanted) {
      return planner->Fail(StatusCode::kMismatch, *a,
                           "of shape " + of_a.ShapeText() + " with hira_B " + of_b.ShapeText() +
                               " does not fit the base's '" + tensor->info.name + "' " +
                               tensor->info.ShapeText() +
                               " (a convolution in groups cannot be merged)");
    }
  }
  const StoredFactor stored_a = planner->Stored(*a);
  const StoredFactor stored_b = planner->Stored(*b);
  planner->Add(tensor, std::make_unique<MultiplyElements>(
                           transposed ? TransposedFactors(stored_a, stored_b, 1)
                                      : ProductFactors(stored_a, stored_b, 1)));
  return planner->NoteModule(tensor, "hira", rank, 1);
}

}  // namespace

extern constinit const PlannedKind kHiraKind = {
    {AdapterType::kOther, "HIRA", "hira", kRoles, kSettings}, Plan};

}  // namespace graft::converter
