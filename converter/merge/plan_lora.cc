// SPDX-License-Identifier: Apache-2.0
// LoRA on linear layers, Conv1D layers, convolutions and embeddings, with DoRA's magnitudes and a
// bias of its own.
#include <cmath>

#include "converter/merge/merge_plan.h"
#include "converter/merge/updates/dora.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

struct Factors {
  const AdapterTensor* a = nullptr;
  const AdapterTensor* b = nullptr;
  const AdapterTensor* magnitude = nullptr;
  double scale = 0;
};

int64_t Elements(const AdapterTensor& tensor) {
  return tensor.entry->info.rows() * tensor.entry->info.row_elements();
}

StoredFactor Stored(const MergePlan& plan, const AdapterTensor& tensor) {
  return {&plan.adapter().weights(), tensor.entry};
}

// Both factors or an error; the rank they share must be the one the configuration names.
Result<Factors> UsePair(const AdapterModule& module, std::string_view a_role,
                        std::string_view b_role, MergePlan* plan) {
  const AdapterFile& adapter = plan->adapter();
  Factors factors;
  factors.a = module.Use(a_role);
  factors.b = module.Use(b_role);
  factors.magnitude = module.Use("lora_magnitude_vector");
  if (factors.a == nullptr || factors.b == nullptr) {
    const AdapterTensor& other = module.tensors.begin()->second;
    return adapter.Fail(StatusCode::kCorrupt, other,
                        "has no partner: '" + module.name + "' needs " + std::string(a_role) +
                            " and " + std::string(b_role));
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, adapter.rules().RankOf(module.pattern_name()));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, adapter.rules().AlphaOf(module.pattern_name()));
  const TensorInfo& a = factors.a->entry->info;
  const TensorInfo& b = factors.b->entry->info;
  if (a.shape.size() < 2 || b.shape.size() != a.shape.size() || a.shape[0] != b.shape[1]) {
    return adapter.Fail(
        StatusCode::kMismatch, *factors.b,
        "of shape " + b.ShapeText() + " does not fit '" + a.name + "' of shape " + a.ShapeText());
  }
  if (a.shape[0] != rank) {
    return adapter.Fail(StatusCode::kMismatch, *factors.a,
                        "has rank " + std::to_string(a.shape[0]) + ", but " +
                            adapter.config().file + " gives it " + std::to_string(rank));
  }
  const double r = static_cast<double>(rank);
  factors.scale = adapter.config().use_rslora ? alpha / std::sqrt(r) : alpha / r;
  if (adapter.config().use_dora != (factors.magnitude != nullptr)) {
    return adapter.Fail(StatusCode::kMismatch, *factors.a,
                        adapter.config().use_dora
                            ? "has no lora_magnitude_vector, though use_dora is set"
                            : "comes with a lora_magnitude_vector, though use_dora is not set");
  }
  return factors;
}

// Hangs the update on `tensor`; `transposed` as LowRankFactors has it.
Status AddUpdate(const Factors& factors, bool transposed, PlannedTensor* tensor, MergePlan* plan) {
  const StoredFactor a = Stored(*plan, *factors.a);
  const StoredFactor b = Stored(*plan, *factors.b);
  LowRankFactors low_rank =
      transposed ? TransposedFactors(a, b, factors.scale) : ProductFactors(a, b, factors.scale);
  const int64_t rank = low_rank.rank;
  std::vector<std::unique_ptr<RowUpdate>>& updates = plan->Part(tensor).updates;
  if (factors.magnitude == nullptr) {
    updates.push_back(std::make_unique<LowRankRows>(std::move(low_rank)));
    return plan->NoteModule(tensor, "lora", rank, factors.scale);
  }
  const int64_t outputs = transposed ? low_rank.columns : tensor->info.rows();
  if (Elements(*factors.magnitude) != outputs) {
    return plan->adapter().Fail(StatusCode::kMismatch, *factors.magnitude,
                                "has " + std::to_string(Elements(*factors.magnitude)) +
                                    " magnitudes for " + std::to_string(outputs) + " outputs of '" +
                                    tensor->info.name + "'");
  }
  const StoredFactor magnitude = Stored(*plan, *factors.magnitude);
  if (transposed) {
    RowReader before = plan->ReaderSoFar(tensor);
    updates.push_back(std::make_unique<DoraColumns>(std::move(low_rank), magnitude,
                                                    std::move(before), tensor->info.rows()));
  } else {
    updates.push_back(std::make_unique<DoraRows>(std::move(low_rank), magnitude));
  }
  return plan->NoteModule(tensor, "dora", rank, factors.scale);
}

Status PlanEmbedding(const AdapterModule& module, MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors,
                         UsePair(module, "lora_embedding_A", "lora_embedding_B", plan));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *factors.a));
  const std::vector<int64_t> wanted = {factors.a->entry->info.row_elements(),
                                       factors.b->entry->info.rows()};
  if (tensor->info.shape != wanted) {
    return plan->adapter().Fail(StatusCode::kMismatch, *factors.a,
                                "of shape " + factors.a->entry->info.ShapeText() +
                                    " does not fit the base's embedding '" + tensor->info.name +
                                    "' " + tensor->info.ShapeText());
  }
  return AddUpdate(factors, true, tensor, plan);
}

