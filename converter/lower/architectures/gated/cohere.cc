// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

Result<GatedDecoder> ReadCohere(const JsonValue& config, double usual_theta) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.tied = true,
                                                   .rope = {.theta = usual_theta},
                                                   .padding = 0,
                                                   .epsilon_key = "layer_norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.norm = {.centers = true};
  decoder.norm_names.before_mlp = {};
  decoder.parallel = true;
  decoder.interleaved = true;
  // It multiplies logits: with the last norm's weight it costs nothing.
  GRAFT_ASSIGN_OR_RETURN(decoder.logits_factor, ReadPositive(config, "logit_scale", 0.0625));
  return decoder;
}

}  // namespace

// Command R: attention and MLP beside each other behind one LayerNorm without bias; heads turn by
// neighbours and may be normalized, each with weights of its own.
// Source   the Command R release, 2024.
Status LowerCohere(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "logit_scale", "use_qk_norm"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadCohere(config, 5e5));
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, config.GetBool("use_qk_norm", false));
  if (normalizes)
    decoder.head_norms = {.weights = HeadNorms::Weights::kOwn, .design = {.centers = true}};
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Command R7B and A: windows on three layers of four, and only those rotate.
// Source   Cohere 2025.
Status LowerCohere2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "logit_scale", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadCohere(config, 1e4));
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval,
                         config.GetIntIn("sliding_window_pattern", 1, kMaxLayers, 4));
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, interval, 4096, &decoder));
  for (const int64_t window : decoder.windows) decoder.rotates.push_back(window > 0);
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
