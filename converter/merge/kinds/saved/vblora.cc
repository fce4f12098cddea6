// SPDX-License-Identifier: Apache-2.0
// VB-LoRA: both factors of a low-rank change are put together from vectors of a shared bank.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/places.h"
#include "converter/merge/updates/elementary.h"

namespace graft::converter {
namespace {

constexpr std::string_view kBank = "vblora_vector_bank";
constexpr std::string_view kRoles[] = {kBank,
                                       "vblora_logits_A",
                                       "vblora_logits_B",
                                       "vblora_logits_A_topk_indices",
                                       "vblora_logits_B_topk_indices",
                                       "vblora_logits_A_topk_weights",
                                       "vblora_logits_B_topk_weights"};
constexpr std::string_view kIndexRoles[] = {"vblora_logits_A_topk_indices",
                                            "vblora_logits_B_topk_indices"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"topk", 0, SettingUse::kRead, ""},
    {"num_vectors", 0, SettingUse::kIgnored, ""},  // the bank says both
    {"vector_length", 0, SettingUse::kIgnored, ""},
    {"save_only_topk_weights", 0, SettingUse::kIgnored, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"vblora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_vector_bank_bound", 0, SettingUse::kIgnored, ""},
    {"init_logits_std", 0, SettingUse::kIgnored, ""},
};

// One factor: for each of `pieces`, how much of which vectors of the bank.
struct Mixture {
  StoredFactor bank;     // [vectors, length]
  StoredFactor logits;   // [.., .., vectors]; its entry is null where the chosen ones are stored
  StoredFactor indices;  // [.., .., chosen]
  StoredFactor weights;  // [.., .., chosen - 1]: the last is what is left of 1
  size_t chosen;
  size_t pieces;

  // Which vectors, and how much of each: [pieces, chosen].
  Status ReadChoice(std::vector<int64_t>* places, std::vector<double>* shares) const {
    const int64_t vectors = bank.entry->info.rows();
    if (logits.entry != nullptr) return Choose(static_cast<size_t>(vectors), places, shares);
    GRAFT_RETURN_IF_ERROR(ReadPlaces(indices, vectors, places));
    std::vector<double> stored;
    if (weights.entry != nullptr) GRAFT_RETURN_IF_ERROR(ReadAll(weights, &stored));
    for (size_t piece = 0; piece < pieces; ++piece) {
      double sum = 0;
      for (size_t i = 0; i + 1 < chosen; ++i) {
        shares->push_back(stored[piece * (chosen - 1) + i]);
        sum += shares->back();
      }
      shares->push_back(1 - sum);
    }
    return OkStatus();
  }

  // The softmax of the largest logits.
  Status Choose(size_t vectors, std::vector<int64_t>* places, std::vector<double>* shares) const {
    std::vector<double> all;
    GRAFT_RETURN_IF_ERROR(ReadAll(logits, &all));
    std::vector<size_t> order(vectors);
    for (size_t piece = 0; piece < pieces; ++piece) {
      const double* own = all.data() + piece * vectors;
      std::iota(order.begin(), order.end(), size_t{0});
      std::partial_sort(
          order.begin(), order.begin() + static_cast<std::ptrdiff_t>(chosen), order.end(),
          [own](size_t a, size_t b) { return own[a] != own[b] ? own[a] > own[b] : a < b; });
      double sum = 0;
      for (size_t i = 0; i < chosen; ++i) sum += Exp(own[order[i]] - own[order[0]]);
      for (size_t i = 0; i < chosen; ++i) {
        places->push_back(static_cast<int64_t>(order[i]));
        shares->push_back(Exp(own[order[i]] - own[order[0]]) / sum);
      }
    }
    return OkStatus();
  }

