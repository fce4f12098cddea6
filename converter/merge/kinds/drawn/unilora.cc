// SPDX-License-Identifier: Apache-2.0
// UniLoRA: all numbers of all factors are picked from one short vector, at random.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/module_order.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/places.h"
#include "converter/merge/plan/tie_settler.h"
#include "converter/merge/random/numpy_generator.h"

namespace graft::converter {
namespace {

constexpr std::string_view kVector = "unilora_theta_d";
constexpr std::string_view kRoles[] = {kVector, "unilora_indices_A", "unilora_indices_B",
                                       "unilora_scales_A", "unilora_scales_B"};
constexpr std::string_view kIndexRoles[] = {"unilora_indices_A", "unilora_indices_B"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"proj_seed", 0, SettingUse::kRead, ""},
    {"save_indices", 0, SettingUse::kRead, ""},
    {"theta_d_length", 0, SettingUse::kIgnored, ""},  // the vector is as long
    {"bias", 0, SettingUse::kRead, ""},
    {"init_theta_d_bound", 0, SettingUse::kIgnored, ""},
    {"unilora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// One factor as it is stored: which number of the vector each of its is, and what that is scaled by.
struct StoredPicks {
  StoredFactor vector;
  StoredFactor indices;
  StoredFactor scales;

  Status Read(std::span<double> out) const {
    std::vector<double> numbers;
    std::vector<int64_t> places;
    GRAFT_RETURN_IF_ERROR(ReadAll(vector, &numbers));
    GRAFT_RETURN_IF_ERROR(ReadPlaces(indices, static_cast<int64_t>(numbers.size()), &places));
    GRAFT_RETURN_IF_ERROR(scales.file->ReadElements(*scales.entry, 0, out));
    for (size_t i = 0; i < out.size(); ++i) out[i] *= numbers[static_cast<size_t>(places[i])];
    return OkStatus();
  }
};

// The picks of all modules, drawn when the first one is asked for.
// Thread   safe.
class DrawnPicks {
 public:
  DrawnPicks(StoredFactor vector, uint64_t seed, uint64_t total)
      : vector_(vector), seed_(seed), total_(total) {}

  // Numbers [first, first + out.size()) of all factors, one after another.
  Status Read(uint64_t first, std::span<double> out) const {
    std::call_once(once_, [this] { drawn_ = Draw(); });
    GRAFT_RETURN_IF_ERROR(drawn_);
    for (size_t i = 0; i < out.size(); ++i) out[i] = numbers_[picks_[first + i]];
    return OkStatus();
  }

 private:
  // Each number is used as often as the others, or once more, and scaled by the root of that.
  Status Draw() const {
    GRAFT_RETURN_IF_ERROR(ReadAll(vector_, &numbers_));
    const uint32_t count = static_cast<uint32_t>(numbers_.size());
    picks_.reserve(static_cast<size_t>(total_));
    for (uint32_t i = 0; i < count; ++i) picks_.insert(picks_.end(), total_ / count, i);
    NumpyGenerator generator(seed_);
    const uint32_t rest = static_cast<uint32_t>(total_ % count);
    if (rest > 0) {
      const std::vector<uint32_t> chosen = generator.Choice(count, rest);
      picks_.insert(picks_.end(), chosen.begin(), chosen.end());
    }
    generator.Shuffle(picks_);
    std::vector<double> uses(count, 0.0);
    for (const uint32_t pick : picks_) ++uses[pick];
    for (size_t i = 0; i < count; ++i) {
      if (uses[i] > 0) numbers_[i] /= std::sqrt(uses[i]);
    }
    return OkStatus();
  }

  StoredFactor vector_;
  uint64_t seed_;
  uint64_t total_;
  mutable std::once_flag once_;
  mutable Status drawn_;
  mutable std::vector<double> numbers_;  // scaled
  mutable std::vector<uint32_t> picks_;
};

Status PlanLayer(const LinearLayer& layer, int64_t rank, PreparedMatrix::Fill a,
                 PreparedMatrix::Fill b, AdapterPlanner* planner) {
  LowRankFactors factors;
  factors.rank = rank;
  factors.columns = layer.inputs;
  factors.exact_products = false;
  factors.read_right = std::move(a);
  factors.read_left = WholeFactor(layer.outputs, rank, std::move(b));
  AddLowRankChange(layer, std::move(factors), planner);
  return planner->NoteModule(layer.weight, "unilora", rank, 1);
}

// The modules that the configuration names, as the adapter would call them.
Result<std::vector<std::string>> FindTargets(const AdapterTensor& vector, AdapterPlanner* planner) {
  std::vector<std::string> modules, names;
  if (!planner->rules().names_targets()) {
    return planner->Fail(StatusCode::kUnsupported, vector,
                         "is for modules that nothing names: save the adapter with "
                         "save_indices=true");
  }
  const auto add = [&](const std::string& module) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const bool targeted, planner->rules().Targets(module));
    if (targeted && !planner->rules().IsSavedModule(module)) modules.push_back(module);
    return OkStatus();
  };
  for (const TensorInfo& info : planner->base().tensors()) {
    const std::string name = planner->AdapterNameOf(info.name);
    names.push_back(name);
    const std::string module(ModuleOfWeight(name));
    if (info.shape.size() == 2 && !module.empty() && IsFloat(info.dtype)) {
      GRAFT_RETURN_IF_ERROR(add(module));
    }
  }
  const TiedEmbeddings& tie = planner->ties().names();
  if (tie.tied && !tie.has_head) {
    GRAFT_RETURN_IF_ERROR(add(std::string(ModuleOfWeight(tie.head))));
    names.push_back(tie.head);
  }
  auto order = InOrderOfModel(modules, names);
  if (order.ok()) return order;
  return planner->Fail(order.status().code(), vector,
                       "is dealt out to modules in their order, and " +
                           std::string(order.status().message()) +
                           "; save the adapter with save_indices=true");
}

// Picks for all modules at once: they are dealt out in the modules' order, to A and then to B.
Status PlanDrawn(const AdapterTensor& vector, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, root.GetIntIn("r", 1, 1 << 20, 4));
  GRAFT_ASSIGN_OR_RETURN(const int64_t seed, root.GetIntIn("proj_seed", 0, INT64_MAX, 42));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> targets, FindTargets(vector, planner));
  std::vector<LinearLayer> layers;
  uint64_t total = 0;
  uint64_t weights = 0;
  for (const std::string& name : targets) {
    AdapterModule module;
    module.name = name;
    GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                           FindLinear(module, vector, TransposedLayers::kTaken, planner));
    layers.push_back(layer);
    total += static_cast<uint64_t>(rank) * static_cast<uint64_t>(layer.inputs + layer.outputs);
    weights += static_cast<uint64_t>(layer.outputs) * static_cast<uint64_t>(layer.inputs);
  }
  if (layers.empty()) {
    return planner->Fail(StatusCode::kMismatch, vector,
                         "is for modules of which the base has none: " + planner->config().file +
                             " names them in target_modules");
  }
  // Factors many times as large as the layers are no adapter's.
  constexpr uint64_t kMostFactors = 16;
  if (total > UINT32_MAX || total > kMostFactors * weights || vector.elements() > UINT32_MAX) {
    return planner->Fail(StatusCode::kUnsupported, vector,
                         "would be dealt out to " + std::to_string(total) +
                             " numbers, which no adapter of these layers has");
  }
  const auto picks =
      std::make_shared<DrawnPicks>(planner->Stored(vector), static_cast<uint64_t>(seed), total);
  uint64_t first = 0;
  for (const LinearLayer& layer : layers) {
    const uint64_t second = first + static_cast<uint64_t>(rank * layer.inputs);
    GRAFT_RETURN_IF_ERROR(PlanLayer(
        layer, rank, [picks, first](std::span<double> out) { return picks->Read(first, out); },
        [picks, second](std::span<double> out) { return picks->Read(second, out); }, planner));
    first = second + static_cast<uint64_t>(rank * layer.outputs);
  }
  return OkStatus();
}

