// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/experts.h"

#include <string>
#include <utility>

#include "converter/lower/decoder_config.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

// The tensors of one mixture.
class Mixture {
 public:
  Mixture(const ExpertsDesign& experts, const Module& layer)
      : experts_(experts), joint_(IsJoint(experts.names, layer)), module_(layer[ModuleName()]) {}

  const Module& module() const { return module_; }
  std::string_view router() const {
    const ExpertNames& names = experts_.names;
    return joint_ && !names.joint_router.empty() ? names.joint_router : names.router;
  }

  ValueId Gate(ValueId x, ValueId choices) const {
    return Linear(experts_.names.gate, x, choices, experts_.hidden, HalfOf(0), 1.0, 0.0);
  }
  // `offset` is added to what it gives.
  ValueId Up(ValueId x, ValueId choices, double offset) const {
    return Linear(experts_.names.up, x, choices, experts_.hidden, HalfOf(1), 1.0, offset);
  }
  ValueId Down(ValueId h, ValueId choices, int64_t width, double factor) const {
    const Joint whole = {.name = experts_.names.all_down, .rows = width, .part = {}};
    return Linear(experts_.names.down, h, choices, width, whole, factor, 0.0);
  }

 private:
  // Which rows of a matrix of all experts' tensor.
  struct Joint {
    std::string_view name;
    int64_t rows = 0;  // of a matrix
    RowRuns part;
  };

  static bool IsJoint(const ExpertNames& names, const Module& layer) {
    const std::string_view module = names.joint_module.empty() ? names.module : names.joint_module;
    return layer.graph().Has(layer[module].Name(names.gate_up));
  }
  std::string_view ModuleName() const {
    const ExpertNames& names = experts_.names;
    return joint_ && !names.joint_module.empty() ? names.joint_module : names.module;
  }

  Joint HalfOf(int64_t half) const {
    const RowRuns rows = experts_.interleaved
                             ? RowRuns{.begin = half, .run_rows = 1, .run_stride = 2}
                             : RowRuns{.begin = half * experts_.hidden};
    return {.name = experts_.names.gate_up, .rows = 2 * experts_.hidden, .part = rows};
  }

  TensorPart PartOf(std::string_view name, std::string_view ending, int64_t rows,
                    const Joint& joint) const {
    TensorPart part;
    if (joint_) {
      // A bias is called as its matrix is, and more: "experts.down_proj_bias".
      part.source = module_.Name(joint.name) + (ending == "bias" ? "_bias" : "");
      part.source_rows = joint.rows;
      part.rows = joint.part;
      part.stack = experts_.count;
      part.transposed = experts_.transposed && ending != "bias";
      return part;
    }
    for (int64_t expert = 0; expert < experts_.count; ++expert) {
      part.sources.push_back(module_["experts"][expert][name].Name(ending));
    }
    part.source = part.sources[0];
    part.source_rows = rows;
    return part;
  }

  ValueId Linear(std::string_view name, ValueId x, ValueId choices, int64_t rows,
                 const Joint& joint, double factor, double offset) const {
    GraphBuilder& g = module_.graph();
    const Module op = module_["experts"][name];
    const int64_t all_rows = experts_.count * rows;
    const int64_t parts = name == experts_.names.down ? g.Width(choices) : 1;
    TensorPart weight = PartOf(name, "weight", rows, joint);
    weight.factor = factor;
    const TensorId matrix =
        g.Matrix(op.Name("weight"), std::move(weight), all_rows, g.Width(x) / parts);
    TensorId bias;
    if (experts_.bias) {
      TensorPart numbers = PartOf(name, "bias", rows, joint);
      numbers.factor = factor;
      numbers.offset = offset;
      bias = g.Vector(op.Name("bias"), std::move(numbers), all_rows);
    }
    return g.ExpertLinear(op.path(), x, choices, experts_.count, matrix, bias);
  }

  const ExpertsDesign& experts_;
  bool joint_;
  Module module_;
};

// The router's scores decide which experts are read, and are few: they stay f32.
Routed RouteRows(const ExpertsDesign& experts, const Mixture& mixture, ValueId x) {
  const Module& m = mixture.module();
  GraphBuilder& g = m.graph();
  const Module router = m[mixture.router()];
  const auto part = [&](std::string_view name) {
    return TensorPart{.source = router.Name(name), .source_rows = experts.count};
  };
  const std::string weight = router.Name("weight");
  const TensorId matrix = g.FloatMatrix(weight, part("weight"), experts.count, g.Width(x));
  const TensorId bias =
      experts.router_bias ? g.Vector(router.Name("bias"), experts.count) : TensorId{};
  const ValueId scores = g.Linear(router.path(), x, matrix, bias);
  RoutingShape routing = experts.routing;
  if (!experts.routing_bias.empty())
    routing.bias = g.Vector(m.Name(experts.routing_bias), experts.count);
  return g.Route(m.Name("route"), scores, routing);
}

