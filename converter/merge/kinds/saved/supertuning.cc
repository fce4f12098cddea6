// SPDX-License-Identifier: Apache-2.0
// SuperTuning: the largest numbers of a weight were trained, and perhaps a low-rank change beside
// them.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/places.h"
#include "converter/merge/updates/sparse_rows.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"supertuning_values", "supertuning_indices",
                                       "supertuning_lora_A", "supertuning_lora_B"};
constexpr std::string_view kIndexRoles[] = {"supertuning_indices"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"lora_alpha", 0, SettingUse::kRead, ""},
    {"select_top", 0, SettingUse::kRead, ""},
    {"sparsity", 0, SettingUse::kIgnored, ""},  // the values are as many as it asks for
    {"save_precomputed_indices", 0, SettingUse::kIgnored, ""},
    {"lora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// The places of the `count` largest or smallest sizes in a weight, beginning with the most extreme;
// of two alike the first one comes first.
Status ExtremePlaces(const RowReader& weight, const LinearLayer& layer, size_t count, bool largest,
                     std::vector<int64_t>* places) {
  using Place = std::pair<double, int64_t>;  // what is more extreme compares as less
  std::vector<Place> kept;                   // a heap, with the least extreme in front
  kept.reserve(count);
  GRAFT_RETURN_IF_ERROR(VisitRows(
      weight, layer.outputs, layer.inputs, [&](int64_t row_begin, std::span<const double> block) {
        int64_t place = row_begin * layer.inputs;
        for (const double value : block) {
          const Place one(largest ? -std::fabs(value) : std::fabs(value), place++);
          if (kept.size() == count) {
            if (count == 0 || !(one < kept.front())) continue;
            std::pop_heap(kept.begin(), kept.end());
            kept.pop_back();
          }
          kept.push_back(one);
          std::push_heap(kept.begin(), kept.end());
        }
      }));
  std::sort_heap(kept.begin(), kept.end());
  for (const Place& place : kept) places->push_back(place.second);
  return OkStatus();
}

Status PlanLowRank(const AdapterModule& module, const LinearLayer& layer, AdapterPlanner* planner,
                   int64_t* rank) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(*rank, root.GetIntIn("r", 0, 1 << 20, 0));
  if (*rank == 0) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const double alpha,
                         root.GetDouble("lora_alpha", 2 * static_cast<double>(*rank)));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "supertuning_lora_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "supertuning_lora_B"));
  if (!HasShape(*a, {*rank, layer.inputs})) return planner->FailShape(*a, *layer.weight);
  if (!HasShape(*b, {layer.outputs, *rank})) return planner->FailShape(*b, *layer.weight);
  AddLowRankChange(
      layer,
      ProductFactors(planner->Stored(*a), planner->Stored(*b), alpha / static_cast<double>(*rank)),
      planner);
  return OkStatus();
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* values, planner->Need(module, "supertuning_values"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *values, TransposedLayers::kRefused, planner));
  GRAFT_ASSIGN_OR_RETURN(const bool largest, root.GetBool("select_top", true));
  const AdapterTensor* places = planner->Use(module, "supertuning_indices");
  const int64_t count = values->elements();
  const int64_t numbers = layer.outputs * layer.inputs;
  if (!HasShape(*values, {count}) || count > numbers) {
    return planner->FailShape(*values, *layer.weight);
  }
  if (places != nullptr && !HasShape(*places, {count})) {
    return planner->FailShape(*places, *layer.weight);
  }
  const StoredFactor stored_values = planner->Stored(*values);
  const StoredFactor stored_places = places != nullptr ? planner->Stored(*places) : StoredFactor{};
  AddSparse::Read read =
      [stored_values, stored_places, layer, numbers, largest,
       weight = planner->ReaderSoFar(layer.weight)](std::vector<SparseNumber>* out) -> Status {
    std::vector<double> added;
    std::vector<int64_t> at;
    GRAFT_RETURN_IF_ERROR(ReadAll(stored_values, &added));
    if (stored_places.entry != nullptr) {
      GRAFT_RETURN_IF_ERROR(ReadPlaces(stored_places, numbers, &at));
    } else {
      GRAFT_RETURN_IF_ERROR(ExtremePlaces(weight, layer, added.size(), largest, &at));
    }
    for (size_t i = 0; i < added.size(); ++i) {
      out->push_back({at[i] / layer.inputs, at[i] % layer.inputs, added[i]});
    }
    return OkStatus();
  };
  planner->Add(layer.weight, std::make_unique<AddSparse>(layer.inputs, std::move(read)));
  int64_t rank = 0;
  GRAFT_RETURN_IF_ERROR(PlanLowRank(module, layer, planner, &rank));
  return planner->NoteModule(layer.weight, "supertuning", rank, 1);
}

}  // namespace

extern constinit const PlannedKind kSupertuningKind = {
    {AdapterType::kOther, "SUPERTUNING", "supertuning", kRoles, kSettings, {}, kIndexRoles}, Plan};

}  // namespace graft::converter
