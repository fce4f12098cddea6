// SPDX-License-Identifier: Apache-2.0
// RoAd: the outputs of a layer are turned and scaled, two by two.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/linear_layer.h"
#include "converter/merge/updates/elementary.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"road_theta", "road_alpha"};
constexpr Setting kSettings[] = {
    {"variant", 0, SettingUse::kRead, ""},
    {"group_size", 0, SettingUse::kRead, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// How often a group's angles are stored: for each pair, for each output, or for each of an output's
// two numbers.
enum class Variant : uint8_t { kPairs, kOutputs, kBoth };

// Where the angle of an output's own share, or of its partner's, is stored.
size_t PlaceOf(Variant variant, size_t output, size_t group, bool partner) {
  const size_t half = group / 2;
  switch (variant) {
    case Variant::kPairs:
      return output / group * half + output % half;
    case Variant::kOutputs:
      return output;
    case Variant::kBoth:
      return output / group * 2 * group + (partner ? group : 0) + output % group;
  }
  return 0;
}

// The first half of a group's rows meets the second: c * w - d * w', c * w' + d * w, for
// c = alpha cos(theta) and d = alpha sin(theta) of the row.
// Source   Liao and Monz 2024, "3-in-1: 2D Rotary Adaptation for Efficient Finetuning, Efficient
//          Batching and Composability".
class TurnRows final : public RowUpdate {
 public:
  TurnRows(StoredFactor theta, StoredFactor alpha, Variant variant, int64_t group, int64_t outputs,
           int64_t columns, RowReader before)
      : group_(group),
        columns_(columns),
        before_(std::move(before)),
        shares_(static_cast<size_t>(2 * outputs),
                [theta, alpha, variant, group](std::span<double> out) -> Status {
                  std::vector<double> angles, lengths;
                  GRAFT_RETURN_IF_ERROR(ReadAll(theta, &angles));
                  GRAFT_RETURN_IF_ERROR(ReadAll(alpha, &lengths));
                  for (size_t i = 0; i < out.size(); ++i) {
                    const bool partner = i % 2 == 1;
                    const size_t at = PlaceOf(variant, i / 2, static_cast<size_t>(group), partner);
                    const SineAndCosine turn = SinCos(angles[at]);
                    out[i] = lengths[at] * (partner ? turn.sine : turn.cosine);
                  }
                  return OkStatus();
                }) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> shares, workspace->Get(shares_));
    const size_t width = static_cast<size_t>(columns_);
    std::vector<double> partner(width);
    for (int64_t row = row_begin; row < row_end; ++row) {
      const bool first = row % group_ < group_ / 2;
      const int64_t other = first ? row + group_ / 2 : row - group_ / 2;
      GRAFT_RETURN_IF_ERROR(before_(other, other + 1, partner, workspace));
      const double own_share = shares[static_cast<size_t>(2 * row)];
      const double share = shares[static_cast<size_t>(2 * row + 1)];
      double* out = rows.data() + static_cast<size_t>(row - row_begin) * width;
      for (size_t c = 0; c < width; ++c) {
        const double turned = share * partner[c];
        out[c] = own_share * out[c] + (first ? -turned : turned);
      }
    }
    return OkStatus();
  }

 private:
  int64_t group_;
  int64_t columns_;
  RowReader before_;
  PreparedMatrix shares_;  // [outputs, 2]
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* theta, planner->Need(module, "road_theta"));
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* alpha, planner->Need(module, "road_alpha"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *theta, TransposedLayers::kRefused, planner));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, root.GetString("variant", "road_1"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t group, root.GetIntIn("group_size", 2, 1 << 30, 64));
  const bool known = name == "road_1" || name == "road_2" || name == "road_4";
  if (!known) {
    return root.Find("variant").Fail("must be road_1, road_2 or road_4", StatusCode::kUnsupported);
  }
  const Variant variant = name == "road_1"   ? Variant::kPairs
                          : name == "road_2" ? Variant::kOutputs
                                             : Variant::kBoth;
  const int64_t numbers = variant == Variant::kPairs     ? layer.outputs / 2
                          : variant == Variant::kOutputs ? layer.outputs
                                                         : 2 * layer.outputs;
  if (group % 2 != 0 || layer.outputs % group != 0) {
    return root.Find("group_size")
        .Fail("is " + std::to_string(group) + ", which does not divide the outputs of '" +
                  layer.weight->info.name + "' " + layer.weight->info.ShapeText() +
                  " into groups of pairs",
              StatusCode::kMismatch);
  }
  for (const AdapterTensor* tensor : {theta, alpha}) {
    if (!HasShape(*tensor, {numbers})) return planner->FailShape(*tensor, *layer.weight);
  }
  const auto turn = [&](PlannedTensor* tensor, int64_t columns) {
    planner->Add(tensor, std::make_unique<TurnRows>(
                             planner->Stored(*theta), planner->Stored(*alpha), variant, group,
                             layer.outputs, columns, planner->ReaderSoFar(tensor)));
  };
  turn(layer.weight, layer.inputs);
  GRAFT_RETURN_IF_ERROR(planner->NoteModule(layer.weight, "road", 0, 1));
  GRAFT_ASSIGN_OR_RETURN(PlannedTensor * bias, planner->TensorIfThere(module.name, "bias"));
  if (bias == nullptr) return OkStatus();
  if (bias->info.shape != std::vector<int64_t>{layer.outputs}) {
    return planner->FailShape(*theta, *bias);
  }
  turn(bias, 1);
  if (bias->kind.empty()) bias->kind = "road";
  return OkStatus();
}

}  // namespace

extern constinit const PlannedKind kRoadKind = {
    {AdapterType::kOther, "ROAD", "road", kRoles, kSettings}, Plan};

}  // namespace graft::converter
