// SPDX-License-Identifier: Apache-2.0
// Falcon-H1: a state space beside attention in every layer, and factors on everything, which go into
// the weights.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/architectures/state_space.h"

namespace graft::converter {
namespace {

Result<double> ReadFactor(const JsonValue& config, std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const double factor, config.GetDouble(key, 1.0));
  if (!std::isfinite(factor)) return config.Find(key).Fail("must be finite");
  return factor;
}

Result<std::vector<double>> ReadFactors(const JsonValue& config, std::string_view key,
                                        size_t count) {
  std::vector<double> factors(count, 1.0);
  const JsonValue listed = config.Find(key);
  if (listed.IsNull()) return factors;
  if (!listed.IsArray() || listed.size() != count)
    return listed.Fail("must be " + std::to_string(count) + " numbers");
  for (size_t i = 0; i < count; ++i) {
    GRAFT_ASSIGN_OR_RETURN(factors[i], listed.at(i).AsDouble());
    if (!std::isfinite(factors[i])) return listed.at(i).Fail("must be finite");
  }
  return factors;
}

Result<StateSpace> ReadSpace(const JsonValue& config, const GatedDecoder& decoder) {
  StateSpaceKeys keys = kMambaKeys;
  keys.usual_head_dim = 0;
  // Null, and only null, leaves the width to mamba_expand.
  int64_t width = Mentions(config, "mamba_d_ssm") ? 0 : 1024;
  if (config.Has("mamba_d_ssm")) {
    GRAFT_ASSIGN_OR_RETURN(width, config.GetIntIn("mamba_d_ssm", 1, kMaxWidth));
  }
  GRAFT_ASSIGN_OR_RETURN(StateSpace space,
                         ReadStateSpace(config, keys, decoder.sizes.hidden, width));
  space.epsilon = decoder.epsilon;
  GRAFT_ASSIGN_OR_RETURN(space.out_bias, config.GetBool("projectors_bias", false));
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, config.GetBool("mamba_rms_norm", false));
  GRAFT_ASSIGN_OR_RETURN(const bool before_gate, config.GetBool("mamba_norm_before_gate", true));
  space.norm = !normalizes   ? StateSpace::Norm::kNone
               : before_gate ? StateSpace::Norm::kGatedAfter
                             : StateSpace::Norm::kGatedFirst;
  space.norm_runs = space.scan.groups;
  GRAFT_ASSIGN_OR_RETURN(space.in_factor, ReadFactor(config, "ssm_in_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(space.out_factor, ReadFactor(config, "ssm_out_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(space.factors, ReadFactors(config, "ssm_multipliers", 5));
  return space;
}

}  // namespace

// Source   Falcon-LLM Team 2025, "Falcon-H1".
Status LowerFalconH1(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "mlp_bias", "embedding_multiplier"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config,
                       {.kv_heads = 8, .padding = 0, .epsilon = 1e-5, .activation = "silu"}));
  decoder.names.mlp = "feed_forward";
  decoder.norm_names = {.before_mlp = "pre_ff_layernorm", .last = "final_layernorm"};
  GRAFT_ASSIGN_OR_RETURN(decoder.embedding_factor, ReadFactor(config, "embedding_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(decoder.logits_factor, ReadFactor(config, "lm_head_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(decoder.attention_factor, ReadFactor(config, "attention_out_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(decoder.attention_input_factor,
                         ReadFactor(config, "attention_in_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(decoder.key_factor, ReadFactor(config, "key_multiplier"));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> of_mlp,
                         ReadFactors(config, "mlp_multipliers", 2));
  decoder.mlp.gate_factor = of_mlp[0];
  decoder.mlp.down_factor = of_mlp[1];
  GRAFT_ASSIGN_OR_RETURN(const StateSpace space, ReadSpace(config, decoder));
  decoder.mixer =
      Mixer{.mix = [space](const Module& layer,
                           ValueId x) { return MixByStateSpace(space, layer["mamba"], x); },
            .instead = {}};
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
