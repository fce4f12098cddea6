// SPDX-License-Identifier: Apache-2.0
// Planners of the kinds that add a product: AdaLoRA, VeRA, LoHa, LoKr.
#include "converter/merge/merge_plan.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/product_rows.h"

namespace graft::converter {
namespace {

StoredFactor Stored(const MergePlan& plan, const AdapterTensor& tensor) {
  return {&plan.adapter().weights(), tensor.entry};
}

const std::vector<int64_t>& Shape(const AdapterTensor& tensor) { return tensor.entry->info.shape; }

Status Misfit(const MergePlan& plan, const AdapterTensor& tensor, const PlannedTensor& base) {
  return plan.adapter().Fail(StatusCode::kMismatch, tensor,
                             "of shape " + tensor.entry->info.ShapeText() +
                                 " does not fit the base's '" + base.info.name + "' " +
                                 base.info.ShapeText());
}

// The tensor of that role, or an error that names one that is there.
Result<const AdapterTensor*> Need(const AdapterModule& module, std::string_view role,
                                  const MergePlan& plan) {
  const AdapterTensor* tensor = module.Use(role);
  if (tensor != nullptr) return tensor;
  return plan.adapter().Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                             "has no partner: '" + module.name + "' needs " + std::string(role));
}

Result<double> ScaleOf(const AdapterModule& module, const MergePlan& plan) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, plan.adapter().rules().RankOf(module.name));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, plan.adapter().rules().AlphaOf(module.name));
  return alpha / static_cast<double>(rank);
}

// The two factors of one product of LoHa or LoKr: plain [rows, r] x [r, columns], or around a core
// tensor. `rows` and `columns` are what the product must come to, the kernel of a convolution
// counted into the columns; 0 rows: whatever it has.
Result<LowRankFactors> ProductOf(const AdapterModule& module, const std::string& prefix,
                                 std::string_view core_role, const MergePlan& plan, int64_t* rows) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, Need(module, prefix + "_a", plan));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, Need(module, prefix + "_b", plan));
  const AdapterTensor* core = core_role.empty() ? nullptr : module.Use(core_role);
  const bool matrices = Shape(*a).size() == 2 && Shape(*b).size() == 2;
  if (core == nullptr) {
    if (!matrices || Shape(*a)[1] != Shape(*b)[0]) {
      return plan.adapter().Fail(StatusCode::kMismatch, *a,
                                 "does not fit its partner '" + b->entry->info.name + "'");
    }
    *rows = Shape(*a)[0];
    return ProductFactors(Stored(plan, *b), Stored(plan, *a), 1.0);
  }
  if (!matrices || Shape(*core).size() < 3 || Shape(*core)[0] != Shape(*a)[0] ||
      Shape(*core)[1] != Shape(*b)[0] || Shape(*core)[1] == 0) {
    return plan.adapter().Fail(StatusCode::kMismatch, *core,
                               "does not fit between its two factors");
  }
  *rows = Shape(*a)[1];
  return TuckerFactors(Stored(plan, *core), Stored(plan, *a), Stored(plan, *b), 1.0);
}

}  // namespace

Status PlanAdaLora(const AdapterModule& module, MergePlan* plan) {
  const AdapterConfig& config = plan->adapter().config();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, Need(module, "lora_A", *plan));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, Need(module, "lora_B", *plan));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* e, Need(module, "lora_E", *plan));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *a));
  if (Shape(*a).size() != 2 || Shape(*b).size() != 2 || Shape(*a)[0] != Shape(*b)[1] ||
      e->entry->info.rows() * e->entry->info.row_elements() != Shape(*a)[0]) {
    return plan->adapter().Fail(StatusCode::kMismatch, *a, "does not fit its lora_B or lora_E");
  }
  // The rank may have been cut to nothing; the scale stays that of the rank training began with.
  const double alpha = config.alpha > 0 ? config.alpha : static_cast<double>(config.init_rank);
  const double scale = alpha / (static_cast<double>(config.init_rank) + 1e-5);
  bool transposed = false;
  if (tensor->info.shape.size() > 2) {
    if (tensor->info.rows() != Shape(*b)[0] || tensor->info.row_elements() != Shape(*a)[1]) {
      return Misfit(*plan, *a, *tensor);
    }
  } else {
    GRAFT_ASSIGN_OR_RETURN(
        transposed, plan->IsTransposed(*tensor, module.name, Shape(*b)[0], Shape(*a)[1], *a));
  }
  LowRankFactors factors = transposed
                               ? TransposedFactors(Stored(*plan, *a), Stored(*plan, *b), scale)
                               : ProductFactors(Stored(*plan, *a), Stored(*plan, *b), scale);
  plan->Part(tensor).updates.push_back(
      std::make_unique<LowRankRows>(WithDiagonal(std::move(factors), Stored(*plan, *e))));
  return plan->NoteModule(tensor, "adalora", Shape(*a)[0], scale);
}

