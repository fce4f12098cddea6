// SPDX-License-Identifier: Apache-2.0
// LoHa and LoKr: the factors are found, and checked against the tensor their product changes.
#include "converter/merge/kinds/lycoris_products.h"

#include <memory>
#include <utility>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/product_rows.h"

namespace graft::converter {
namespace {

constexpr std::string_view kHadamardRoles[] = {"hada_w1_a", "hada_w1_b", "hada_w2_a",
                                               "hada_w2_b", "hada_t1",   "hada_t2"};
constexpr std::string_view kKroneckerRoles[] = {"lokr_w1",   "lokr_w1_a", "lokr_w1_b", "lokr_w2",
                                                "lokr_w2_a", "lokr_w2_b", "lokr_t2"};

// The two factors of one product of LoHa or LoKr: plain [rows, r] x [r, columns], or around a core
// tensor. `rows` and `columns` are what the product must come to, the kernel of a convolution
// counted into the columns; 0 rows: whatever it has.
Result<LowRankFactors> ProductOf(const AdapterModule& module, const std::string& prefix,
                                 std::string_view core_role, AdapterPlanner* planner,
                                 int64_t* rows) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, prefix + "_a"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, prefix + "_b"));
  const AdapterTensor* core = core_role.empty() ? nullptr : planner->Use(module, core_role);
  const bool matrices = a->shape().size() == 2 && b->shape().size() == 2;
  if (core == nullptr) {
    if (!matrices || a->shape()[1] != b->shape()[0]) {
      return planner->Fail(StatusCode::kMismatch, *a,
                           "does not fit its partner '" + b->entry->info.name + "'");
    }
    *rows = a->shape()[0];
    return ProductFactors(planner->Stored(*b), planner->Stored(*a), 1.0);
  }
  if (!matrices || core->shape().size() < 3 || core->shape()[0] != a->shape()[0] ||
      core->shape()[1] != b->shape()[0] || core->shape()[1] == 0) {
    return planner->Fail(StatusCode::kMismatch, *core, "does not fit between its two factors");
  }
  *rows = a->shape()[1];
  return TuckerFactors(planner->Stored(*core), planner->Stored(*a), planner->Stored(*b), 1.0);
}

Status PlanLoHa(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const double scale, planner->rules().ScaleOf(module.name));
  return AddLoHa(module, module.name, scale, planner);
}

Status PlanLoKr(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(module.name));
  GRAFT_ASSIGN_OR_RETURN(const double scale, planner->rules().ScaleOf(module.name));
  return AddLoKr(module, module.name, rank, scale, planner);
}

}  // namespace

Status AddLoHa(const AdapterModule& module, std::string_view base_module, double scale,
               AdapterPlanner* planner) {
  int64_t first_rows = 0;
  int64_t second_rows = 0;
  GRAFT_ASSIGN_OR_RETURN(LowRankFactors first,
                         ProductOf(module, "hada_w1", "hada_t1", planner, &first_rows));
  GRAFT_ASSIGN_OR_RETURN(LowRankFactors second,
                         ProductOf(module, "hada_w2", "hada_t2", planner, &second_rows));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* any, planner->Need(module, "hada_w1_a"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(base_module, "weight", *any));
  const int64_t columns = tensor->info.row_elements();
  if (tensor->info.shape.size() < 2 || first_rows != tensor->info.rows() ||
      second_rows != tensor->info.rows() || first.columns != columns || second.columns != columns) {
    return planner->FailShape(*any, *tensor);
  }
  const int64_t rank = first.rank;
  planner->Add(tensor, std::make_unique<HadamardRows>(std::move(first), std::move(second), scale));
  return planner->NoteModule(tensor, "loha", rank, scale);
}

Status AddLoKr(const AdapterModule& module, std::string_view base_module, int64_t rank,
               double scale, AdapterPlanner* planner) {
  // Either matrix may be whole or a product; which tensors are there tells.
  const auto matrix = [&](const std::string& prefix, std::string_view core) -> Result<DenseMatrix> {
    if (const AdapterTensor* whole = planner->Use(module, prefix); whole != nullptr) {
      if (whole->shape().size() < 2) {
        return planner->Fail(StatusCode::kMismatch, *whole, "is not a matrix");
      }
      return StoredMatrix(planner->Stored(*whole));
    }
    int64_t rows = 0;
    GRAFT_ASSIGN_OR_RETURN(LowRankFactors factors, ProductOf(module, prefix, core, planner, &rows));
    return ProductMatrix(std::move(factors), rows);
  };
  const auto named = module.tensors.lower_bound("lokr_");
  const AdapterTensor& any =
      (named != module.tensors.end() ? named : module.tensors.begin())->second;
  GRAFT_ASSIGN_OR_RETURN(DenseMatrix first, matrix("lokr_w1", ""));
  GRAFT_ASSIGN_OR_RETURN(DenseMatrix second, matrix("lokr_w2", "lokr_t2"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(base_module, "weight", any));
  // Both sides of a product of file sizes stay far below the largest integer.
  if (tensor->info.shape.size() < 2 || second.rows == 0 ||
      first.rows * second.rows != tensor->info.rows() ||
      first.columns * second.columns != tensor->info.row_elements()) {
    return planner->FailShape(any, *tensor);
  }
  planner->Add(tensor, std::make_unique<KroneckerRows>(std::move(first), std::move(second), scale));
  return planner->NoteModule(tensor, "lokr", rank, scale);
}

extern constinit const PlannedKind kLoHaKind = {
    {AdapterType::kLoHa, "LOHA", "loha", kHadamardRoles, {}}, PlanLoHa};
extern constinit const PlannedKind kLoKrKind = {
    {AdapterType::kLoKr, "LOKR", "lokr", kKroneckerRoles, {}}, PlanLoKr};

}  // namespace graft::converter
