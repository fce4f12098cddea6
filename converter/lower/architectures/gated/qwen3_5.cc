// SPDX-License-Identifier: Apache-2.0
// Qwen 3.5: the gated delta rule in three layers of four, gated attention in the others, which turns
// the rows of pictures by their places.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/state_space.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualHeadDim = 256;
constexpr int64_t kUsualInterval = 4;
constexpr int64_t kMostTaps = 1024;
constexpr float kLengthEpsilon = 1e-6f;

struct DeltaNet {
  DeltaRuleShape rule;
  int64_t kernel = 0;
  float epsilon = 0.0f;
};

Result<DeltaNet> ReadDeltaNet(const JsonValue& config, const GatedDecoder& decoder) {
  DeltaNet net;
  DeltaRuleShape& rule = net.rule;
  GRAFT_ASSIGN_OR_RETURN(rule.key_heads, config.GetIntIn("linear_num_key_heads", 1, kMaxHeads, 16));
  GRAFT_ASSIGN_OR_RETURN(rule.value_heads,
                         config.GetIntIn("linear_num_value_heads", 1, kMaxHeads, 32));
  GRAFT_ASSIGN_OR_RETURN(rule.key_dim, config.GetIntIn("linear_key_head_dim", 1, kMaxHeadDim, 128));
  GRAFT_ASSIGN_OR_RETURN(rule.value_dim,
                         config.GetIntIn("linear_value_head_dim", 1, kMaxHeadDim, 128));
  if (rule.value_heads % rule.key_heads != 0) {
    return config.Find("linear_num_value_heads")
        .Fail("is " + std::to_string(rule.value_heads) + ", which is no multiple of the " +
              std::to_string(rule.key_heads) + " key heads");
  }
  GRAFT_ASSIGN_OR_RETURN(net.kernel, config.GetIntIn("linear_conv_kernel_dim", 2, kMostTaps, 4));
  rule.epsilon = kLengthEpsilon;
  net.epsilon = decoder.epsilon;
  return net;
}

ValueId MixByDeltaRule(const DeltaNet& net, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  DeltaRuleShape rule = net.rule;
  const int64_t hidden = g.Width(x);
  const int64_t mixed_width = 2 * rule.keys() + rule.values();
  ValueId mixed = m.Linear("in_proj_qkv", x, mixed_width);
  const ValueId gate = m.Linear("in_proj_z", x, rule.values());
  const ValueId b = StepLinear(m, "in_proj_b", x, rule.value_heads);
  const ValueId a = StepLinear(m, "in_proj_a", x, rule.value_heads);
  mixed = g.ShortConvolution(m.Name("conv1d"), mixed,
                             g.ColumnKernels(m.Name("conv1d.weight"), mixed_width, net.kernel), {});
  // Whatever hidden_act is, which is the MLPs'.
  mixed = g.Activation(m.Name("act"), mixed, schema::fb::ActivationKind::Silu);
  rule.rates = AddDecayRates(m, rule.value_heads);
  rule.offsets = g.Vector(m.Name("dt_bias"), rule.value_heads);
  ValueId out = g.GatedDeltaRule(m.path(), mixed, a, b, rule);
  out = m.RmsNorm("norm", out, net.epsilon, {}, rule.value_dim);
  out = g.GatedActivation(m.Name("gated"), gate, out, schema::fb::ActivationKind::Silu);
  return m.Linear("out_proj", out, hidden);
}

Result<Mixer> ReadMixer(const JsonValue& config, const GatedDecoder& decoder) {
  GRAFT_ASSIGN_OR_RETURN(const DeltaNet net, ReadDeltaNet(config, decoder));
  Mixer mixer;
  mixer.mix = [net](const Module& layer, ValueId x) {
    return MixByDeltaRule(net, layer["linear_attn"], x);
  };
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadLayersOfType(config, "layer_types", decoder.sizes.layers,
                                                       "linear_attention", "full_attention"));
  if (listed) {
    mixer.instead = std::move(*listed);
    return mixer;
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval,
                         config.GetIntIn("full_attention_interval", 1, kMaxLayers, kUsualInterval));
  for (int64_t layer = 1; layer <= decoder.sizes.layers; ++layer)
    mixer.instead.push_back(layer % interval != 0);
  return mixer;
}

// Which numbers of a picture's rows the frequencies turn by: every third the row and every third the
// column, as many as mrope_section says of each, and the others the time.
Result<std::vector<uint8_t>> ReadAxes(const JsonValue& config, size_t frequencies) {
  int64_t sections[] = {11, 11, 10};
  const JsonValue given = config.Find("rope_parameters").Find("mrope_section");
  if (given.IsArray()) {
    if (given.size() != 3) return given.Fail("must be of time, rows and columns");
    for (size_t axis = 0; axis < 3; ++axis) {
      GRAFT_ASSIGN_OR_RETURN(sections[axis], given.at(axis).AsInt());
    }
  }
  std::vector<uint8_t> axes(frequencies, 0);
  for (size_t i = 0; i < frequencies; ++i) {
    const size_t axis = i % 3;
    if (static_cast<int64_t>(i) < 3 * std::clamp<int64_t>(sections[axis], 0, kMaxHeadDim))
      axes[i] = static_cast<uint8_t>(axis);
  }
  return axes;
}

}  // namespace

// Source   Qwen Team 2026; Yang et al. 2024, "Gated Delta Networks".
Status LowerQwen35(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.head_dim = kUsualHeadDim,
                                                   .kv_heads = 4,
                                                   .rope = {.rotated_part = 0.25},
                                                   .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.norm.offset = 1.0;
  decoder.gated_attention = true;
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  decoder.head_norms.design = decoder.norm;
  GRAFT_ASSIGN_OR_RETURN(decoder.mixer, ReadMixer(config, decoder));
  if (task->vision) {
    GRAFT_ASSIGN_OR_RETURN(decoder.rope->axes, ReadAxes(config, decoder.rope->inverse.size()));
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