  // The vectors that the pieces are, one after another.
  Status Mix(std::vector<double>* out) const {
    std::vector<int64_t> places;
    std::vector<double> shares, vectors;
    GRAFT_RETURN_IF_ERROR(ReadChoice(&places, &shares));
    GRAFT_RETURN_IF_ERROR(ReadAll(bank, &vectors));
    const size_t length = static_cast<size_t>(bank.entry->info.row_elements());
    out->assign(pieces * length, 0.0);
    for (size_t i = 0; i < places.size(); ++i) {
      const double* vector = vectors.data() + static_cast<size_t>(places[i]) * length;
      double* to = out->data() + i / chosen * length;
      for (size_t t = 0; t < length; ++t) to[t] += shares[i] * vector[t];
    }
    return OkStatus();
  }
};

// The mixture of `side`, "A" or "B", whose tensors are [first, second, ...].
Result<Mixture> FindMixture(const AdapterModule& module, const std::string& side, int64_t first,
                            int64_t second, StoredFactor bank, const LinearLayer& layer,
                            AdapterPlanner* planner) {
  const int64_t vectors = bank.entry->info.rows();
  GRAFT_ASSIGN_OR_RETURN(const int64_t chosen, planner->config().document->root().GetIntIn(
                                                   "topk", 1, std::max<int64_t>(1, vectors), 2));
  const std::string role = "vblora_logits_" + side;
  Mixture mixture;
  mixture.bank = bank;
  mixture.chosen = static_cast<size_t>(chosen);
  mixture.pieces = static_cast<size_t>(first * second);
  if (module.Has(role + "_topk_indices")) {
    GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* indices,
                           planner->Need(module, role + "_topk_indices"));
    GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* weights,
                           planner->Need(module, role + "_topk_weights"));
    if (!HasShape(*indices, {first, second, chosen})) {
      return planner->FailShape(*indices, *layer.weight);
    }
    if (!HasShape(*weights, {first, second, chosen - 1})) {
      return planner->FailShape(*weights, *layer.weight);
    }
    mixture.indices = planner->Stored(*indices);
    if (chosen > 1) mixture.weights = planner->Stored(*weights);
    return mixture;
  }
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* logits, planner->Need(module, role));
  if (!HasShape(*logits, {first, second, vectors})) {
    return planner->FailShape(*logits, *layer.weight);
  }
  mixture.logits = planner->Stored(*logits);
  return mixture;
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const auto& modules = planner->adapter().modules();
  const auto top = modules.find("");
  const AdapterTensor* bank = top != modules.end() ? planner->Use(top->second, kBank) : nullptr;
  if (module.name.empty()) return OkStatus();
  const AdapterTensor& any = module.tensors.begin()->second;
  if (bank == nullptr || bank->shape().size() != 2 || bank->elements() == 0) {
    return planner->Fail(StatusCode::kCorrupt, any,
                         "needs vblora_vector_bank [vectors, length], which the file lacks");
  }
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, any, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank,
                         planner->config().document->root().GetIntIn("r", 1, 1 << 20, 4));
  const int64_t length = bank->shape()[1];
  if (layer.inputs % length != 0 || layer.outputs % length != 0) {
    return planner->FailShape(*bank, *layer.weight);
  }
  const StoredFactor stored = planner->Stored(*bank);
  GRAFT_ASSIGN_OR_RETURN(const Mixture a, FindMixture(module, "A", rank, layer.inputs / length,
                                                      stored, layer, planner));
  GRAFT_ASSIGN_OR_RETURN(const Mixture b, FindMixture(module, "B", layer.outputs / length, rank,
                                                      stored, layer, planner));
  LowRankFactors factors;
  factors.rank = rank;
  factors.columns = layer.inputs;
  factors.exact_products = false;
  factors.read_right = [a](std::span<double> out) -> Status {
    std::vector<double> mixed;
    GRAFT_RETURN_IF_ERROR(a.Mix(&mixed));
    std::copy(mixed.begin(), mixed.end(), out.begin());
    return OkStatus();
  };
  // Piece (j, k) is column k of rows j * length on.
  factors.read_left =
      WholeFactor(layer.outputs, rank,
                  [b, rank = static_cast<size_t>(rank),
                   length = static_cast<size_t>(length)](std::span<double> out) -> Status {
                    std::vector<double> mixed;
                    GRAFT_RETURN_IF_ERROR(b.Mix(&mixed));
                    for (size_t i = 0; i < mixed.size(); ++i) {
                      const size_t piece = i / length;
                      out[(piece / rank * length + i % length) * rank + piece % rank] = mixed[i];
                    }
                    return OkStatus();
                  });
  AddLowRankChange(layer, std::move(factors), planner);
  return planner->NoteModule(layer.weight, "vblora", rank, 1);
}

}  // namespace

extern constinit const PlannedKind kVbLoraKind = {
    {AdapterType::kOther, "VBLORA", "vblora", kRoles, kSettings, {}, kIndexRoles}, Plan};

}  // namespace graft::converter
