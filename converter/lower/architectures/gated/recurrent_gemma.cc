// SPDX-License-Identifier: Apache-2.0
// RecurrentGemma: gated recurrences, and attention in a window, by turns.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/alibi.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostTaps = 1024;
constexpr double kDecayFactor = -8.0;

struct Griffin {
  int64_t width = 0, heads = 0, kernel = 0;
  schema::fb::ActivationKind activation{};
};

ValueId MixByRecurrence(const Griffin& griffin, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  const int64_t hidden = g.Width(x);
  const int64_t block = griffin.width / griffin.heads;
  const ValueId gate = m.Linear("linear_y", x, griffin.width, /*bias=*/true);
  ValueId u = m.Linear("linear_x", x, griffin.width, /*bias=*/true);
  const TensorId kernels = g.ColumnKernels(m.Name("conv_1d.weight"), griffin.width, griffin.kernel);
  u = g.ShortConvolution(m.Name("conv_1d"), u, kernels,
                         g.Vector(m.Name("conv_1d.bias"), griffin.width));
  const Module lru = m["rg_lru"];
  RecurrenceShape shape = {.blocks = griffin.heads};
  const auto weight = [&](std::string_view name) {
    return g.Flattened(lru.Name(name), {griffin.heads, block, block});
  };
  const auto bias = [&](std::string_view name) {
    return g.Flattened(lru.Name(name), {griffin.heads, block});
  };
  shape.input_weight = weight("input_gate_weight");
  shape.input_bias = bias("input_gate_bias");
  shape.gate_weight = weight("recurrent_gate_weight");
  shape.gate_bias = bias("recurrent_gate_bias");
  std::vector<float> rates;
  for (const double number : g.Numbers(lru.Name("recurrent_param"), griffin.width)) {
    const double softplus = std::max(number, 0.0) + std::log1p(std::exp(-std::abs(number)));
    rates.push_back(static_cast<float>(kDecayFactor * softplus));
  }
  shape.rates = g.Literal(lru.Name("rates"), std::move(rates));
  const ValueId y = g.GatedRecurrence(lru.path(), u, shape);
  return m.Linear("linear_out", g.GatedActivation(m.Name("gated"), gate, y, griffin.activation),
                  hidden,
                  /*bias=*/true);
}

// block_types is a pattern that the layers repeat.
Result<std::vector<bool>> ReadRecurrentLayers(const JsonValue& config, int64_t layers) {
  std::vector<bool> pattern = {true, true, false};
  if (config.Has("block_types")) {
    const JsonValue types = config.Find("block_types");
    if (types.size() == 0) return types.Fail("must list types");
    GRAFT_ASSIGN_OR_RETURN(const auto listed, ReadLayersOfType(config, "block_types",
                                                               static_cast<int64_t>(types.size()),
                                                               "recurrent", "attention"));
    pattern = *listed;
  }
  std::vector<bool> recurrent;
  for (int64_t layer = 0; layer < layers; ++layer)
    recurrent.push_back(pattern[static_cast<size_t>(layer) % pattern.size()]);
  return recurrent;
}

}  // namespace

// Source   De et al. 2024, "Griffin"; Botev et al. 2024, "RecurrentGemma".
Status LowerRecurrentGemma(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.tied = true,
                                                   .rope = {.rotated_part = 0.5},
                                                   .padding = 0,
                                                   .activation_key = "hidden_activation",
                                                   .activation = "gelu_pytorch_tanh"}));
  Griffin griffin;
  griffin.heads = decoder.attention.heads;
  griffin.activation = decoder.activation;
  GRAFT_ASSIGN_OR_RETURN(griffin.width,
                         config.GetIntIn("lru_width", 1, kMaxWidth, decoder.sizes.hidden));
  GRAFT_ASSIGN_OR_RETURN(griffin.kernel, config.GetIntIn("conv1d_width", 2, kMostTaps, 4));
  if (griffin.width % griffin.heads != 0) {
    return config.Find("lru_width")
        .Fail("is " + std::to_string(griffin.width) + ", which " + std::to_string(griffin.heads) +
              " heads do not divide");
  }
  decoder.sizes.mlp_hidden /= 2;
  decoder.mlp_bias = true;
  decoder.output_bias = true;
  decoder.norm.offset = 1.0;
  // transformers keeps the root in bfloat16.
  decoder.embedding_factor = RoundToBFloat16(std::sqrt(static_cast<float>(decoder.sizes.hidden)));
  decoder.names.attention = "temporal_block";
  decoder.names.mlp = "mlp_block";
  decoder.norm_names = {.before_attention = "temporal_pre_norm",
                        .before_mlp = "channel_pre_norm",
                        .last = "final_norm"};
  GRAFT_ASSIGN_OR_RETURN(const double cap, ReadPositive(config, "logits_soft_cap", 30.0));
  decoder.logits_cap = static_cast<float>(cap);
  const char* window_key =
      config.Has("attention_window_size") ? "attention_window_size" : "sliding_window";
  GRAFT_ASSIGN_OR_RETURN(const int64_t window, config.GetIntIn(window_key, 1, kMaxContext, 2048));
  decoder.windows.assign(static_cast<size_t>(decoder.sizes.layers), window);
  Mixer mixer;
  mixer.mix = [griffin](const Module& layer, ValueId x) {
    return MixByRecurrence(griffin, layer["temporal_block"], x);
  };
  GRAFT_ASSIGN_OR_RETURN(mixer.instead, ReadRecurrentLayers(config, decoder.sizes.layers));
  decoder.mixer = std::move(mixer);
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
