// SPDX-License-Identifier: Apache-2.0
// VeRA: vectors of each layer scale a product that all layers share. PVeRA: VeRA whose inner vector
// is a distribution. Its mean is what merges.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/projections.h"
#include "converter/merge/random/torch_generator.h"

namespace graft::converter {
namespace {

constexpr std::string_view kVeraRoles[] = {"vera_A", "vera_B", "vera_lambda_b", "vera_lambda_d"};
constexpr std::string_view kPveraRoles[] = {"pvera_A", "pvera_B", "pvera_lambda_b",
                                            "pvera_lambda_d"};
constexpr Setting kPveraSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"projection_prng_key", 0, SettingUse::kRead, ""},
    {"save_projection", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"sample_at_inference", 0, SettingUse::kRefused,
     "the adapter's outputs are then random, so no single set of weights equals it; set it to "
     "false "
     "to merge their mean"},
    {"generator_seed", 0, SettingUse::kIgnored, ""},
    {"d_initial", 0, SettingUse::kIgnored, ""},
    {"pvera_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// The roles of a kind, and how many vectors its inner one is: the mean and the deviation of PVeRA's.
struct Form {
  const std::string_view* roles;
  int64_t vectors;
};

struct Shared {
  Projection a;  // [vectors * rank, width]
  Projection b;  // [outputs or more, rank]
  int64_t width = 0;
};

Result<Shared> DrawShared(const Form& form, int64_t rank, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t seed,
                         planner->config().document->root().GetInt("projection_prng_key", 0));
  GRAFT_ASSIGN_OR_RETURN(const LargestLayer largest, FindLargest(form.roles[2], planner));
  // As many as the layers have weights, or as fit small ones many times.
  const int64_t most = std::max<int64_t>(1 << 24, 4 * largest.outputs * largest.inputs);
  if (rank > most / (form.vectors * largest.inputs + largest.outputs)) {
    return planner->config().document->root().Fail(
        "would need more random numbers than " + std::to_string(most), StatusCode::kUnsupported);
  }
  std::shared_ptr<void>* state = planner->kind_state();
  if (*state == nullptr) {
    *state = std::make_shared<DrawnPair>(
        [seed, rank, largest, vectors = form.vectors](DrawnPair::Numbers* numbers) {
          TorchGenerator generator(static_cast<uint64_t>(seed));
          const auto draw = [&generator](int64_t rows, int64_t columns, std::vector<float>* out) {
            const float bound = KaimingBound(columns, 0);
            out->resize(static_cast<size_t>(rows * columns));
            for (float& value : *out) value = generator.Uniform(-bound, bound);
          };
          draw(vectors * rank, largest.inputs, &numbers->a);
          draw(largest.outputs, rank, &numbers->b);
          return OkStatus();
        });
  }
  const auto drawn = std::static_pointer_cast<const DrawnPair>(*state);
  return Shared{Projection(drawn, false), Projection(drawn, true), largest.inputs};
}

// diag(lambda_b) B diag(lambda_d) A, of which PVeRA's means are the first rows.
// Source   Kopiczko et al. 2023, "VeRA: Vector-based Random Matrix Adaptation", equation 2.
LowRankFactors FactorsOf(const Shared& shared, StoredFactor lambda_b, StoredFactor lambda_d,
                         int64_t rank, int64_t inputs) {
  LowRankFactors factors;
  factors.rank = rank;
  factors.columns = inputs;
  factors.exact_products = false;
  factors.read_left = [shared, lambda_b, rank](int64_t begin, int64_t end, std::span<double> out,
                                               Workspace*) -> Status {
    GRAFT_RETURN_IF_ERROR(shared.b.Read(begin * rank, out));
    std::vector<double> scales(static_cast<size_t>(end - begin));
    GRAFT_RETURN_IF_ERROR(lambda_b.file->ReadElements(*lambda_b.entry, begin, scales));
    for (size_t i = 0; i < out.size(); ++i) out[i] *= scales[i / static_cast<size_t>(rank)];
    return OkStatus();
  };
  factors.read_right = [shared, lambda_d, rank, inputs](std::span<double> out) -> Status {
    std::vector<double> scales(static_cast<size_t>(rank));
    GRAFT_RETURN_IF_ERROR(lambda_d.file->ReadElements(*lambda_d.entry, 0, scales));
    for (int64_t k = 0; k < rank; ++k) {
      const std::span<double> row =
          out.subspan(static_cast<size_t>(k * inputs), static_cast<size_t>(inputs));
      GRAFT_RETURN_IF_ERROR(shared.a.Read(k * shared.width, row));
      for (double& value : row) value *= scales[static_cast<size_t>(k)];
    }
    return OkStatus();
  };
  return factors;
}

Status PlanShared(const AdapterModule& module, const Form& form, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  const auto& modules = planner->adapter().modules();
  // The projection lies at the top of the model and serves every layer.
  const auto top = modules.find("");
  const bool has_top = top != modules.end();
  const AdapterTensor* a = has_top ? planner->Use(top->second, form.roles[0]) : nullptr;
  const AdapterTensor* b = has_top ? planner->Use(top->second, form.roles[1]) : nullptr;
  if (module.name.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_b, planner->Need(module, form.roles[2]));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* lambda_d, planner->Need(module, form.roles[3]));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *lambda_b, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const bool saved, root.GetBool("save_projection", true));
  const int64_t rank = lambda_d->elements() / form.vectors;
  if (!HasShape(*lambda_b, {layer.outputs})) return planner->FailShape(*lambda_b, *layer.weight);
  if (rank == 0 || !HasShape(*lambda_d, {form.vectors * rank})) {
    return planner->FailShape(*lambda_d, *layer.weight);
  }
  Shared shared;
  if (a != nullptr && b != nullptr) {
    // It is as large as the largest layer needs.
    const bool fits = a->shape().size() == 2 && b->shape().size() == 2 &&
                      a->shape()[0] == form.vectors * rank && a->shape()[1] >= layer.inputs &&
                      b->shape()[0] >= layer.outputs && b->shape()[1] == rank;
    if (!fits) return planner->FailShape(*lambda_b, *layer.weight);
    shared = {Projection(planner->Stored(*a)), Projection(planner->Stored(*b)), a->shape()[1]};
  } else if (saved) {
    return planner->Fail(StatusCode::kUnsupported, *lambda_b,
                         "needs " + std::string(form.roles[0]) + " and " +
                             std::string(form.roles[1]) +
                             ", which the file lacks: it was saved without its projection, "
                             "though save_projection is set");
  } else {
    GRAFT_ASSIGN_OR_RETURN(shared, DrawShared(form, rank, planner));
  }
  AddLowRankChange(
      layer,
      FactorsOf(shared, planner->Stored(*lambda_b), planner->Stored(*lambda_d), rank, layer.inputs),
      planner);
  return planner->NoteModule(layer.weight, planner->config().kind->name, rank, 1);
}

Status PlanVera(const AdapterModule& module, AdapterPlanner* planner) {
  return PlanShared(module, {kVeraRoles, 1}, planner);
}

Status PlanPvera(const AdapterModule& module, AdapterPlanner* planner) {
  return PlanShared(module, {kPveraRoles, 2}, planner);
}

}  // namespace

extern constinit const PlannedKind kVeraKind = {
    {AdapterType::kVera, "VERA", "vera", kVeraRoles, {}}, PlanVera};
extern constinit const PlannedKind kPveraKind = {
    {AdapterType::kOther, "PVERA", "pvera", kPveraRoles, kPveraSettings}, PlanPvera};

}  // namespace graft::converter
