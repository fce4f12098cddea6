// SPDX-License-Identifier: Apache-2.0
// DEFT: a subspace of a weight's outputs is taken away, and another content put in.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/updates/orthonormal.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"deft_P", "deft_R"};
constexpr Setting kSettings[] = {
    {"r", 0, SettingUse::kRead, ""},
    {"alpha", 0, SettingUse::kRead, ""},
    {"para", 0, SettingUse::kRead, ""},
    {"decomposition_method", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"init_scale", 0, SettingUse::kIgnored, ""},
    {"deft_dropout", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// W += L (s R - T^T W).
// Shapes   L and T [outputs, rank], R [rank, inputs] or none, W [outputs, inputs].
struct Subspace {
  StoredFactor stored;    // P
  bool orthonormal;       // L and T are the Q of P = QR; else L is P, and T its positive part
  StoredFactor injected;  // R; its entry is null where nothing is put in
  double scale;
  int64_t rank;

  Status ReadLeft(std::vector<double>* left) const {
    GRAFT_RETURN_IF_ERROR(ReadAll(stored, left));
    if (orthonormal) MakeOrthonormal(left->size() / static_cast<size_t>(rank), *left);
    return OkStatus();
  }
  // T, given L.
  void MakeTaken(std::vector<double>* left) const {
    if (orthonormal) return;
    for (double& value : *left) value = value > 0 ? value : 0;
  }
};

LowRankFactors FactorsOf(const Subspace& subspace, const LinearLayer& layer,
                         const RowReader& weight) {
  LowRankFactors factors;
  factors.rank = subspace.rank;
  factors.columns = layer.inputs;
  factors.exact_products = false;
  factors.read_left =
      WholeFactor(layer.outputs, subspace.rank, [subspace](std::span<double> out) -> Status {
        std::vector<double> left;
        GRAFT_RETURN_IF_ERROR(subspace.ReadLeft(&left));
        std::copy(left.begin(), left.end(), out.begin());
        return OkStatus();
      });
  factors.read_right = SharedFactor(
      static_cast<size_t>(subspace.rank * layer.inputs),
      [subspace, weight, layer](std::span<double> out) -> Status {
        std::vector<double> taken;
        GRAFT_RETURN_IF_ERROR(subspace.ReadLeft(&taken));
        subspace.MakeTaken(&taken);
        GRAFT_RETURN_IF_ERROR(ProjectOutputs(taken, subspace.rank, weight, layer, out));
        std::vector<double> injected(out.size());
        if (subspace.injected.entry != nullptr) {
          GRAFT_RETURN_IF_ERROR(ReadAll(subspace.injected, &injected));
        }
        for (size_t i = 0; i < out.size(); ++i) out[i] = subspace.scale * injected[i] - out[i];
        return OkStatus();
      });
  return factors;
}

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* p, planner->Need(module, "deft_P"));
  GRAFT_ASSIGN_OR_RETURN(const bool only_takes, root.GetBool("para", false));
  const AdapterTensor* r = nullptr;
  if (!only_takes) {
    GRAFT_ASSIGN_OR_RETURN(r, planner->Need(module, "deft_R"));
  }
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *p, TransposedLayers::kTaken, planner));
  const int64_t rank = p->shape().size() == 2 ? p->shape()[1] : 0;
  if (rank == 0 || rank > layer.outputs || !HasShape(*p, {layer.outputs, rank})) {
    return planner->FailShape(*p, *layer.weight);
  }
  if (r != nullptr && !HasShape(*r, {rank, layer.inputs})) {
    return planner->FailShape(*r, *layer.weight);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string method, root.GetString("decomposition_method", "relu"));
  if (method != "relu" && method != "qr") {
    return root.Find("decomposition_method").Fail("must be relu or qr", StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const double alpha, root.GetDouble("alpha", 0));
  Subspace subspace{planner->Stored(*p), method == "qr",
                    r != nullptr ? planner->Stored(*r) : StoredFactor{},
                    alpha != 0 ? alpha / static_cast<double>(rank) : 1, rank};
  const RowReader weight = planner->ReaderSoFar(layer.weight);
  AddLowRankChange(layer, FactorsOf(subspace, layer, weight), planner);
  return planner->NoteModule(layer.weight, "deft", rank, subspace.scale);
}

}  // namespace

extern constinit const PlannedKind kDeftKind = {
    {AdapterType::kOther, "DEFT", "deft", kRoles, kSettings}, Plan};

}  // namespace graft::converter
