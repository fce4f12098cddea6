// SPDX-License-Identifier: Apache-2.0
// What llama.cpp computes for a family without a setting is what its models were released with.
#include "converter/gguf/family_settings.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxSize = int64_t{1} << 24;
constexpr int64_t kMaxExperts = 4096;

struct Source {
  const GgufParts& parts;
  const GgufSettings& settings;
  Json* config;

  bool HasTensor(std::string_view name) const { return parts.Find(name) != nullptr; }
  int64_t layers() const { return (*config)["num_hidden_layers"].get<int64_t>(); }

  Status SetNumber(const char* key, const char* name, double usual) const {
    GRAFT_ASSIGN_OR_RETURN((*config)[name], settings.GetNumber(key, usual));
    return OkStatus();
  }
  Status SetInt(const char* key, const char* name, int64_t most) const {
    GRAFT_ASSIGN_OR_RETURN((*config)[name], settings.GetIntIn(key, 1, most));
    return OkStatus();
  }
  // Of families that say of biases by a setting of their own, or always have them.
  bool TakeBias() const {
    const bool has_bias = (*config)["attention_bias"].get<bool>();
    config->erase("attention_bias");
    config->erase("mlp_bias");
    return has_bias;
  }
  // The epsilon of LayerNorms, in place of RMSNorms'.
  Status SetEpsilon(const char* name) const {
    config->erase("rms_norm_eps");
    return SetNumber("attention.layer_norm_epsilon", name, 1e-5);
  }
  // Windows, on the layers that a list names, or else as the family usually has them.
  Status SetWindows() const {
    GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                           settings.GetIntIn("attention.sliding_window", 0, kMaxSize, 0));
    if (window == 0) {
      (*config)["sliding_window"] = nullptr;
      return OkStatus();
    }
    (*config)["sliding_window"] = window;
    constexpr const char* kPattern = "attention.sliding_window_pattern";
    if (!settings.Has(kPattern)) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> slides,
                           settings.header().GetInts(settings.Key(kPattern)));
    if (static_cast<int64_t>(slides.size()) != layers())
      return settings.Fail(kPattern, "does not say it of each layer", StatusCode::kCorrupt);
    Json types = Json::array();
    for (const int64_t s : slides) types.push_back(s ? "sliding_attention" : "full_attention");
    (*config)["layer_types"] = std::move(types);
    return OkStatus();
  }
  Status SetExperts(const char* hidden_key, const char* hidden_name, bool normalized) const {
    GRAFT_RETURN_IF_ERROR(SetInt("expert_count", "num_experts", kMaxExperts));
    GRAFT_RETURN_IF_ERROR(SetInt("expert_used_count", "num_experts_per_tok", kMaxExperts));
    (*config)["norm_topk_prob"] = normalized;
    return SetInt(hidden_key, hidden_name, kMaxSize);
  }
};

Status AddMixtral(const Source& source) {
  GRAFT_RETURN_IF_ERROR(source.SetExperts("feed_forward_length", "intermediate_size", true));
  // The keys that Mixtral has.
  source.config->erase("norm_topk_prob");
  (*source.config)["num_local_experts"] = (*source.config)["num_experts"];
  source.config->erase("num_experts");
  return OkStatus();
}

Status AddQwen2Moe(const Source& source) {
  (*source.config)["qkv_bias"] = source.TakeBias();
  GRAFT_RETURN_IF_ERROR(source.SetInt("expert_shared_feed_forward_length",
                                      "shared_expert_intermediate_size", kMaxSize));
  return source.SetExperts("expert_feed_forward_length", "moe_intermediate_size", false);
}

Status AddQwen3Moe(const Source& source) {
  return source.SetExperts("expert_feed_forward_length", "moe_intermediate_size", true);
}

Status AddOlmoe(const Source& source) {
  return source.SetExperts("feed_forward_length", "intermediate_size", false);
}