Status PlanStored(const AdapterModule& module, const AdapterTensor& vector,
                  AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "unilora_indices_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "unilora_indices_B"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a_scales, planner->Need(module, "unilora_scales_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b_scales, planner->Need(module, "unilora_scales_B"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *a, TransposedLayers::kTaken, planner));
  const int64_t rank = a->entry->info.rows();
  for (const AdapterTensor* tensor : {a, a_scales}) {
    if (rank == 0 || !HasShape(*tensor, {rank, layer.inputs})) {
      return planner->FailShape(*tensor, *layer.weight);
    }
  }
  for (const AdapterTensor* tensor : {b, b_scales}) {
    if (!HasShape(*tensor, {layer.outputs, rank})) {
      return planner->FailShape(*tensor, *layer.weight);
    }
  }
  const StoredPicks of_a{planner->Stored(vector), planner->Stored(*a), planner->Stored(*a_scales)};
  const StoredPicks of_b{planner->Stored(vector), planner->Stored(*b), planner->Stored(*b_scales)};
  return PlanLayer(
      layer, rank, [of_a](std::span<double> out) { return of_a.Read(out); },
      [of_b](std::span<double> out) { return of_b.Read(out); }, planner);
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const auto& modules = planner->adapter().modules();
  const auto top = modules.find("");
  const AdapterTensor* vector = top != modules.end() ? planner->Use(top->second, kVector) : nullptr;
  if (vector == nullptr || vector->elements() == 0) {
    return planner->Fail(StatusCode::kCorrupt, module.tensors.begin()->second,
                         "needs unilora_theta_d, which the file lacks");
  }
  if (!module.name.empty()) return PlanStored(module, *vector, planner);
  const bool stored = std::any_of(modules.begin(), modules.end(), [](const auto& other) {
    return other.second.Has("unilora_indices_A");
  });
  return stored ? OkStatus() : PlanDrawn(*vector, planner);
}

}  // namespace

extern constinit const PlannedKind kUniLoraKind = {
    {AdapterType::kOther, "UNILORA", "unilora", kRoles, kSettings, {}, kIndexRoles}, Plan};

}  // namespace graft::converter
