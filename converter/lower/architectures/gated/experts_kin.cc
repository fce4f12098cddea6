// SPDX-License-Identifier: Apache-2.0
// Decoders with mixtures of experts.
#include <algorithm>

#include "converter/lower/architectures/gated/lfm2.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::RoutingKind;

constexpr ExpertNames kMixtralNames = {.module = "block_sparse_moe",
                                       .router = "gate",
                                       .gate = "w1",
                                       .up = "w3",
                                       .down = "w2",
                                       .joint_module = "mlp"};

// Experts in every layer, as wide as intermediate_size says.
Result<ExpertsDesign> ReadExperts(const JsonValue& config, const GatedDecoder& decoder,
                                  int64_t usual_count, int64_t usual_choices) {
  ExpertsDesign experts;
  GRAFT_RETURN_IF_ERROR(ReadExpertCounts(config, usual_count, usual_choices, &experts));
  experts.hidden = decoder.sizes.mlp_hidden;
  experts.routing.normalized = true;
  return experts;
}

// Qwen's: experts in some layers, the others have a wider MLP.
Result<ExpertsDesign> ReadQwenExperts(const JsonValue& config, const GatedDecoder& decoder,
                                      int64_t usual_hidden, int64_t usual_count,
                                      int64_t usual_choices) {
  GRAFT_ASSIGN_OR_RETURN(ExpertsDesign experts,
                         ReadExperts(config, decoder, usual_count, usual_choices));
  GRAFT_ASSIGN_OR_RETURN(experts.hidden,
                         config.GetIntIn("moe_intermediate_size", 1, kMaxWidth, usual_hidden));
  GRAFT_ASSIGN_OR_RETURN(experts.routing.normalized, config.GetBool("norm_topk_prob", false));
  GRAFT_RETURN_IF_ERROR(ReadSparseLayers(config, decoder.sizes.layers, &experts));
  return experts;
}

// Where use_sliding_window is true.
Result<int64_t> ReadSwitchedWindow(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(const bool switched, config.GetBool("use_sliding_window", false));
  if (!switched) return int64_t{0};
  return config.GetIntIn("sliding_window", 1, kMaxContext, 4096);
}

}  // namespace

// Mistral with experts.
// Source   Jiang et al. 2024.
Status LowerMixtral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"num_experts", "num_local_experts", "sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.kv_heads = 8, .epsilon = 1e-5, .activation = "silu"}));
  decoder.qkv_bias = decoder.output_bias = decoder.mlp_bias = false;
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 0, &decoder));
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadExperts(config, decoder, 8, 2));
  decoder.experts->names = kMixtralNames;
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Mixtral with LayerNorms, whose router weighs its choices one after the other.
// Source   Liu et al. 2024.
Status LowerPhimoe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "num_experts", "num_local_experts", "sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(
          config, {.kv_heads = 8, .rope = {.theta = 1e6}, .epsilon = 1e-5, .activation = "silu"}));
  decoder.norm = {.centers = true, .bias = true};
  GRAFT_ASSIGN_OR_RETURN(decoder.head_bias, config.GetBool("lm_head_bias", false));
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 0, &decoder));
  const JsonValue rope =
      config.Find(config.Has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  const std::string_view key = task->long_context ? "long_mscale" : "short_mscale";
  if (!rope.IsNull() && rope.Has(key)) {
    GRAFT_ASSIGN_OR_RETURN(const double magnitude, ReadPositive(rope, key));
    decoder.rope->magnitude = static_cast<float>(magnitude);
  }
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadExperts(config, decoder, 16, 2));
  if (decoder.experts->routing.choices != 2)
    return config.Find("num_experts_per_tok").Fail("must be 2", StatusCode::kUnsupported);
  decoder.experts->names = kMixtralNames;
  decoder.experts->names.joint_router = "router";
  RoutingShape& routing = decoder.experts->routing;
  GRAFT_ASSIGN_OR_RETURN(const double jitter, config.GetDouble("router_jitter_noise", 0.01));
  if (!(jitter >= 0.0 && jitter <= 1e6))
    return config.Find("router_jitter_noise").Fail("must be a number of 0 to 1000000");
  routing.kind = RoutingKind::SparseMixer;
  routing.normalized = false;
  routing.jitter = static_cast<float>(jitter);
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Qwen 2's attention; beside the experts one that every row goes through, with a gate.
// Source   the Qwen1.5-MoE and Qwen2 releases, 2024.
Status LowerQwen2Moe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config,
      {"num_experts", "num_local_experts", "use_sliding_window", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.kv_heads = 16, .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(decoder.qkv_bias, config.GetBool("qkv_bias", true));
  decoder.output_bias = decoder.mlp_bias = false;
  GRAFT_ASSIGN_OR_RETURN(const int64_t window, ReadSwitchedWindow(config));
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, decoder.sizes.layers, window));
  if (listed) {
    decoder.windows = std::move(*listed);
  } else if (window > 0) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t layers,
                           config.GetIntIn("max_window_layers", 0, kMaxLayers, 28));
    for (int64_t layer = 0; layer < std::min(layers, decoder.sizes.layers); layer += 2)
      decoder.windows[static_cast<size_t>(layer)] = window;
  }
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadQwenExperts(config, decoder, 1408, 60, 4));
  SharedExpert& shared = decoder.experts->shared;
  shared = {.name = "shared_expert", .gate = "shared_expert_gate"};
  GRAFT_ASSIGN_OR_RETURN(shared.hidden,
                         config.GetIntIn("shared_expert_intermediate_size", 1, kMaxWidth, 5632));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Qwen 3 with experts.
