// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Apertus: Llama with normalized query and key heads and an MLP without a gate, whose activation is
// learned.
// Source   the Apertus report, 2025.
Status LowerApertus(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(const std::string activation, config.GetString("hidden_act", "xielu"));
  const bool learned = activation == "xielu";
  // Read in any case, so that another activation is named if it is unknown.
  const GatedDefaults defaults = {.rope = {.theta = 12e6},
                                  .padding = 3,
                                  .epsilon = 1e-5,
                                  .activation_key = learned ? "no_activation" : "hidden_act",
                                  .activation = "silu"};
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, defaults));
  if (!config.Has("rope_parameters") && !config.Has("rope_scaling")) {
    return config.Fail("has no rope_parameters", StatusCode::kUnsupported);
  }
  decoder.mlp_bias = false;
  decoder.mlp.gated = false;
  decoder.mlp.learned_activation = learned;
  decoder.norm_names.before_attention = "attention_layernorm";
  decoder.norm_names.before_mlp = "feedforward_layernorm";
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
