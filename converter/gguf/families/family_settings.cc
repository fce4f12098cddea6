// SPDX-License-Identifier: Apache-2.0
// What llama.cpp computes for a family without a setting is what its models were released with.
#include "converter/gguf/families/family_settings.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_source.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

Status AddMixtral(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetExperts("feed_forward_length", "intermediate_size", true));
  // The keys that Mixtral has.
  source.config->erase("norm_topk_prob");
  (*source.config)["num_local_experts"] = (*source.config)["num_experts"];
  source.config->erase("num_experts");
  return OkStatus();
}

Status AddQwen2Moe(const FamilySource& source) {
  (*source.config)["qkv_bias"] = source.TakeBias();
  GRAFT_RETURN_IF_ERROR(source.SetInt("expert_shared_feed_forward_length",
                                      "shared_expert_intermediate_size", kMaxFamilySize));
  return source.SetExperts("expert_feed_forward_length", "moe_intermediate_size", false);
}

Status AddQwen3Moe(const FamilySource& source) {
  return source.SetExperts("expert_feed_forward_length", "moe_intermediate_size", true);
}

Status AddOlmoe(const FamilySource& source) {
  return source.SetExperts("feed_forward_length", "intermediate_size", false);
}

// Granite's multipliers are set where its dense models' are.
Status AddGraniteMoe(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetExperts("feed_forward_length", "intermediate_size", true));
  source.config->erase("norm_topk_prob");
  source.config->erase("mlp_bias");
  (*source.config)["num_local_experts"] = (*source.config)["num_experts"];
  source.config->erase("num_experts");
  return OkStatus();
}

// With an MLP beside the experts, where the file has it.
Status AddGraniteMoeShared(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(AddGraniteMoe(source));
  return source.SetInt("expert_shared_feed_forward_length", "shared_intermediate_size",
                       kMaxFamilySize);
}

// Every second layer has a window, if the file does not list them.
Status AddGptOss(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetExperts("expert_feed_forward_length", "intermediate_size", true));
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  if ((*source.config)["sliding_window"].is_null())
    return source.settings.Fail("attention.sliding_window", "is missing", StatusCode::kCorrupt);
  source.config->erase("norm_topk_prob");
  source.config->erase("mlp_bias");
  (*source.config)["num_local_experts"] = (*source.config)["num_experts"];
  source.config->erase("num_experts");
  return OkStatus();
}

Status AddLfm2(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_RETURN_IF_ERROR(source.SetInt("shortconv.l_cache", "conv_L_cache", 1024));
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> heads,
      source.settings.header().GetInts(source.settings.Key("attention.head_count_kv")));
  if (static_cast<int64_t>(heads.size()) != source.layers()) {
    return source.settings.Fail("attention.head_count_kv", "does not say it of each layer",
                                StatusCode::kCorrupt);
  }
  Json types = Json::array();
  for (const int64_t count : heads) types.push_back(count > 0 ? "full_attention" : "conv");
  config["layer_types"] = std::move(types);
  config["conv_bias"] = false;
  config["block_auto_adjust_ff_dim"] = false;
  config["norm_eps"] = config["rms_norm_eps"];
  config.erase("rms_norm_eps");
  config.erase("hidden_act");
  return OkStatus();
}

Status AddLfm2Moe(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_RETURN_IF_ERROR(AddLfm2(source));
  GRAFT_ASSIGN_OR_RETURN(const int64_t dense, source.settings.GetIntIn("leading_dense_block_count",
                                                                       0, source.layers(), 0));
  config["num_dense_layers"] = dense;
  config["use_expert_bias"] =
      source.HasTensor("blk." + std::to_string(dense) + ".exp_probs_b.bias");
  GRAFT_RETURN_IF_ERROR(source.SetNumber("expert_weights_scale", "routed_scaling_factor", 1.0));
  return source.SetExperts("expert_feed_forward_length", "moe_intermediate_size", true);
}

Status AddOlmo(const FamilySource& source) {
  GRAFT_ASSIGN_OR_RETURN(const double clip, source.settings.GetNumber("attention.clamp_kqv", 0.0));
  if (clip != 0.0) (*source.config)["clip_qkv"] = clip;
  source.config->erase("rms_norm_eps");
  return OkStatus();
}

// OLMo 3 is written as OLMo 2 with windows.
Status AddOlmo2(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  if ((*source.config)["sliding_window"].is_null()) {
    source.config->erase("sliding_window");
    return OkStatus();
  }
  (*source.config)["model_type"] = "olmo3";
  (*source.config)["architectures"] = Json::array({"Olmo3ForCausalLM"});
  return OkStatus();
}

Status AddExaone4(const FamilySource& source) { return source.SetWindows(); }

Status AddSeedOss(const FamilySource& source) {
  (*source.config)["attention_out_bias"] = source.HasTensor("blk.0.attn_output.bias");
  return OkStatus();
}

Status AddErnie(const FamilySource& source) {
  (*source.config)["use_bias"] = source.TakeBias();
  return OkStatus();
}

Status AddArcee(const FamilySource& source) {
  (*source.config)["hidden_act"] = "relu2";
  return OkStatus();
}

