// SPDX-License-Identifier: Apache-2.0
// PEANuT: a small network turns a weight into its own change.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/kinds/saved/activations.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"peanut_A", "peanut_B"};
constexpr std::string_view kKeyed[] = {"peanut_encoders", "peanut_decoders"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"depth", 0, SettingUse::kRead, ""},
    {"act_fn", 0, SettingUse::kRead, ""},
    {"scaling", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

struct Network {
  StoredFactor a;                      // [rank, outputs]
  std::vector<StoredFactor> encoders;  // [rank, rank] each
  std::vector<StoredFactor> decoders;
  Activation activation;
};

// values [rank, inputs] become activation(layer * values), column by column of `values`.
Status Pass(StoredFactor layer, Activation activation, std::vector<double>* values) {
  std::vector<double> matrix;
  GRAFT_RETURN_IF_ERROR(ReadAll(layer, &matrix));
  const size_t rank = static_cast<size_t>(layer.entry->info.rows());
  const size_t inputs = values->size() / rank;
  std::vector<double> passed(values->size(), 0.0);
  for (size_t to = 0; to < rank; ++to) {
    double* out = passed.data() + to * inputs;
    for (size_t from = 0; from < rank; ++from) {
      const double* in = values->data() + from * inputs;
      for (size_t i = 0; i < inputs; ++i) out[i] += matrix[to * rank + from] * in[i];
    }
  }
  for (double& value : passed) value = activation(value);
  *values = std::move(passed);
  return OkStatus();
}

// What the network makes of each input's weights: [rank, inputs].
// Source   Zhong et al. 2025, "PEANuT: Parameter-Efficient Adaptation with Weight-aware Neural
//          Tweakers".
Status Run(const Network& network, const RowReader& weight, const LinearLayer& layer,
           std::span<double> out) {
  const int64_t rank = network.a.entry->info.rows();
  std::vector<double> a;
  GRAFT_RETURN_IF_ERROR(ReadAll(network.a, &a));
  std::vector<double> left(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const size_t outputs = static_cast<size_t>(layer.outputs);
    left[i % outputs * static_cast<size_t>(rank) + i / outputs] = a[i];
  }
  std::vector<double> values(out.size());
  GRAFT_RETURN_IF_ERROR(ProjectOutputs(left, rank, weight, layer, values));
  for (double& value : values) value = network.activation(value);
  std::vector<std::vector<double>> kept;
  for (const StoredFactor encoder : network.encoders) {
    kept.push_back(values);
    GRAFT_RETURN_IF_ERROR(Pass(encoder, network.activation, &values));
  }
  for (const StoredFactor decoder : network.decoders) {
    GRAFT_RETURN_IF_ERROR(Pass(decoder, network.activation, &values));
    for (size_t i = 0; i < values.size(); ++i) values[i] += kept.back()[i];
    kept.pop_back();
  }
  std::copy(values.begin(), values.end(), out.begin());
  return OkStatus();
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* a, planner->Need(module, "peanut_A"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* b, planner->Need(module, "peanut_B"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *a, TransposedLayers::kRefused, planner));
  GRAFT_ASSIGN_OR_RETURN(const double scale, root.GetDouble("scaling", 1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t depth, root.GetIntIn("depth", 0, 1000, 0));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, root.GetString("act_fn", "relu"));
  const int64_t rank = a->entry->info.rows();
  if (rank == 0 || !HasShape(*a, {rank, layer.outputs})) {
    return planner->FailShape(*a, *layer.weight);
  }
  if (!HasShape(*b, {layer.outputs, rank})) return planner->FailShape(*b, *layer.weight);
  Network network{planner->Stored(*a), {}, {}, FindActivation(name)};
  if (network.activation == nullptr) {
    return root.Find("act_fn").Fail(
        "is \"" + name.substr(0, 60) + "\", an activation graft does not know",
        StatusCode::kUnsupported);
  }
  for (int64_t index = 0; index < depth; ++index) {
    for (const std::string_view side : kKeyed) {
      const std::string role = std::string(side) + "." + std::to_string(index);
      GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* coder, planner->Need(module, role));
      if (!HasShape(*coder, {rank, rank})) return planner->FailShape(*coder, *layer.weight);
      (side == kKeyed[0] ? network.encoders : network.decoders).push_back(planner->Stored(*coder));
    }
  }
  LowRankFactors factors = ProductFactors(planner->Stored(*a), planner->Stored(*b), scale);
  factors.columns = layer.inputs;
  factors.exact_products = false;
  factors.read_right =
      SharedFactor(static_cast<size_t>(rank * layer.inputs),
                   [network, weight = planner->ReaderSoFar(layer.weight),
                    layer](std::span<double> out) { return Run(network, weight, layer, out); });
  AddLowRankChange(layer, std::move(factors), planner);
  return planner->NoteModule(layer.weight, "peanut", rank, scale);
}

}  // namespace

extern constinit const PlannedKind kPeanutKind = {
    {AdapterType::kOther, "PEANUT", "peanut", kRoles, kSettings, kKeyed}, Plan};

}  // namespace graft::converter