// Source   Yang et al. 2025.
Status LowerQwen3Moe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "num_experts", "num_local_experts",
                                   "use_sliding_window", "sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.kv_heads = 4, .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  GRAFT_ASSIGN_OR_RETURN(const int64_t window, ReadSwitchedWindow(config));
  std::fill(decoder.windows.begin(), decoder.windows.end(), window);
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadQwenExperts(config, decoder, 768, 128, 8));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// OLMo with RMSNorms, all query and key heads normalized together, and experts.
// Source   Muennighoff et al. 2024.
Status LowerOlmoe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "clip_qkv", "num_experts"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.padding = 1, .epsilon = 1e-5, .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.head_norms.weights = HeadNorms::Weights::kTogether;
  if (config.Has("clip_qkv")) {
    GRAFT_ASSIGN_OR_RETURN(decoder.clip, ReadPositive(config, "clip_qkv"));
  }
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadExperts(config, decoder, 64, 8));
  GRAFT_ASSIGN_OR_RETURN(decoder.experts->routing.normalized,
                         config.GetBool("norm_topk_prob", false));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// LFM2 with experts behind its first layers, chosen by sigmoids with a bias of each.
// Source   the LFM2-8B-A1B release, 2025.
Status LowerLfm2Moe(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadLfm2(config));
  GRAFT_ASSIGN_OR_RETURN(decoder.sizes.mlp_hidden,
                         config.GetIntIn("intermediate_size", 1, kMaxWidth, 7168));
  GRAFT_ASSIGN_OR_RETURN(ExpertsDesign experts, ReadExperts(config, decoder, 32, 4));
  GRAFT_ASSIGN_OR_RETURN(experts.hidden,
                         config.GetIntIn("moe_intermediate_size", 1, kMaxWidth, 1792));
  GRAFT_ASSIGN_OR_RETURN(const int64_t dense,
                         config.GetIntIn("num_dense_layers", 0, kMaxLayers, 2));
  for (int64_t layer = 0; layer < decoder.sizes.layers; ++layer)
    experts.layers.push_back(layer >= dense);
  experts.names = {
      .module = "feed_forward", .router = "gate", .gate = "w1", .up = "w3", .down = "w2"};
  GRAFT_ASSIGN_OR_RETURN(const bool biased, config.GetBool("use_expert_bias", true));
  if (biased) experts.routing_bias = "expert_bias";
  RoutingShape& routing = experts.routing;
  routing.kind = RoutingKind::Sigmoid;
  routing.epsilon = 1e-6f;
  GRAFT_ASSIGN_OR_RETURN(routing.normalized, config.GetBool("norm_topk_prob", true));
  GRAFT_ASSIGN_OR_RETURN(const double scale, ReadPositive(config, "routed_scaling_factor", 1.0));
  routing.scale = static_cast<float>(scale);
  decoder.experts = std::move(experts);
  return LowerGatedDecoder(decoder, config, graph, task);
}

// gpt-oss: biases everywhere, sinks in attention, windows on every second layer, gates that are
// limited.
// Source   OpenAI 2025, the gpt-oss model card.
Status LowerGptOss(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config,
      {"attention_bias", "num_experts", "num_local_experts", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.head_dim = 64,
                                                   .kv_heads = 8,
                                                   .rope = {.theta = 150000.0},
                                                   .epsilon = 1e-5,
                                                   .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("attention_bias", true));
  decoder.qkv_bias = decoder.output_bias = bias;
  decoder.mlp_bias = false;
  decoder.sinks = "sinks";
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, 128));
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, decoder.sizes.layers, window));
  for (int64_t layer = 0; !listed && layer < decoder.sizes.layers; layer += 2)
    decoder.windows[static_cast<size_t>(layer)] = window;
  if (listed) decoder.windows = std::move(*listed);
  GRAFT_ASSIGN_OR_RETURN(decoder.experts, ReadExperts(config, decoder, 128, 4));
  ExpertsDesign& experts = *decoder.experts;
  experts.names.router = "router";
  experts.router_bias = experts.bias = true;
  experts.transposed = experts.interleaved = true;
  experts.limit = 7.0;
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