Status PlanVera(const AdapterModule& module, MergePlan* plan) {
  const auto& modules = plan->adapter().modules();
  // The projection lies at the top of the model and serves every layer.
  const auto top = modules.find("");
  const AdapterTensor* a = top != modules.end() ? top->second.Use("vera_A") : nullptr;
  const AdapterTensor* b = top != modules.end() ? top->second.Use("vera_B") : nullptr;
  if (module.name.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_b, Need(module, "vera_lambda_b", *plan));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_d, Need(module, "vera_lambda_d", *plan));
  if (a == nullptr || b == nullptr) {
    return plan->adapter().Fail(
        StatusCode::kUnsupported, *lambda_b,
        "needs vera_A and vera_B, which the file lacks: it was saved without its projection");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *lambda_b));
  // The projection is as large as the largest layer needs, so only the outputs show which way round
  // the weight lies.
  const int64_t outputs = lambda_b->entry->info.rows();
  const std::vector<int64_t>& shape = tensor->info.shape;
  if (shape.size() != 2 || (shape[0] != outputs && shape[1] != outputs))
    return Misfit(*plan, *lambda_b, *tensor);
  const int64_t inputs = shape[0] == outputs ? shape[1] : shape[0];
  GRAFT_ASSIGN_OR_RETURN(const bool transposed,
                         plan->IsTransposed(*tensor, module.name, outputs, inputs, *lambda_b));
  const bool fits = Shape(*a).size() == 2 && Shape(*b).size() == 2 &&
                    Shape(*a)[0] == Shape(*b)[1] && Shape(*a)[0] == lambda_d->entry->info.rows() &&
                    outputs <= Shape(*b)[0] && inputs <= Shape(*a)[1] &&
                    (!transposed || plan->IsConv1D(module.name));
  if (!fits) return Misfit(*plan, *lambda_b, *tensor);
  LowRankFactors factors =
      SharedFactors(Stored(*plan, *a), Stored(*plan, *b), Stored(*plan, *lambda_b),
                    Stored(*plan, *lambda_d), inputs);
  if (transposed) factors = Transposed(std::move(factors), outputs);
  plan->Part(tensor).updates.push_back(std::make_unique<LowRankRows>(std::move(factors)));
  return plan->NoteModule(tensor, "vera", Shape(*a)[0], 1);
}

Status PlanLoHa(const AdapterModule& module, MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, *plan));
  return MergeLoHa(module, module.name, scale, plan);
}

Status PlanLoKr(const AdapterModule& module, MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, plan->adapter().rules().RankOf(module.name));
  GRAFT_ASSIGN_OR_RETURN(const double scale, ScaleOf(module, *plan));
  return MergeLoKr(module, module.name, rank, scale, plan);
}

Status MergeLoHa(const AdapterModule& module, std::string_view base_module, double scale,
                 MergePlan* plan) {
  int64_t first_rows = 0;
  int64_t second_rows = 0;
  GRAFT_ASSIGN_OR_RETURN(LowRankFactors first,
                         ProductOf(module, "hada_w1", "hada_t1", *plan, &first_rows));
  GRAFT_ASSIGN_OR_RETURN(LowRankFactors second,
                         ProductOf(module, "hada_w2", "hada_t2", *plan, &second_rows));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* any, Need(module, "hada_w1_a", *plan));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(base_module, "weight", *any));
  const int64_t columns = tensor->info.row_elements();
  if (tensor->info.shape.size() < 2 || first_rows != tensor->info.rows() ||
      second_rows != tensor->info.rows() || first.columns != columns || second.columns != columns) {
    return Misfit(*plan, *any, *tensor);
  }
  const int64_t rank = first.rank;
  plan->Part(tensor).updates.push_back(
      std::make_unique<HadamardRows>(std::move(first), std::move(second), scale));
  return plan->NoteModule(tensor, "loha", rank, scale);
}

Status MergeLoKr(const AdapterModule& module, std::string_view base_module, int64_t rank,
                 double scale, MergePlan* plan) {
  // Either matrix may be whole or a product; which tensors are there tells.
  const auto matrix = [&](const std::string& prefix, std::string_view core) -> Result<DenseMatrix> {
    if (const AdapterTensor* whole = module.Use(prefix); whole != nullptr) {
      if (Shape(*whole).size() < 2) {
        return plan->adapter().Fail(StatusCode::kMismatch, *whole, "is not a matrix");
      }
      return StoredMatrix(Stored(*plan, *whole));
    }
    int64_t rows = 0;
    GRAFT_ASSIGN_OR_RETURN(LowRankFactors factors, ProductOf(module, prefix, core, *plan, &rows));
    return ProductMatrix(std::move(factors), rows);
  };
  const auto named = module.tensors.lower_bound("lokr_");
  const AdapterTensor& any =
      (named != module.tensors.end() ? named : module.tensors.begin())->second;
  GRAFT_ASSIGN_OR_RETURN(DenseMatrix first, matrix("lokr_w1", ""));
  GRAFT_ASSIGN_OR_RETURN(DenseMatrix second, matrix("lokr_w2", "lokr_t2"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(base_module, "weight", any));
  // Both sides of a product of file sizes stay far below the largest integer.
  if (tensor->info.shape.size() < 2 || second.rows == 0 ||
      first.rows * second.rows != tensor->info.rows() ||
      first.columns * second.columns != tensor->info.row_elements()) {
    return Misfit(*plan, any, *tensor);
  }
  plan->Part(tensor).updates.push_back(
      std::make_unique<KroneckerRows>(std::move(first), std::move(second), scale));
  return plan->NoteModule(tensor, "lokr", rank, scale);
}

}  // namespace graft::converter
