// SPDX-License-Identifier: Apache-2.0
// Llama and Mistral.
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Llama 1 to 3.x, SmolLM 1 and 2, and whatever else calls itself "llama".
// Source   Touvron et al. 2023.
Status LowerLlama(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "mlp_bias"}));
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGatedDecoder(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama with a sliding attention window.
// Source   Jiang et al. 2023.
Status LowerMistral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config));
  // The window of the first Mistral.
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 4096, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
