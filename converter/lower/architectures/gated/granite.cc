// SPDX-License-Identifier: Apache-2.0
// The factors cost nothing on the device: each goes into a number that is there anyway, in float64.
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Llama with factors on embeddings, attention scores, residual branches and logits.
// Source   the Granite 3.0 report, 2024.
Status LowerGranite(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "mlp_bias", "embedding_multiplier", "attention_multiplier",
               "residual_multiplier", "logits_scaling"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config));
  GRAFT_ASSIGN_OR_RETURN(decoder.embedding_factor,
                         ReadPositive(config, "embedding_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const double score_factor,
                         ReadPositive(config, "attention_multiplier", 1.0));
  decoder.attention.scale = static_cast<float>(score_factor);
  GRAFT_ASSIGN_OR_RETURN(decoder.residual_factor, ReadPositive(config, "residual_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const double divisor, ReadPositive(config, "logits_scaling", 1.0));
  decoder.logits_factor = 1.0 / divisor;
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
