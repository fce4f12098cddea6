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

// What all Granites with experts have: everything from ReadGranite, and the experts.
Result<ExpertsDesign> ReadGraniteExperts(const JsonValue& config, const GatedDecoder& decoder) {
  ExpertsDesign experts;
  GRAFT_RETURN_IF_ERROR(ReadExpertCounts(config, 8, 2, &experts));
  experts.hidden = decoder.sizes.mlp_hidden;
  experts.routing.normalized = true;
  experts.names = {.module = "block_sparse_moe",
                   .router = "router.layer",
                   .gate_up = "input_linear.weight",
                   .all_down = "output_linear.weight"};
  return experts;
}

// An MLP of the layer beside its experts.
SharedExpert GraniteShared(int64_t hidden) {
  return {.name = "shared_mlp",
          .of_layer = true,
          .fused = "input_linear",
          .down = "output_linear",
          .hidden = hidden};
}

Result<GatedDecoder> ReadGraniteMoe(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "embedding_multiplier", "attention_multiplier", "num_experts",
               "num_local_experts", "residual_multiplier", "logits_scaling"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGranite(config, {.activation = "silu"}));
  decoder.mlp_bias = false;
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadGraniteExperts(config, decoder));
  return decoder;
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

// Granite 4: state spaces in most layers, and MLPs whose halves lie in one matrix; perhaps experts.
// Source   the Granite 4.0 release, 2025.
Status LowerGraniteHybrid(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config,
      {"attention_bias", "embedding_multiplier", "attention_multiplier", "residual_multiplier",
       "logits_scaling", "layer_types", "num_experts", "num_local_experts"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGranite(config, {.activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(const int64_t shared,
                         config.GetIntIn("shared_intermediate_size", 1, kMaxWidth, 1024));
  // Without experts the MLP beside them is all there is.
  GRAFT_ASSIGN_OR_RETURN(const int64_t experts,
                         config.GetIntIn("num_local_experts", 0, kMostExperts, 8));
  if (experts > 0) {
    GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadGraniteExperts(config, decoder));
    decoder.experts->shared = GraniteShared(shared);
  }
  decoder.sizes.mlp_hidden = shared;
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

// Granite with experts.
// Source   the Granite 3.0 report, 2024.
Status LowerGraniteMoe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGraniteMoe(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// The same, with an MLP beside them that every row goes through.
// Source   the Granite 4.0 release, 2025.
Status LowerGraniteMoeShared(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGraniteMoe(config));
  GRAFT_ASSIGN_OR_RETURN(const int64_t hidden,
                         config.GetIntIn("shared_intermediate_size", 0, kMaxWidth, 0));
  if (hidden > 0) {
    decoder.experts->shared = GraniteShared(hidden);
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
