// SPDX-License-Identifier: Apache-2.0
// The factors cost nothing on the device: each goes into a number that is there anyway, in float64.
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/state_space.h"

namespace graft::converter {
namespace {

// Factors on embeddings, attention scores, residual branches and logits.
Result<GatedDecoder> ReadGranite(const JsonValue& config, const GatedDefaults& defaults) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, defaults));
  GRAFT_ASSIGN_OR_RETURN(decoder.embedding_factor,
                         ReadPositive(config, "embedding_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const double score_factor,
                         ReadPositive(config, "attention_multiplier", 1.0));
  decoder.attention.scale = static_cast<float>(score_factor);
  GRAFT_ASSIGN_OR_RETURN(decoder.residual_factor, ReadPositive(config, "residual_multiplier", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const double divisor, ReadPositive(config, "logits_scaling", 1.0));
  decoder.logits_factor = 1.0 / divisor;
  return decoder;
}

// Positions are told by a rope or not at all.
Status ReadPositionEmbedding(const JsonValue& config, GatedDecoder* decoder) {
  if (!config.Has("position_embedding_type")) {
    decoder->rope.reset();
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("position_embedding_type"));
  if (type == "rope") return OkStatus();
  if (type == "nope") {
    decoder->rope.reset();
    return OkStatus();
  }
  return config.Find("position_embedding_type")
      .Fail("is \"" + type + "\"; this version knows rope, nope and null",
            StatusCode::kUnsupported);
}

}  // namespace

// Llama with factors on embeddings, attention scores, residual branches and logits.
// Source   the Granite 3.0 report, 2024.
Status LowerGranite(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "mlp_bias", "embedding_multiplier", "attention_multiplier",
               "residual_multiplier", "logits_scaling"}));
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGranite(config, {}));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Granite 4: state spaces in most layers, and MLPs whose halves lie in one matrix.
// Source   the Granite 4.0 release, 2025.
Status LowerGraniteHybrid(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "embedding_multiplier", "attention_multiplier",
                                   "residual_multiplier", "logits_scaling", "layer_types"}));
  if (!Mentions(config, "num_local_experts")) {
    return config.Fail("has no num_local_experts, which then are 8; this version knows 0",
                       StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGranite(config, {.activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(decoder.sizes.mlp_hidden,
                         config.GetIntIn("shared_intermediate_size", 1, kMaxWidth, 1024));
  decoder.names.mlp = "shared_mlp";
  decoder.mlp_bias = false;
  decoder.mlp.fused = "input_linear";
  decoder.mlp.down = "output_linear";
  GRAFT_RETURN_IF_ERROR(ReadPositionEmbedding(config, &decoder));
  StateSpaceKeys keys = kMambaKeys;
  keys.usual_head_dim = 0;
  GRAFT_ASSIGN_OR_RETURN(StateSpace space, ReadStateSpace(config, keys, decoder.sizes.hidden));
  space.epsilon = decoder.epsilon;
  space.out_factor = decoder.residual_factor;
  Mixer mixer;
  mixer.mix = [space](const Module& layer, ValueId x) {
    return MixByStateSpace(space, layer["mamba"], x);
  };
  const int64_t layers = decoder.sizes.layers;
  GRAFT_ASSIGN_OR_RETURN(auto listed,
                         ReadLayersOfType(config, "layer_types", layers, "mamba", "attention"));
  mixer.instead = listed.value_or(std::vector<bool>(static_cast<size_t>(layers), true));
  decoder.mixer = std::move(mixer);
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
