// SPDX-License-Identifier: Apache-2.0
// The dense Qwen models.
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Llama with biases on query, key and value, and windows on some layers: Qwen 1.5, 2 and 2.5.
// Source   Yang et al. 2024.
Status LowerQwen2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config));
  decoder.qkv_bias = true;
  decoder.output_bias = false;
  GRAFT_RETURN_IF_ERROR(ReadSwitchedWindows(config, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Qwen2 without those biases, its query and key heads normalized.
// Source   Yang et al. 2025.
Status LowerQwen3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  constexpr int64_t kUsualHeadDim = 128;
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.head_dim = kUsualHeadDim}));
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  GRAFT_RETURN_IF_ERROR(ReadSwitchedWindows(config, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