Status AddNemotron(const FamilySource& source) {
  (*source.config)["hidden_act"] = "relu2";
  return source.SetEpsilon("norm_eps");
}

Status AddStableLm(const FamilySource& source) {
  (*source.config)["use_qkv_bias"] = source.TakeBias();
  (*source.config)["use_parallel_residual"] = !source.HasTensor("blk.0.ffn_norm.weight");
  (*source.config)["qk_layernorm"] = source.HasTensor("blk.0.attn_q_norm.weight");
  return source.SetEpsilon("layer_norm_eps");
}

Status AddStarcoder2(const FamilySource& source) {
  (*source.config)["hidden_act"] = "gelu_pytorch_tanh";
  (*source.config)["use_bias"] = source.TakeBias();
  return source.SetEpsilon("norm_epsilon");
}

Status AddPhi2(const FamilySource& source) {
  source.TakeBias();
  (*source.config)["hidden_act"] = "gelu_new";
  return source.SetEpsilon("layer_norm_eps");
}

Status AddCohere(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetNumber("logit_scale", "logit_scale", 0.0625));
  (*source.config)["use_qk_norm"] = source.HasTensor("blk.0.attn_q_norm.weight");
  return source.SetEpsilon("layer_norm_eps");
}

Status AddCohere2(const FamilySource& source) {
  GRAFT_RETURN_IF_ERROR(source.SetNumber("logit_scale", "logit_scale", 0.0625));
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  return source.SetEpsilon("layer_norm_eps");
}

// Mistral Small 3 has this architecture, too, without queries that grow.
Status AddMistral3(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(const double growth,
                         source.settings.GetNumber("attention.temperature_scale", 0.0));
  if (growth == 0.0) {
    config["model_type"] = "mistral";
    config["architectures"] = Json::array({"MistralForCausalLM"});
    return OkStatus();
  }
  if (!config.contains("rope_scaling") || config["rope_scaling"]["rope_type"] != "yarn")
    return source.settings.Fail("rope.scaling.type", "must be yarn, as queries grow");
  Json rope = std::move(config["rope_scaling"]);
  config.erase("rope_scaling");
  rope["rope_theta"] = config["rope_theta"];
  rope["llama_4_scaling_beta"] = growth;
  // Both magnitudes are the same, and cancel.
  GRAFT_ASSIGN_OR_RETURN(const double magnitude,
                         source.settings.GetNumber("rope.scaling.yarn_log_multiplier", 1.0));
  rope["mscale"] = rope["mscale_all_dim"] = magnitude;
  config["rope_parameters"] = std::move(rope);
  return OkStatus();
}

struct Named {
  std::string_view model_type;
  Status (*add)(const FamilySource&);
};
constexpr Named kNamed[] = {
    {"mixtral", AddMixtral},
    {"qwen2_moe", AddQwen2Moe},
    {"qwen3_moe", AddQwen3Moe},
    {"olmoe", AddOlmoe},
    {"lfm2", AddLfm2},
    {"lfm2_moe", AddLfm2Moe},
    {"olmo", AddOlmo},
    {"olmo2", AddOlmo2},
    {"exaone4", AddExaone4},
    {"seed_oss", AddSeedOss},
    {"ernie4_5", AddErnie},
    {"arcee", AddArcee},
    {"nemotron", AddNemotron},
    {"stablelm", AddStableLm},
    {"starcoder2", AddStarcoder2},
    {"phi", AddPhi2},
    {"cohere", AddCohere},
    {"cohere2", AddCohere2},
    {"ministral3", AddMistral3},
    {"gemma3n_text", AddGemma3n},
    {"gemma4_text", AddGemma4},
    {"granitemoe", AddGraniteMoe},
    {"granitemoeshared", AddGraniteMoeShared},
    {"granitemoehybrid", AddGraniteHybrid},
    {"gpt_oss", AddGptOss},
    {"mamba", AddMamba},
    {"mamba2", AddMamba2},
    {"falcon_h1", AddFalconH1},
    {"qwen3_5_text", AddQwen35},
    {"falcon", AddFalcon},
    {"bloom", AddBloom},
    {"mpt", AddMpt},
    {"modernbert", AddModernBert},
};
constexpr std::string_view kWithExperts[] = {
    "mixtral",    "qwen2_moe",        "qwen3_moe",        "olmoe",  "lfm2_moe",
    "granitemoe", "granitemoeshared", "granitemoehybrid", "gpt_oss"};

}  // namespace

Status AddFamilySettings(const GgufParts& parts, const GgufSettings& settings,
                         const GgufFamily& family, Json* config) {
  for (const Named& named : kNamed) {
    if (named.model_type == family.model_type) return named.add({parts, settings, config});
  }
  return OkStatus();
}

bool HasExperts(const GgufFamily& family) {
  return std::find(std::begin(kWithExperts), std::end(kWithExperts), family.model_type) !=
         std::end(kWithExperts);
}

bool ClipsAttention(const GgufFamily& family) {
  return family.model_type == "olmo" || family.model_type == "mpt";
}

}  // namespace graft::converter
