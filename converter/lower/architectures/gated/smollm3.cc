// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

// no_rope_layers, whose name and numbers disagree: 1 is a layer that rotates.
Result<std::vector<bool>> ReadRotatingLayers(const JsonValue& config, int64_t layers) {
  std::vector<bool> rotates;
  if (!config.Has("no_rope_layers")) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t interval,
                           config.GetIntIn("no_rope_layer_interval", 1, kMaxLayers, 4));
    for (int64_t layer = 0; layer < layers; ++layer) rotates.push_back((layer + 1) % interval != 0);
    return rotates;
  }
  const JsonValue list = config.Find("no_rope_layers");
  if (!list.IsArray() || list.size() != static_cast<size_t>(layers)) {
    return list.Fail("must list 0 or 1 for each of the " + std::to_string(layers) + " layers");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t flag, list.at(i).AsInt());
    if (flag != 0 && flag != 1) return list.at(i).Fail("must be 0 or 1");
    rotates.push_back(flag == 1);
  }
  return rotates;
}

}  // namespace

// Llama of which every fourth layer does not rotate (NoPE).
// Source   the SmolLM3 release, 2025; Yang et al. 2025 (RoPE to NoPE).
Status LowerSmolLm3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  constexpr double kUsualTheta = 2e6;
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "mlp_bias", "no_rope_layers",
                                   "use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.tied = true, .rope = {.theta = kUsualTheta}, .padding = 128004}));
  GRAFT_ASSIGN_OR_RETURN(decoder.rotates, ReadRotatingLayers(config, decoder.sizes.layers));
  GRAFT_RETURN_IF_ERROR(ReadSwitchedWindows(config, &decoder));
  if (!config.Has("layer_types")) {
    // Only layers that do not rotate slide.
    GRAFT_ASSIGN_OR_RETURN(const bool switched, config.GetBool("use_sliding_window", false));
    GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                           config.GetIntIn("sliding_window", 1, kMaxContext, 0));
    for (size_t i = 0; i < decoder.windows.size(); ++i) {
      decoder.windows[i] = switched && !decoder.rotates[i] ? window : 0;
    }
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
