// SPDX-License-Identifier: Apache-2.0
// LoRA on linear layers, Conv1D layers, convolutions and embeddings, with DoRA's magnitudes and a
// bias of its own.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/expert_modules.h"
#include "converter/merge/kinds/lora_parts.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/dora.h"
#include "converter/merge/updates/factor_forms.h"
#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/part_of_rows.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {
    "lora_A",    "lora_B",       "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
    "lora_diag", "token_adapter"};

struct Factors {
  const AdapterTensor* a = nullptr;
  const AdapterTensor* b = nullptr;
  const AdapterTensor* magnitude = nullptr;
  double scale = 0;
};

// Both factors or an error; the rank they share must be the one the configuration names.
Result<Factors> UsePair(const AdapterModule& module, std::string_view a_role,
                        std::string_view b_role, AdapterPlanner* planner) {
  Factors factors;
  factors.a = planner->Use(module, a_role);
  factors.b = planner->Use(module, b_role);
  factors.magnitude = planner->Use(module, "lora_magnitude_vector");
  if (factors.a == nullptr || factors.b == nullptr) {
    const AdapterTensor& other = module.tensors.begin()->second;
    return planner->Fail(StatusCode::kCorrupt, other,
                         "has no partner: '" + module.name + "' needs " + std::string(a_role) +
                             " and " + std::string(b_role));
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(module.pattern_name()));
  const TensorInfo& a = factors.a->entry->info;
  const TensorInfo& b = factors.b->entry->info;
  if (a.shape.size() < 2 || b.shape.size() != a.shape.size() || a.shape[0] != b.shape[1]) {
    return planner->Fail(
        StatusCode::kMismatch, *factors.b,
        "of shape " + b.ShapeText() + " does not fit '" + a.name + "' of shape " + a.ShapeText());
  }
  if (a.shape[0] != rank) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         "has rank " + std::to_string(a.shape[0]) + ", but " +
                             planner->config().file + " gives it " + std::to_string(rank));
  }
  GRAFT_ASSIGN_OR_RETURN(factors.scale, planner->rules().ScaleOf(module.pattern_name()));
  if (planner->config().use_dora != (factors.magnitude != nullptr)) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         planner->config().use_dora
                             ? "has no lora_magnitude_vector, though use_dora is set"
                             : "comes with a lora_magnitude_vector, though use_dora is not set");
  }
  return factors;
}

// Hangs the update on `tensor`; `transposed` as LowRankFactors has it.
Status AddUpdate(const Factors& factors, bool transposed, PlannedTensor* tensor,
                 AdapterPlanner* planner) {
  const StoredFactor a = planner->Stored(*factors.a);
  const StoredFactor b = planner->Stored(*factors.b);
  LowRankFactors low_rank =
      transposed ? TransposedFactors(a, b, factors.scale) : ProductFactors(a, b, factors.scale);
  const int64_t rank = low_rank.rank;
  if (factors.magnitude == nullptr) {
    planner->Add(tensor, std::make_unique<LowRankRows>(std::move(low_rank)));
    return planner->NoteModule(tensor, "lora", rank, factors.scale);
  }
  const int64_t outputs = transposed ? low_rank.columns : tensor->info.rows();
  if (factors.magnitude->elements() != outputs) {
    return planner->Fail(StatusCode::kMismatch, *factors.magnitude,
                         "has " + std::to_string(factors.magnitude->elements()) +
                             " magnitudes for " + std::to_string(outputs) + " outputs of '" +
                             tensor->info.name + "'");
  }
  const StoredFactor magnitude = planner->Stored(*factors.magnitude);
  if (transposed) {
    RowReader before = planner->ReaderSoFar(tensor);
    planner->Add(tensor, std::make_unique<DoraColumns>(std::move(low_rank), magnitude,
                                                       std::move(before), tensor->info.rows()));
  } else {
    planner->Add(tensor, std::make_unique<DoraRows>(std::move(low_rank), magnitude));
  }
  return planner->NoteModule(tensor, "dora", rank, factors.scale);
}

Status PlanEmbedding(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors,
                         UsePair(module, "lora_embedding_A", "lora_embedding_B", planner));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor,
                         planner->Tensor(module.name, "weight", *factors.a));
  const std::vector<int64_t> wanted = {factors.a->entry->info.row_elements(),
                                       factors.b->entry->info.rows()};
  if (tensor->info.shape != wanted) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         "of shape " + factors.a->entry->info.ShapeText() +
                             " does not fit the base's embedding '" + tensor->info.name + "' " +
                             tensor->info.ShapeText() +
                             planner->VocabularyHint(*tensor, wanted[0]));
  }
  return AddUpdate(factors, true, tensor, planner);
}