// gpt-oss: gate * sigmoid(1.702 gate) * (up + 1), gate at most `limit` and up within it. The 1 is in
// up's bias.
ValueId LimitedActivation(const Module& m, ValueId gate, ValueId up, double limit) {
  constexpr float kLowest = -3e38f;
  GraphBuilder& g = m.graph();
  const auto most = static_cast<float>(limit);
  gate = g.Clamp(m.Name("experts.gate_limited"), gate, kLowest, most);
  up = g.Clamp(m.Name("experts.up_limited"), up, 1.0f - most, 1.0f + most);
  return g.GatedActivation(m.Name("experts.act"), gate, up, ActivationKind::QuickGelu);
}

ValueId AddShared(const SharedExpert& shared, const Module& m, ValueId x, ActivationKind activation,
                  double down_factor) {
  GraphBuilder& g = m.graph();
  const Module mlp = m[shared.name];
  ValueId gate, up;
  if (shared.fused.empty()) {
    gate = mlp.Linear("gate_proj", x, shared.hidden);
    up = mlp.Linear("up_proj", x, shared.hidden);
  } else {
    const FusedLinear both = {.name = shared.fused, .out_features = 2 * shared.hidden};
    gate = mlp.Linear(both, "gate", x, shared.hidden, {.begin = 0});
    up = mlp.Linear(both, "up", x, shared.hidden, {.begin = shared.hidden});
  }
  const ValueId h = g.GatedActivation(mlp.Name("act"), gate, up, activation);
  const ValueId out = mlp.Linear(shared.down, h, g.Width(x), /*bias=*/false, down_factor);
  if (shared.gate.empty()) return out;
  const std::string weight = m[shared.gate].Name("weight");
  const TensorId matrix =
      g.FloatMatrix(weight, TensorPart{.source = weight, .source_rows = 1}, 1, g.Width(x));
  ValueId part = g.Linear(m.Name(shared.gate), x, matrix);
  part = g.Activation(m[shared.gate].Name("sigmoid"), part, ActivationKind::Sigmoid);
  return g.WeightedSum(mlp.Name("gated"), out, part);
}

}  // namespace

Status ReadExpertCounts(const JsonValue& config, int64_t usual_count, int64_t usual_choices,
                        ExpertsDesign* experts) {
  // Both names are one setting.
  const std::string_view key = config.Has("num_experts") ? "num_experts" : "num_local_experts";
  GRAFT_ASSIGN_OR_RETURN(experts->count, config.GetIntIn(key, 1, kMostExperts, usual_count));
  GRAFT_ASSIGN_OR_RETURN(experts->routing.choices,
                         config.GetIntIn("num_experts_per_tok", 1, experts->count, usual_choices));
  return OkStatus();
}

Status ReadSparseLayers(const JsonValue& config, int64_t layers, ExpertsDesign* experts) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t step,
                         config.GetIntIn("decoder_sparse_step", 1, kMaxLayers, 1));
  experts->layers.clear();
  for (int64_t layer = 0; layer < layers; ++layer)
    experts->layers.push_back((layer + 1) % step == 0);
  const JsonValue dense = config.Find("mlp_only_layers");
  for (size_t i = 0; !dense.IsNull() && i < dense.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t layer, dense.at(i).AsInt());
    if (layer >= 0 && layer < layers) experts->layers[static_cast<size_t>(layer)] = false;
  }
  return OkStatus();
}

ValueId MixtureOfExperts(const ExpertsDesign& experts, const Module& layer, ValueId x,
                         ActivationKind activation, double down_factor) {
  GraphBuilder& g = layer.graph();
  const Mixture mixture(experts, layer);
  const Module& m = mixture.module();
  const Routed routed = RouteRows(experts, mixture, x);
  const ValueId gate = mixture.Gate(x, routed.choices);
  const ValueId up = mixture.Up(x, routed.choices, experts.limit > 0.0 ? 1.0 : 0.0);
  const ValueId h = experts.limit > 0.0
                        ? LimitedActivation(m, gate, up, experts.limit)
                        : g.GatedActivation(m.Name("experts.act"), gate, up, activation);
  const ValueId products = mixture.Down(h, routed.choices, g.Width(x), down_factor);
  const ValueId sum = g.WeightedSum(m.Name("experts"), products, routed.weights);
  if (experts.shared.name.empty()) return sum;
  return g.Add(
      m.Name("all_experts"), sum,
      AddShared(experts.shared, experts.shared.of_layer ? layer : m, x, activation, down_factor));
}

}  // namespace graft::converter
