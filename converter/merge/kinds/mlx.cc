// SPDX-License-Identifier: Apache-2.0
// mlx-lm's LoRA and DoRA on linear layers and embeddings: the factors lie the other way round, and
// the scale is the multiplier itself.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/dora.h"
#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

// Embeddings, whose rows are outputs and inputs alike, by what models call them.
bool IsEmbedding(std::string_view module) {
  const size_t dot = module.rfind('.');
  const std::string_view name = module.substr(dot == std::string_view::npos ? 0 : dot + 1);
  return name.find("embed") != std::string_view::npos || name == "wte" || name == "wpe";
}

struct Factors {
  const AdapterTensor* a = nullptr;  // [in_features, rank]
  const AdapterTensor* b = nullptr;  // [rank, out_features]
  const AdapterTensor* magnitude = nullptr;
};

Result<Factors> UseFactors(const AdapterModule& module, AdapterPlanner* planner) {
  const AdapterConfig& config = planner->config();
  const AdapterTensor& any = module.tensors.begin()->second;
  if (config.whole_tensors) {
    return planner->Fail(
        StatusCode::kMismatch, any,
        "belongs to a low-rank adapter, but " + config.file + " has the fine_tune_type full");
  }
  Factors factors{planner->Use(module, "lora_a"), planner->Use(module, "lora_b"),
                  planner->Use(module, "m")};
  if (factors.a == nullptr || factors.b == nullptr) {
    return planner->Fail(StatusCode::kCorrupt, any,
                         "has no partner: '" + module.name + "' needs lora_a and lora_b");
  }
  const std::vector<int64_t>& a = factors.a->shape();
  const std::vector<int64_t>& b = factors.b->shape();
  if (a.size() == 3 && b.size() == 3) {
    return planner->Fail(
        StatusCode::kUnsupported, *factors.a,
        "of shape " + factors.a->entry->info.ShapeText() +
            " updates a mixture's stack of experts; fuse it with mlx_lm.fuse first");
  }
  if (a.size() != 2 || b.size() != 2 || a[1] != b[0]) {
    return planner->Fail(StatusCode::kMismatch, *factors.b,
                         "of shape " + factors.b->entry->info.ShapeText() + " does not fit '" +
                             factors.a->entry->info.name + "' of shape " +
                             factors.a->entry->info.ShapeText());
  }
  if (a[1] != config.rank) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         "has rank " + std::to_string(a[1]) + ", but " + config.file +
                             " gives it " + std::to_string(config.rank));
  }
  if (config.use_dora != (factors.magnitude != nullptr)) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         config.use_dora
                             ? "has no magnitudes 'm', though the fine_tune_type is dora"
                             : "comes with magnitudes 'm', though the fine_tune_type is not dora");
  }
  return factors;
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors, UseFactors(module, planner));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor,
                         planner->Tensor(module.name, "weight", *factors.a));
  const int64_t inputs = factors.a->shape()[0];
  const int64_t outputs = factors.b->shape()[1];
  const bool embedding = IsEmbedding(module.name);
  bool transposed = embedding;  // stored [inputs, outputs]
  if (!embedding) {
    GRAFT_ASSIGN_OR_RETURN(
        transposed, planner->IsTransposed(*tensor, module.name, outputs, inputs, *factors.a));
  } else if (tensor->info.shape != std::vector<int64_t>{inputs, outputs}) {
    return planner->Fail(StatusCode::kMismatch, *factors.a,
                         "of shape " + factors.a->entry->info.ShapeText() +
                             " does not fit the base's embedding '" + tensor->info.name + "' " +
                             tensor->info.ShapeText());
  }

  const double scale = planner->config().scale;
  const StoredFactor a = planner->Stored(*factors.a);
  const StoredFactor b = planner->Stored(*factors.b);
  LowRankFactors low_rank =
      transposed ? ProductFactors(b, a, scale) : TransposedFactors(b, a, scale);
  const int64_t rank = low_rank.rank;
  if (factors.magnitude == nullptr) {
    planner->Add(tensor, std::make_unique<LowRankRows>(std::move(low_rank)));
    return planner->NoteModule(tensor, "lora", rank, scale);
  }
  // An embedding has a magnitude for each token, all other layers for each output.
  const int64_t magnitudes = embedding ? inputs : outputs;
  if (factors.magnitude->elements() != magnitudes) {
    return planner->Fail(StatusCode::kMismatch, *factors.magnitude,
                         "has " + std::to_string(factors.magnitude->elements()) +
                             " magnitudes for " + std::to_string(magnitudes) +
                             (embedding ? " rows of '" : " outputs of '") + tensor->info.name +
                             "'");
  }
  const StoredFactor magnitude = planner->Stored(*factors.magnitude);
  if (transposed && !embedding) {
    RowReader before = planner->ReaderSoFar(tensor);
    planner->Add(tensor, std::make_unique<DoraColumns>(std::move(low_rank), magnitude,
                                                       std::move(before), tensor->info.rows()));
  } else {
    planner->Add(tensor, std::make_unique<DoraRows>(std::move(low_rank), magnitude));
  }
  return planner->NoteModule(tensor, "dora", rank, scale);
}

}  // namespace

extern constinit const PlannedKind kMlxKind = {{AdapterType::kMlx, "", "mlx", {}, {}}, Plan};

}  // namespace graft::converter