// A kernel of k x k is a product over its flattened window; only B's window must be a point.
Status PlanConvolution(const Factors& factors, PlannedTensor* tensor, AdapterPlanner* planner) {
  const TensorInfo& a = factors.a->entry->info;
  const TensorInfo& b = factors.b->entry->info;
  std::vector<int64_t> wanted = a.shape;
  wanted[0] = b.shape[0];
  if (tensor->info.shape != wanted || b.row_elements() != b.shape[1]) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         "of shape " + a.ShapeText() + " with B " + b.ShapeText() +
                             " does not fit the base's '" + tensor->info.name + "' " +
                             tensor->info.ShapeText() +
                             " (a convolution in groups cannot be merged)");
  }
  return AddUpdate(factors, false, tensor, planner);
}

// BD-LoRA keeps one factor as the blocks of its diagonal; its sizes say which.
Status PlanBlocks(const AdapterModule& module, AdapterPlanner* planner) {
  const int64_t blocks = planner->config().block_diagonal_blocks;
  const AdapterTensor* a = planner->Use(module, "lora_A");
  const AdapterTensor* b = planner->Use(module, "lora_B");
  if (a == nullptr || b == nullptr) {
    return planner->Fail(StatusCode::kCorrupt, module.tensors.begin()->second, "has no partner");
  }
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *a));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(module.pattern_name()));
  const std::vector<int64_t>& shape = tensor->info.shape;
  const std::vector<int64_t>& a_shape = a->entry->info.shape;
  const std::vector<int64_t>& b_shape = b->entry->info.shape;
  const bool matrices = shape.size() == 2 && a_shape.size() == 2 && b_shape.size() == 2 &&
                        a_shape[0] == rank && b_shape[0] == shape[0];
  const int64_t blocks_a = matrices && a_shape[1] != shape[1] ? blocks : 1;
  const int64_t blocks_b = matrices && b_shape[1] != rank ? blocks : 1;
  if (!matrices || a_shape[1] * blocks_a != shape[1] || b_shape[1] * blocks_b != rank ||
      rank % blocks_a != 0 || shape[0] % blocks_b != 0) {
    return planner->Fail(StatusCode::kMismatch, *a,
                         "of shape " + a->entry->info.ShapeText() + " with B " +
                             b->entry->info.ShapeText() + " in " + std::to_string(blocks) +
                             " blocks does not fit the base's '" + tensor->info.name + "' " +
                             tensor->info.ShapeText());
  }
  GRAFT_ASSIGN_OR_RETURN(const double scale, planner->rules().ScaleOf(module.pattern_name()));
  planner->Add(tensor, std::make_unique<LowRankRows>(BlockFactors(
                           planner->Stored(*a), blocks_a, planner->Stored(*b), blocks_b, scale)));
  return planner->NoteModule(tensor, "bdlora", rank, scale);
}

// An attention layer of PyTorch's own keeps query, key and value in one parameter without a module.
Result<PlannedTensor*> WeightOf(const AdapterModule& module, const AdapterTensor& user,
                                AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, planner->BaseTensor(module.name, "weight"));
  if (weight == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* joint,
                           planner->BaseTensor(module.name, "in_proj_weight"));
    if (joint != nullptr) return planner->Tensor(module.name, "in_proj_weight", user);
  }
  return planner->Tensor(module.name, "weight", user);
}

// Rows of a base's tensor that newer releases have as a layer of its own.
struct FusedPart {
  std::string tensor;  // its module
  std::string_view name;
  int64_t index = 0;  // of three parts
};

// Query, key and value of Nomic BERT, whose checkpoints keep them in one matrix.
std::optional<FusedPart> FusedPartOf(std::string_view module) {
  constexpr std::string_view kParts[] = {"q_proj", "k_proj", "v_proj"};
  constexpr std::string_view kNewer = "self_attn.";
  for (int64_t i = 0; i < 3; ++i) {
    const std::string_view part = kParts[i];
    const std::string ending = std::string(kNewer) + std::string(part);
    if (!module.ends_with(ending)) continue;
    const std::string_view before = module.substr(0, module.size() - ending.size());
    return FusedPart{std::string(before) + "attn.Wqkv", part, i};
  }
  return std::nullopt;
}

