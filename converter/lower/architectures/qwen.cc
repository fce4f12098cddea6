// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/qwen.h"

#include "converter/lower/architectures/gated_decoder.h"

namespace graft::converter {

Status LowerQwen2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config));
  decoder.qkv_bias = true;
  decoder.output_bias = false;
  GRAFT_RETURN_IF_ERROR(ReadSwitchedWindows(config, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

Status LowerQwen3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  constexpr int64_t kUsualHeadDim = 128;
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, false, kUsualHeadDim));
  decoder.normalizes_heads = true;
  GRAFT_RETURN_IF_ERROR(ReadSwitchedWindows(config, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
