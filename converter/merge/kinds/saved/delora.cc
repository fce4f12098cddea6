// SPDX-License-Identifier: Apache-2.0
// DeLoRA: a low-rank change whose directions are normalised, of a trained strength.
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"delora_A", "delora_B", "delora_lambda", "delora_w_norm"};
// The file's own lambda is the trained one.
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"rank_pattern", 0, SettingUse::kRead, ""},
    {"delora_lambda", 0, SettingUse::kIgnored, ""},
    {"lambda_pattern", 0, SettingUse::kIgnored, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"module_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

struct Parts {
  StoredFactor a;       // [rank, inputs]
  StoredFactor b;       // [outputs, rank]
  StoredFactor lambda;  // one number
  StoredFactor norms;   // [inputs]
};

// diag(lambda / rank / (|A_k| |B_k|)) A diag(norms).
// Source   Bini et al. 2025, "Decoupling Angles and Strength in Low-rank Adaptation".
Status FillRight(const Parts& parts, std::span<double> out) {
  constexpr double kLeastLength = 1e-4;
  std::vector<double> b, lambda, norms;
  GRAFT_RETURN_IF_ERROR(ReadAll(parts.b, &b));
  GRAFT_RETURN_IF_ERROR(ReadAll(parts.lambda, &lambda));
  GRAFT_RETURN_IF_ERROR(ReadAll(parts.norms, &norms));
  GRAFT_RETURN_IF_ERROR(parts.a.file->ReadElements(*parts.a.entry, 0, out));
  const size_t rank = static_cast<size_t>(parts.a.entry->info.rows());
  const size_t inputs = norms.size();
  for (size_t k = 0; k < rank; ++k) {
    const std::span<double> row = out.subspan(k * inputs, inputs);
    double of_a = 0;
    double of_b = 0;
    for (const double value : row) of_a += value * value;
    for (size_t i = k; i < b.size(); i += rank) of_b += b[i] * b[i];
    const double lengths =
        std::max(std::sqrt(of_a), kLeastLength) * std::max(std::sqrt(of_b), kLeastLength);
    const double strength = lambda[0] / static_cast<double>(rank) / lengths;
    for (size_t i = 0; i < inputs; ++i) row[i] *= strength * norms[i];
  }
  return OkStatus();
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "delora_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "delora_B"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda, planner->Need(module, "delora_lambda"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* norms, planner->Need(module, "delora_w_norm"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *a, TransposedLayers::kRefused, planner));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, planner->rules().RankOf(module.pattern_name()));
  if (!HasShape(*a, {rank, layer.inputs})) {
    return planner->Fail(StatusCode::kMismatch, *a,
                         "of shape " + a->entry->info.ShapeText() + " does not fit the base's '" +
                             layer.weight->info.name + "' " + layer.weight->info.ShapeText() +
                             " at the rank " + std::to_string(rank) + " that " +
                             planner->config().file + " gives it");
  }
  if (!HasShape(*b, {layer.outputs, rank})) return planner->FailShape(*b, *layer.weight);
  if (lambda->elements() != 1) return planner->FailShape(*lambda, *layer.weight);
  if (!HasShape(*norms, {layer.inputs})) return planner->FailShape(*norms, *layer.weight);
  const Parts parts{planner->Stored(*a), planner->Stored(*b), planner->Stored(*lambda),
                    planner->Stored(*norms)};
  LowRankFactors factors = ProductFactors(parts.a, parts.b, 1);
  factors.exact_products = false;
  factors.read_right = [parts](std::span<double> out) { return FillRight(parts, out); };
  AddLowRankChange(layer, std::move(factors), planner);
  return planner->NoteModule(layer.weight, "delora", rank, 1);
}

}  // namespace

extern constinit const PlannedKind kDeloraKind = {
    {AdapterType::kOther, "DELORA", "delora", kRoles, kSettings}, Plan};

}  // namespace graft::converter