// Whether `module` is such a part of the base, and was planned.
Result<bool> PlanFusedPart(const AdapterModule& module, const Factors& factors,
                           AdapterPlanner* planner) {
  const std::optional<FusedPart> part = FusedPartOf(module.name);
  if (!part) return false;
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* own, planner->BaseTensor(module.name, "weight"));
  if (own != nullptr) return false;
  GRAFT_ASSIGN_OR_RETURN(const TensorInfo* whole, planner->BaseTensor(part->tensor, "weight"));
  if (whole == nullptr) return false;
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor,
                         planner->Tensor(part->tensor, "weight", *factors.a));
  const int64_t rows = tensor->info.rows() / 3;
  const TensorInfo& a = factors.a->entry->info;
  const TensorInfo& b = factors.b->entry->info;
  if (tensor->info.shape.size() != 2 || tensor->info.rows() % 3 != 0 || a.shape.size() != 2 ||
      a.shape[1] != tensor->info.shape[1] || b.shape[0] != rows ||
      (factors.magnitude != nullptr && factors.magnitude->elements() != rows)) {
    return planner->Fail(StatusCode::kMismatch, *factors.b,
                         "of shape " + b.ShapeText() + " does not fit a third of the base's '" +
                             tensor->info.name + "' " + tensor->info.ShapeText());
  }
  LowRankFactors low_rank =
      ProductFactors(planner->Stored(*factors.a), planner->Stored(*factors.b), factors.scale);
  const int64_t rank = low_rank.rank;
  std::unique_ptr<RowUpdate> update;
  if (factors.magnitude == nullptr) {
    update = std::make_unique<LowRankRows>(std::move(low_rank));
  } else {
    update = std::make_unique<DoraRows>(std::move(low_rank), planner->Stored(*factors.magnitude));
  }
  planner->Add(tensor, std::make_unique<PartOfRows>(std::move(update), part->index * rows, rows));
  const char* kind = factors.magnitude == nullptr ? "lora" : "dora";
  GRAFT_RETURN_IF_ERROR(planner->NotePart(tensor, part->name, kind, rank, factors.scale));
  return true;
}

Status PlanLinear(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors, UsePair(module, "lora_A", "lora_B", planner));
  GRAFT_ASSIGN_OR_RETURN(const bool is_part, PlanFusedPart(module, factors, planner));
  if (is_part) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, WeightOf(module, *factors.a, planner));
  if (factors.a->entry->info.shape.size() > 2) {
    GRAFT_RETURN_IF_ERROR(PlanConvolution(factors, tensor, planner));
  } else {
    GRAFT_ASSIGN_OR_RETURN(
        const bool transposed,
        planner->IsTransposed(*tensor, module.name, factors.b->entry->info.rows(),
                              factors.a->entry->info.row_elements(), *factors.a));
    GRAFT_RETURN_IF_ERROR(AddUpdate(factors, transposed, tensor, planner));
  }
  const AdapterTensor* bias = planner->Use(module, "lora_B.bias");
  if (bias == nullptr) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * vector, planner->TensorIfThere(module.name, "bias"));
  if (vector == nullptr) {
    return planner->Fail(StatusCode::kUnsupported, *bias,
                         "is a bias for '" + tensor->info.name +
                             "', which has none in the base to add it to: the base has no "
                             "tensor '" +
                             module.name + ".bias'");
  }
  if (vector->info.shape != bias->entry->info.shape) {
    return planner->FailShape(*bias, *vector);
  }
  planner->Add(vector, std::make_unique<AddVector>(&planner->adapter().weights(), bias->entry,
                                                   factors.scale));
  if (vector->kind.empty()) vector->kind = "lora_bias";
  vector->scale = factors.scale;
  return OkStatus();
}

Status PlanFactors(const AdapterModule& module, AdapterPlanner* planner) {
  if (module.Has("lora_embedding_A") || module.Has("lora_embedding_B"))
    return PlanEmbedding(module, planner);
  if (!module.Has("lora_A") && !module.Has("lora_B")) return OkStatus();
  if (planner->config().block_diagonal_blocks > 0) return PlanBlocks(module, planner);
  return PlanLinear(module, planner);
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_RETURN_IF_ERROR(PlanTokens(module, planner));
  if (!planner->config().target_parameters.empty() && module.Has("lora_A")) {
    GRAFT_ASSIGN_OR_RETURN(const TensorInfo* weight, planner->BaseTensor(module.name, "weight"));
    // Granite's experts are the weight of a module.
    const bool stacked = weight != nullptr && weight->shape.size() == 3 &&
                         module.Find("lora_A")->entry->info.shape.size() == 2;
    if (weight == nullptr || stacked) return PlanParameter(module, planner);
  }
  if (module.Has("lora_A")) {
    GRAFT_ASSIGN_OR_RETURN(const bool planned, PlanStackedExpert(module, planner));
    if (planned) return OkStatus();
  }
  return PlanFactors(module, planner);
}

}  // namespace

extern constinit const PlannedKind kLoraKind = {{AdapterType::kLora, "LORA", "lora", kRoles, {}},
                                                Plan};

}  // namespace graft::converter