Status AddLfm2(const Source& source) {
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

Status AddLfm2Moe(const Source& source) {
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

Status AddOlmo(const Source& source) {
  GRAFT_ASSIGN_OR_RETURN(const double clip, source.settings.GetNumber("attention.clamp_kqv", 0.0));
  if (clip != 0.0) (*source.config)["clip_qkv"] = clip;
  source.config->erase("rms_norm_eps");
  return OkStatus();
}

// OLMo 3 is written as OLMo 2 with windows.
Status AddOlmo2(const Source& source) {
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  if ((*source.config)["sliding_window"].is_null()) {
    source.config->erase("sliding_window");
    return OkStatus();
  }
  (*source.config)["model_type"] = "olmo3";
  (*source.config)["architectures"] = Json::array({"Olmo3ForCausalLM"});
  return OkStatus();
}

Status AddExaone4(const Source& source) { return source.SetWindows(); }

Status AddSeedOss(const Source& source) {
  (*source.config)["attention_out_bias"] = source.HasTensor("blk.0.attn_output.bias");
  return OkStatus();
}

Status AddErnie(const Source& source) {
  (*source.config)["use_bias"] = source.TakeBias();
  return OkStatus();
}

Status AddArcee(const Source& source) {
  (*source.config)["hidden_act"] = "relu2";
  return OkStatus();
}

Status AddNemotron(const Source& source) {
  (*source.config)["hidden_act"] = "relu2";
  return source.SetEpsilon("norm_eps");
}

Status AddStableLm(const Source& source) {
  (*source.config)["use_qkv_bias"] = source.TakeBias();
  (*source.config)["use_parallel_residual"] = !source.HasTensor("blk.0.ffn_norm.weight");
  (*source.config)["qk_layernorm"] = source.HasTensor("blk.0.attn_q_norm.weight");
  return source.SetEpsilon("layer_norm_eps");
}

Status AddStarcoder2(const Source& source) {
  (*source.config)["hidden_act"] = "gelu_pytorch_tanh";
  (*source.config)["use_bias"] = source.TakeBias();
  return source.SetEpsilon("norm_epsilon");
}

Status AddPhi2(const Source& source) {
  source.TakeBias();
  (*source.config)["hidden_act"] = "gelu_new";
  return source.SetEpsilon("layer_norm_eps");
}

Status AddCohere(const Source& source) {
  GRAFT_RETURN_IF_ERROR(source.SetNumber("logit_scale", "logit_scale", 0.0625));
  (*source.config)["use_qk_norm"] = source.HasTensor("blk.0.attn_q_norm.weight");
  return source.SetEpsilon("layer_norm_eps");
}

Status AddCohere2(const Source& source) {
  GRAFT_RETURN_IF_ERROR(source.SetNumber("logit_scale", "logit_scale", 0.0625));
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  return source.SetEpsilon("layer_norm_eps");
}

// The part of numbers below so many deviations of a normal distribution.
double PartBelow(double deviations) {
  // Written as a float; meant is a number of few digits.
  return std::round(0.5 * std::erfc(-deviations / std::numbers::sqrt2) * 1e6) / 1e6;
}

Status AddGemma3n(const Source& source) {
  Json& config = *source.config;
  constexpr int64_t kMostStreams = 16;
  GRAFT_RETURN_IF_ERROR(source.SetInt("altup.num_inputs", "altup_num_inputs", kMostStreams));
  GRAFT_ASSIGN_OR_RETURN(config["altup_active_idx"],
                         source.settings.GetIntIn("altup.active_idx", 0, kMostStreams - 1));
  GRAFT_RETURN_IF_ERROR(
      source.SetInt("embedding_length_per_layer_input", "hidden_size_per_layer_input", kMaxSize));
  GRAFT_ASSIGN_OR_RETURN(
      config["num_kv_shared_layers"],
      source.settings.GetIntIn("attention.shared_kv_layers", 0, source.layers()));
  const GgufTensor* table = source.parts.Find("per_layer_token_embd.weight");
  const GgufTensor* branch = source.parts.Find("blk.0.laurel_l.weight");
  if (table == nullptr || branch == nullptr || table->shape.empty() || branch->shape.empty()) {
    return Error(StatusCode::kCorrupt,
                 "%s: has no matrix 'per_layer_token_embd.weight' or 'blk.0.laurel_l.weight'",
                 source.parts.path().c_str());
  }
  config["vocab_size_per_layer_input"] = table->shape[0];
  config["laurel_rank"] = branch->shape[0];
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<double> scales,
      source.settings.header().GetNumbers(source.settings.Key("activation_sparsity_scale"),
                                          /*may_be_infinite=*/true));
  Json pattern = Json::array();
  for (const double scale : scales) pattern.push_back(PartBelow(scale));
  config["activation_sparsity_pattern"] = std::move(pattern);
  config.erase("hidden_act");
  config.erase("mlp_bias");
  config["hidden_activation"] = "gelu_pytorch_tanh";
  GRAFT_RETURN_IF_ERROR(
      source.SetNumber("final_logit_softcapping", "final_logit_softcapping", 30.0));
  GRAFT_RETURN_IF_ERROR(source.SetNumber("rope.freq_base_swa", "rope_local_base_freq", 10000.0));
  return source.SetWindows();
}

// Mistral Small 3 has this architecture, too, without queries that grow.
Status AddMistral3(const Source& source) {
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
  Status (*add)(const Source&);
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
};
constexpr std::string_view kWithExperts[] = {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe",
                                             "lfm2_moe"};

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

bool ClipsAttention(const GgufFamily& family) { return family.model_type == "olmo"; }

}  // namespace graft::converter
