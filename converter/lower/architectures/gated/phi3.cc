// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Phi-3 and Phi-4-mini: Llama whose query, key and value lie in one matrix, gate and up in
// another.
// Source   Abdin et al. 2024.
Status LowerPhi3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.rope = {.original_context = 4096, .yarn_is_longrope = true},
                                .padding = 32000}));
  decoder.fused = ByParts("qkv_proj", decoder.attention);
  decoder.mlp.fused = "gate_up_proj";
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, 0));
  decoder.windows.assign(decoder.windows.size(), window);
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