// A kernel of k x k is a product over its flattened window; only B's window must be a point.
Status PlanConvolution(const Factors& factors, PlannedTensor* tensor, MergePlan* plan) {
  const TensorInfo& a = factors.a->entry->info;
  const TensorInfo& b = factors.b->entry->info;
  std::vector<int64_t> wanted = a.shape;
  wanted[0] = b.shape[0];
  if (tensor->info.shape != wanted || b.row_elements() != b.shape[1]) {
    return plan->adapter().Fail(StatusCode::kMismatch, *factors.a,
                                "of shape " + a.ShapeText() + " with B " + b.ShapeText() +
                                    " does not fit the base's '" + tensor->info.name + "' " +
                                    tensor->info.ShapeText() +
                                    " (a convolution in groups cannot be merged)");
  }
  return AddUpdate(factors, false, tensor, plan);
}

// BD-LoRA keeps one factor as the blocks of its diagonal; its sizes say which.
Status PlanBlocks(const AdapterModule& module, MergePlan* plan) {
  const AdapterFile& adapter = plan->adapter();
  const int64_t blocks = adapter.config().block_diagonal_blocks;
  const AdapterTensor* a = module.Use("lora_A");
  const AdapterTensor* b = module.Use("lora_B");
  if (a == nullptr || b == nullptr) {
    return adapter.Fail(StatusCode::kCorrupt, module.tensors.begin()->second, "has no partner");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *a));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, adapter.rules().RankOf(module.pattern_name()));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, adapter.rules().AlphaOf(module.pattern_name()));
  const std::vector<int64_t>& shape = tensor->info.shape;
  const std::vector<int64_t>& a_shape = a->entry->info.shape;
  const std::vector<int64_t>& b_shape = b->entry->info.shape;
  const bool matrices = shape.size() == 2 && a_shape.size() == 2 && b_shape.size() == 2 &&
                        a_shape[0] == rank && b_shape[0] == shape[0];
  const int64_t blocks_a = matrices && a_shape[1] != shape[1] ? blocks : 1;
  const int64_t blocks_b = matrices && b_shape[1] != rank ? blocks : 1;
  if (!matrices || a_shape[1] * blocks_a != shape[1] || b_shape[1] * blocks_b != rank ||
      rank % blocks_a != 0 || shape[0] % blocks_b != 0) {
    return adapter.Fail(StatusCode::kMismatch, *a,
                        "of shape " + a->entry->info.ShapeText() + " with B " +
                            b->entry->info.ShapeText() + " in " + std::to_string(blocks) +
                            " blocks does not fit the base's '" + tensor->info.name + "' " +
                            tensor->info.ShapeText());
  }
  const double r = static_cast<double>(rank);
  const double scale = adapter.config().use_rslora ? alpha / std::sqrt(r) : alpha / r;
  plan->Part(tensor).updates.push_back(std::make_unique<LowRankRows>(
      BlockFactors(Stored(*plan, *a), blocks_a, Stored(*plan, *b), blocks_b, scale)));
  return plan->NoteModule(tensor, "bdlora", rank, scale);
}

// An attention layer of PyTorch's own keeps query, key and value in one parameter without a module.
Result<PlannedTensor*> WeightOf(const AdapterModule& module, const AdapterTensor& user,
                                MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, plan->BaseTensor(module.name, "weight"));
  if (weight == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* joint,
                           plan->BaseTensor(module.name, "in_proj_weight"));
    if (joint != nullptr) return plan->Tensor(module.name, "in_proj_weight", user);
  }
  return plan->Tensor(module.name, "weight", user);
}

Status PlanLinear(const AdapterModule& module, MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors, UsePair(module, "lora_A", "lora_B", plan));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, WeightOf(module, *factors.a, plan));
  if (factors.a->entry->info.shape.size() > 2) {
    GRAFT_RETURN_IF_ERROR(PlanConvolution(factors, tensor, plan));
  } else {
    GRAFT_ASSIGN_OR_RETURN(const bool transposed,
                           plan->IsTransposed(*tensor, module.name, factors.b->entry->info.rows(),
                                              factors.a->entry->info.row_elements(), *factors.a));
    GRAFT_RETURN_IF_ERROR(AddUpdate(factors, transposed, tensor, plan));
  }
  const AdapterTensor* bias = module.Use("lora_B.bias");
  if (bias == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * vector, plan->TensorIfThere(module.name, "bias"));
  if (vector == nullptr) {
    return plan->adapter().Fail(StatusCode::kUnsupported, *bias,
                                "is a bias for '" + tensor->info.name +
                                    "', which has none in the base to add it to: the base has no "
                                    "tensor '" +
                                    module.name + ".bias'");
  }
  if (vector->info.shape != bias->entry->info.shape) {
    return plan->adapter().Fail(StatusCode::kMismatch, *bias,
                                "of shape " + bias->entry->info.ShapeText() +
                                    " does not fit the base's '" + vector->info.name + "' " +
                                    vector->info.ShapeText());
  }
  plan->Part(vector).updates.push_back(
      std::make_unique<AddVector>(&plan->adapter().weights(), bias->entry, factors.scale));
  if (vector->kind.empty()) vector->kind = "lora_bias";
  vector->scale = factors.scale;
  return OkStatus();
}

}  // namespace

Status PlanLora(const AdapterModule& module, MergePlan* plan) {
  if (module.Has("lora_embedding_A") || module.Has("lora_embedding_B"))
    return PlanEmbedding(module, plan);
  if (!module.Has("lora_A") && !module.Has("lora_B")) return OkStatus();
  if (plan->adapter().config().block_diagonal_blocks > 0) return PlanBlocks(module, plan);
  return PlanLinear(module, plan);
}

}  // namespace graft::converter
