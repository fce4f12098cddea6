// SPDX-License-Identifier: Apache-2.0
// TinyLoRA: a few numbers, shared by layers, mix random matrices between two fixed factors.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/module_order.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/plan/tie_settler.h"
#include "converter/merge/random/torch_generator.h"
#include "converter/merge/updates/factor_forms.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"tinylora_A", "tinylora_B", "tinylora_P"};
constexpr std::string_view kKeyed[] = {"tinylora_v"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"u", 0, SettingUse::kRead, ""},
    {"weight_tying", 0, SettingUse::kRead, ""},
    {"projection_seed", 0, SettingUse::kRead, ""},
    {"save_projection", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"init_v_bound", 0, SettingUse::kIgnored, ""},
    {"tinylora_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// Where each module stands among those of the adapter.
struct Places {
  std::vector<std::string> modules;
  Status known;
  bool sorted = false;
};

// Sorts the modules once, and only if a place is asked for.
Result<int64_t> PlaceOf(const std::string& module, AdapterPlanner* planner) {
  std::shared_ptr<void>* state = planner->kind_state();
  const auto places = std::static_pointer_cast<Places>(*state);
  if (!places->sorted) {
    places->sorted = true;
    std::vector<std::string> names;
    names.reserve(planner->base().tensors().size());
    for (const TensorInfo& info : planner->base().tensors()) {
      names.push_back(planner->AdapterNameOf(info.name));
    }
    auto order = InOrderOfModel(places->modules, names);
    places->known = order.status();
    if (order.ok()) places->modules = std::move(order).value();
  }
  GRAFT_RETURN_IF_ERROR(places->known);
  const auto found = std::find(places->modules.begin(), places->modules.end(), module);
  return static_cast<int64_t>(found - places->modules.begin());
}

// The group whose numbers `module` uses.
Result<int64_t> GroupOf(const std::string& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const double tying,
                         planner->config().document->root().GetDouble("weight_tying", 0));
  if (!(tying >= 0 && tying <= 1)) {
    return planner->config().document->root().Find("weight_tying").Fail("must be from 0 to 1");
  }
  const auto places = std::static_pointer_cast<Places>(*planner->kind_state());
  const double all = static_cast<double>(places->modules.size());
  // Half a group is rounded to an even number of groups, as Python does.
  const double exact = all * (1 - tying);
  double rounded = std::floor(exact);
  const double rest = exact - rounded;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(rounded, 2) != 0)) ++rounded;
  const int64_t groups = std::max<int64_t>(1, static_cast<int64_t>(rounded));
  if (groups == 1) return int64_t{0};
  const int64_t size = std::max<int64_t>(1, static_cast<int64_t>(places->modules.size()) / groups);
  GRAFT_ASSIGN_OR_RETURN(const int64_t place, PlaceOf(module, planner));
  return std::min(place / size, groups - 1);
}

// The matrices between the factors, [u, rank, rank].
struct Mixed {
  StoredFactor stored;  // its entry is null where they are drawn
  uint64_t seed = 0;
  size_t rank = 0;

  Status Read(std::vector<double>* out) const {
    if (stored.entry != nullptr) return ReadAll(stored, out);
    TorchGenerator(seed).Normal(0, 1 / std::sqrt(static_cast<double>(rank)), *out);
    return OkStatus();
  }
};

// (sum of numbers[k] matrices[k]) A.
// Source   PEFT's TinyLoRA.
Status FillRight(StoredFactor a, StoredFactor numbers, const Mixed& matrices,
                 std::span<double> out) {
  std::vector<double> shares, factor;
  GRAFT_RETURN_IF_ERROR(ReadAll(numbers, &shares));
  GRAFT_RETURN_IF_ERROR(ReadAll(a, &factor));
  const size_t rank = matrices.rank;
  std::vector<double> all(shares.size() * rank * rank);
  GRAFT_RETURN_IF_ERROR(matrices.Read(&all));
  std::vector<double> mixed(rank * rank, 0.0);
  for (size_t i = 0; i < all.size(); ++i) {
    mixed[i % mixed.size()] += shares[i / mixed.size()] * all[i];
  }
  const size_t inputs = factor.size() / rank;
  std::fill(out.begin(), out.end(), 0.0);
  for (size_t row = 0; row < rank; ++row) {
    for (size_t k = 0; k < rank; ++k) {
      const double share = mixed[row * rank + k];
      for (size_t i = 0; i < inputs; ++i) out[row * inputs + i] += share * factor[k * inputs + i];
    }
  }
  return OkStatus();
}

