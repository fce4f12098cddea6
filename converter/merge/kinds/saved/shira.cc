// SPDX-License-Identifier: Apache-2.0
// SHiRA: single numbers of a weight were trained.
#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/places.h"
#include "converter/merge/random/torch_generator.h"
#include "converter/merge/updates/sparse_rows.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"shira_weight", "shira_indices"};
constexpr std::string_view kIndexRoles[] = {"shira_indices"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"random_seed", 0, SettingUse::kRead, ""},
    {"mask_type", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

AddSparse::Read StoredNumbers(StoredFactor values, StoredFactor places, const LinearLayer& layer) {
  return [values, places, layer](std::vector<SparseNumber>* numbers) -> Status {
    std::vector<double> added;
    std::vector<int64_t> at;
    GRAFT_RETURN_IF_ERROR(ReadAll(values, &added));
    GRAFT_RETURN_IF_ERROR(ReadPlaces(places, std::max(layer.outputs, layer.inputs), &at));
    for (size_t i = 0; i < added.size(); ++i) {
      const SparseNumber number{at[i], at[added.size() + i], added[i]};
      if (number.row >= layer.outputs || number.column >= layer.inputs) {
        return Error(StatusCode::kCorrupt,
                     "%s: tensor '%s' holds the place [%lld, %lld], which lies outside of '%s' %s",
                     places.file->FileOf(*places.entry).path().c_str(),
                     places.entry->info.name.c_str(), static_cast<long long>(number.row),
                     static_cast<long long>(number.column), layer.weight->info.name.c_str(),
                     layer.weight->info.ShapeText().c_str());
      }
      numbers->push_back(number);
    }
    return OkStatus();
  };
}

// The random mask of PEFT, whose places ascend.
AddSparse::Read DrawnNumbers(StoredFactor values, uint64_t seed, const LinearLayer& layer) {
  return [values, seed, layer](std::vector<SparseNumber>* numbers) -> Status {
    std::vector<double> added;
    GRAFT_RETURN_IF_ERROR(ReadAll(values, &added));
    std::vector<int64_t> at =
        TorchGenerator(seed).PermutationStart(layer.outputs * layer.inputs, added.size());
    std::sort(at.begin(), at.end());
    for (size_t i = 0; i < added.size(); ++i) {
      numbers->push_back({at[i] / layer.inputs, at[i] % layer.inputs, added[i]});
    }
    return OkStatus();
  };
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* values, planner->Need(module, "shira_weight"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *values, TransposedLayers::kRefused, planner));
  const AdapterTensor* places = planner->Use(module, "shira_indices");
  const int64_t count = values->elements();
  AddSparse::Read read;
  if (places != nullptr) {
    if (!HasShape(*values, {count}) || !HasShape(*places, {2, count})) {
      return planner->FailShape(*places, *layer.weight);
    }
    read = StoredNumbers(planner->Stored(*values), planner->Stored(*places), layer);
  } else {
    GRAFT_ASSIGN_OR_RETURN(const std::string mask, root.GetString("mask_type", "random"));
    GRAFT_ASSIGN_OR_RETURN(const int64_t rank, root.GetIntIn("r", 1, 1 << 20, 32));
    GRAFT_ASSIGN_OR_RETURN(
        const int64_t seed,
        root.GetInt("random_seed", static_cast<int64_t>(TorchGenerator::kUnseeded)));
    if (mask != "random") {
      return planner->Fail(StatusCode::kUnsupported, *values,
                           "needs shira_indices, which the file lacks: a mask other than PEFT's "
                           "random one cannot be made again");
    }
    const int64_t wanted =
        std::min(rank * (layer.outputs + layer.inputs), layer.outputs * layer.inputs);
    if (!HasShape(*values, {wanted})) return planner->FailShape(*values, *layer.weight);
    read = DrawnNumbers(planner->Stored(*values), static_cast<uint64_t>(seed), layer);
  }
  planner->Add(layer.weight, std::make_unique<AddSparse>(layer.inputs, std::move(read)));
  return planner->NoteModule(layer.weight, "shira", 0, 1);
}

}  // namespace

extern constinit const PlannedKind kShiraKind = {
    {AdapterType::kOther, "SHIRA", "shira", kRoles, kSettings, {}, kIndexRoles}, Plan};

}  // namespace graft::converter
