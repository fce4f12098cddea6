// SPDX-License-Identifier: Apache-2.0
// mlx-lm's LoRA and DoRA on linear layers and embeddings: the factors lie the other way round, and
// the scale is the multiplier itself.
#include <memory>
#include <string>

#include "converter/merge/merge_plan.h"
#include "converter/merge/updates/dora.h"
#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {
namespace {

StoredFactor Stored(const MergePlan& plan, const AdapterTensor& tensor) {
  return {&plan.adapter().weights(), tensor.entry};
}

const std::vector<int64_t>& Shape(const AdapterTensor& tensor) { return tensor.entry->info.shape; }

int64_t Elements(const AdapterTensor& tensor) {
  return tensor.entry->info.rows() * tensor.entry->info.row_elements();
}

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

Result<Factors> UseFactors(const AdapterModule& module, const MergePlan& plan) {
  const AdapterFile& adapter = plan.adapter();
  const AdapterConfig& config = adapter.config();
  const AdapterTensor& any = module.tensors.begin()->second;
  if (config.whole_tensors) {
    return adapter.Fail(
        StatusCode::kMismatch, any,
        "belongs to a low-rank adapter, but " + config.file + " has the fine_tune_type full");
  }
  Factors factors{module.Use("lora_a"), module.Use("lora_b"), module.Use("m")};
  if (factors.a == nullptr || factors.b == nullptr) {
    return adapter.Fail(StatusCode::kCorrupt, any,
                        "has no partner: '" + module.name + "' needs lora_a and lora_b");
  }
  const std::vector<int64_t>& a = Shape(*factors.a);
  const std::vector<int64_t>& b = Shape(*factors.b);
  if (a.size() == 3 && b.size() == 3) {
    return adapter.Fail(
        StatusCode::kUnsupported, *factors.a,
        "of shape " + factors.a->entry->info.ShapeText() +
            " updates a mixture's stack of experts; fuse it with mlx_lm.fuse first");
  }
  if (a.size() != 2 || b.size() != 2 || a[1] != b[0]) {
    return adapter.Fail(StatusCode::kMismatch, *factors.b,
                        "of shape " + factors.b->entry->info.ShapeText() + " does not fit '" +
                            factors.a->entry->info.name + "' of shape " +
                            factors.a->entry->info.ShapeText());
  }
  if (a[1] != config.rank) {
    return adapter.Fail(StatusCode::kMismatch, *factors.a,
                        "has rank " + std::to_string(a[1]) + ", but " + config.file + " gives it " +
                            std::to_string(config.rank));
  }
  if (config.use_dora != (factors.magnitude != nullptr)) {
    return adapter.Fail(StatusCode::kMismatch, *factors.a,
                        config.use_dora
                            ? "has no magnitudes 'm', though the fine_tune_type is dora"
                            : "comes with magnitudes 'm', though the fine_tune_type is not dora");
  }
  return factors;
}

}  // namespace

Status PlanMlx(const AdapterModule& module, MergePlan* plan) {
  GRAFT_ASSIGN_OR_RETURN(const Factors factors, UseFactors(module, *plan));
  const AdapterFile& adapter = plan->adapter();
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, plan->Tensor(module.name, "weight", *factors.a));
  const int64_t inputs = Shape(*factors.a)[0];
  const int64_t outputs = Shape(*factors.b)[1];
  const bool embedding = IsEmbedding(module.name);
  bool transposed = embedding;  // stored [inputs, outputs]
  if (!embedding) {
    GRAFT_ASSIGN_OR_RETURN(transposed,
                           plan->IsTransposed(*tensor, module.name, outputs, inputs, *factors.a));
  } else if (tensor->info.shape != std::vector<int64_t>{inputs, outputs}) {
    return adapter.Fail(StatusCode::kMismatch, *factors.a,
                        "of shape " + factors.a->entry->info.ShapeText() +
                            " does not fit the base's embedding '" + tensor->info.name + "' " +
                            tensor->info.ShapeText());
  }

  const double scale = adapter.config().scale;
  const StoredFactor a = Stored(*plan, *factors.a);
  const StoredFactor b = Stored(*plan, *factors.b);
  LowRankFactors low_rank =
      transposed ? ProductFactors(b, a, scale) : TransposedFactors(b, a, scale);
  const int64_t rank = low_rank.rank;
  std::vector<std::unique_ptr<RowUpdate>>& updates = plan->Part(tensor).updates;
  if (factors.magnitude == nullptr) {
    updates.push_back(std::make_unique<LowRankRows>(std::move(low_rank)));
    return plan->NoteModule(tensor, "lora", rank, scale);
  }
  // An embedding has a magnitude for each token, all other layers for each output.
  const int64_t magnitudes = embedding ? inputs : outputs;
  if (Elements(*factors.magnitude) != magnitudes) {
    return adapter.Fail(StatusCode::kMismatch, *factors.magnitude,
                        "has " + std::to_string(Elements(*factors.magnitude)) + " magnitudes for " +
                            std::to_string(magnitudes) +
                            (embedding ? " rows of '" : " outputs of '") + tensor->info.name + "'");
  }
  const StoredFactor magnitude = Stored(*plan, *factors.magnitude);
  if (transposed && !embedding) {
    RowReader before = plan->ReaderSoFar(tensor);
    updates.push_back(std::make_unique<DoraColumns>(std::move(low_rank), magnitude,
                                                    std::move(before), tensor->info.rows()));
  } else {
    updates.push_back(std::make_unique<DoraRows>(std::move(low_rank), magnitude));
  }
  return plan->NoteModule(tensor, "dora", rank, scale);
}

}  // namespace graft::converter