// The modules that the adapter changes.
void NoteModules(AdapterPlanner* planner) {
  std::shared_ptr<void>* state = planner->kind_state();
  if (*state != nullptr) return;
  auto places = std::make_shared<Places>();
  for (const auto& [name, module] : planner->adapter().modules()) {
    if (module.Has("tinylora_A")) places->modules.push_back(name);
  }
  *state = std::move(places);
}

Result<Mixed> FindMixed(const AdapterModule& module, const AdapterTensor& a,
                        const AdapterTensor& numbers, const PlannedTensor& tensor,
                        AdapterPlanner* planner) {
  Mixed mixed;
  const int64_t rank = a.shape()[0];
  mixed.rank = static_cast<size_t>(rank);
  if (const AdapterTensor* p = planner->Use(module, "tinylora_P"); p != nullptr) {
    if (!HasShape(*p, {numbers.elements(), rank, rank})) return planner->FailShape(*p, tensor);
    mixed.stored = planner->Stored(*p);
    return mixed;
  }
  constexpr int64_t kMostDrawn = 1 << 24;
  if (rank > 4096 || numbers.elements() > kMostDrawn / (rank * rank)) {
    return planner->Fail(StatusCode::kUnsupported, numbers,
                         "would need more than 16777216 random numbers for one layer");
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t seed,
                         planner->config().document->root().GetInt("projection_seed", 42));
  auto place = PlaceOf(module.name, planner);
  if (!place.ok()) {
    return planner->Fail(place.status().code(), a,
                         "lacks tinylora_P, which depends on where its module stands, and " +
                             std::string(place.status().message()) +
                             "; save the adapter with save_projection=true");
  }
  mixed.seed = static_cast<uint64_t>(seed) + static_cast<uint64_t>(*place);
  return mixed;
}

// Whether the weight is stored [inputs, outputs] of the factors: GPT-2's layers, and embeddings,
// whose inputs are tokens.
Result<bool> IsTurned(const AdapterModule& module, const PlannedTensor& tensor,
                      const AdapterTensor& a, const AdapterTensor& b, AdapterPlanner* planner) {
  const std::vector<int64_t>& shape = tensor.info.shape;
  if (shape.size() != 2 || a.shape().size() != 2 || b.shape().size() != 2 || a.shape()[0] == 0 ||
      a.shape()[0] != b.shape()[1]) {
    return planner->FailShape(a, tensor);
  }
  const TiedEmbeddings& names = planner->ties().names();
  const bool embedding = tensor.info.name == names.input;
  if (embedding && shape == std::vector<int64_t>{a.shape()[1], b.shape()[0]}) return true;
  return planner->IsTransposed(tensor, module.name, b.shape()[0], a.shape()[1], a);
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  if (module.name.empty()) return OkStatus();  // its tensors are asked for by the layers
  NoteModules(planner);
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "tinylora_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "tinylora_B"));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * tensor, planner->Tensor(module.name, "weight", *a));
  GRAFT_ASSIGN_OR_RETURN(const bool turned, IsTurned(module, *tensor, *a, *b, planner));
  auto group = GroupOf(module.name, planner);
  if (!group.ok()) {
    return planner->Fail(
        group.status().code(), *a,
        "shares numbers with modules near it, and " + std::string(group.status().message()));
  }
  const auto& modules = planner->adapter().modules();
  const auto top = modules.find("");
  const std::string role = "tinylora_v." + std::to_string(*group);
  const AdapterTensor* numbers = top != modules.end() ? planner->Use(top->second, role) : nullptr;
  if (numbers == nullptr) {
    return planner->Fail(StatusCode::kCorrupt, *a, "needs " + role + ", which the file lacks");
  }
  if (!HasShape(*numbers, {numbers->elements()})) return planner->FailShape(*numbers, *tensor);
  GRAFT_ASSIGN_OR_RETURN(const Mixed mixed, FindMixed(module, *a, *numbers, *tensor, planner));
  const StoredFactor stored_a = planner->Stored(*a);
  const StoredFactor stored_b = planner->Stored(*b);
  LowRankFactors factors = ProductFactors(stored_a, stored_b, 1);
  factors.exact_products = false;
  factors.read_right = [stored_a, stored_numbers = planner->Stored(*numbers),
                        mixed](std::span<double> out) {
    return FillRight(stored_a, stored_numbers, mixed, out);
  };
  if (turned) factors = Transposed(std::move(factors), b->shape()[0]);
  planner->Add(tensor, std::make_unique<LowRankRows>(std::move(factors)));
  return planner->NoteModule(tensor, "tinylora", a->shape()[0], 1);
}

}  // namespace

extern constinit const PlannedKind kTinyLoraKind = {
    {AdapterType::kOther, "TINYLORA", "tinylora", kRoles, kSettings, kKeyed}, Plan};

}  // namespace graft::converter
