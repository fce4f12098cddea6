// SPDX-License-Identifier: Apache-2.0
// The LFM2 models: short gated convolutions, and attention in some layers.
#include "converter/lower/architectures/gated/lfm2.h"

#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostTaps = 1024;

// in_proj gives a gate before the convolution, one behind it, and what goes through it.
Result<Mixer> ReadMixer(const JsonValue& config, int64_t layers) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t kernel, config.GetIntIn("conv_L_cache", 2, kMostTaps, 3));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("conv_bias", false));
  Mixer mixer;
  mixer.mix = [kernel, bias](const Module& layer, ValueId x) {
    const Module m = layer["conv"];
    GraphBuilder& g = m.graph();
    const int64_t hidden = g.Width(x);
    x = m.Linear("in_proj", x, 3 * hidden, bias);
    const TensorId weight = g.ColumnKernels(m.Name("conv.weight"), hidden, kernel);
    const TensorId biases = bias ? g.Vector(m.Name("conv.bias"), hidden) : TensorId{};
    x = g.ShortConvolution(m.Name("conv"), x, weight, biases, /*gated=*/true);
    return m.Linear("out_proj", x, hidden, bias);
  };
  GRAFT_ASSIGN_OR_RETURN(auto listed,
                         ReadLayersOfType(config, "layer_types", layers, "conv", "full_attention"));
  if (listed) {
    mixer.instead = std::move(*listed);
    return mixer;
  }
  const JsonValue attends = config.Find("full_attn_idxs");
  mixer.instead.assign(static_cast<size_t>(layers), config.Has("full_attn_idxs"));
  for (size_t i = 0; i < attends.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t layer, attends.at(i).AsInt());
    if (layer >= 0 && layer < layers) mixer.instead[static_cast<size_t>(layer)] = false;
  }
  return mixer;
}

// The width that the file gives is first cut to two thirds and rounded up, unless it says not to.
Result<int64_t> ReadMlpWidth(const JsonValue& config) {
  const char* key = config.Has("block_ff_dim") ? "block_ff_dim" : "intermediate_size";
  GRAFT_ASSIGN_OR_RETURN(int64_t width, config.GetIntIn(key, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(const bool adjusts, config.GetBool("block_auto_adjust_ff_dim", true));
  if (!adjusts) return width;
  width = 2 * width / 3;
  if (Mentions(config, "block_ffn_dim_multiplier") && !config.Has("block_ffn_dim_multiplier"))
    return width;
  GRAFT_ASSIGN_OR_RETURN(const double factor,
                         ReadPositive(config, "block_ffn_dim_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const int64_t multiple,
                         config.GetIntIn("block_multiple_of", 1, kMaxWidth, 256));
  const double scaled = factor * static_cast<double>(width);
  if (scaled < 1.0 || scaled > static_cast<double>(kMaxWidth)) {
    return config.Find("block_ffn_dim_multiplier").Fail("gives an MLP that is too narrow or wide");
  }
  return (static_cast<int64_t>(scaled) + multiple - 1) / multiple * multiple;
}

}  // namespace

Result<GatedDecoder> ReadLfm2(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"layer_types", "num_experts"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.tied = true,
                                                   .kv_heads = 8,
                                                   .mlp_key = "intermediate_size",
                                                   .rope = {.theta = 1e6},
                                                   .padding = 0,
                                                   .epsilon_key = "norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation_key = "",
                                                   .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(decoder.tied_head, config.GetBool("tie_embedding", decoder.tied_head));
  decoder.names.attention_output = "out_proj";
  decoder.names.mlp = "feed_forward";
  decoder.mlp.gate = "w1";
  decoder.mlp.up = "w3";
  decoder.mlp.down = "w2";
  decoder.norm_names = {
      .before_attention = "operator_norm", .before_mlp = "ffn_norm", .last = "embedding_norm"};
  decoder.head_norms = {
      .weights = HeadNorms::Weights::kShared, .query = "q_layernorm", .key = "k_layernorm"};
  GRAFT_ASSIGN_OR_RETURN(decoder.mixer, ReadMixer(config, decoder.sizes.layers));
  return decoder;
}

// Source   Liquid AI 2025, "LFM2 Technical Report".
Status LowerLfm2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadLfm2(config));
  GRAFT_ASSIGN_OR_RETURN(decoder.sizes.mlp_hidden, ReadMlpWidth(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
