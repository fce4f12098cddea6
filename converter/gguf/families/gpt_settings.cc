// SPDX-License-Identifier: Apache-2.0
// Settings of older families, whose keys are their own.
#include <string>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_source.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

void Rename(const char* from, const char* to, Json* config) {
  (*config)[to] = (*config)[from];
  config->erase(from);
}

// What these families do not say, or say otherwise.
void EraseGatedKeys(Json* config) {
  for (const char* key :
       {"intermediate_size", "num_key_value_heads", "head_dim", "hidden_act", "attention_bias",
        "mlp_bias", "rms_norm_eps", "rope_theta", "partial_rotary_factor", "rope_scaling"})
    config->erase(key);
}

}  // namespace

// A key for each group of queries, or one for all. The first models, which have one for all, are told
// by it.
Status AddFalcon(const FamilySource& source) {
  Json& config = *source.config;
  const auto keys = config["num_key_value_heads"].get<int64_t>();
  const bool has_two_norms = source.HasTensor("blk.0.attn_norm_2.weight");
  const bool is_equal = keys == config["num_attention_heads"].get<int64_t>();
  const bool is_newer = has_two_norms || (keys > 1 && !is_equal);
  const Json theta = config["rope_theta"];
  const Json hidden = config["intermediate_size"];
  EraseGatedKeys(&config);
  config["rope_theta"] = theta;
  config["ffn_hidden_size"] = hidden;
  config["new_decoder_architecture"] = is_newer;
  config["num_kv_heads"] = keys;
  config["multi_query"] = is_newer || !is_equal;
  config["parallel_attn"] = true;
  config["num_ln_in_parallel_attn"] = has_two_norms ? 2 : 1;
  config["bias"] = source.HasTensor("blk.0.attn_qkv.bias");
  config["alibi"] = false;
  config["activation"] = "gelu";
  return source.SetNumber("attention.layer_norm_epsilon", "layer_norm_epsilon", 1e-5);
}

Status AddBloom(const FamilySource& source) {
  Json& config = *source.config;
  EraseGatedKeys(&config);
  Rename("num_hidden_layers", "n_layer", &config);
  Rename("num_attention_heads", "n_head", &config);
  Rename("max_position_embeddings", "seq_length", &config);
  return source.SetNumber("attention.layer_norm_epsilon", "layer_norm_epsilon", 1e-5);
}

Status AddMpt(const FamilySource& source) {
  Json& config = *source.config;
  if (config["num_key_value_heads"] != config["num_attention_heads"])
    return source.settings.Fail("attention.head_count_kv", "is not that of queries");
  constexpr const char* kSlopes = "attention.max_alibi_bias";
  constexpr double kUsual = 8.0;
  GRAFT_ASSIGN_OR_RETURN(const double slopes, source.settings.GetNumber(kSlopes, 0.0));
  if (slopes != kUsual) return source.settings.Fail(kSlopes, "is not 8");
  EraseGatedKeys(&config);
  Rename("hidden_size", "d_model", &config);
  Rename("num_hidden_layers", "n_layers", &config);
  Rename("num_attention_heads", "n_heads", &config);
  Rename("max_position_embeddings", "max_seq_len", &config);
  GRAFT_ASSIGN_OR_RETURN(const double clip, source.settings.GetNumber("attention.clamp_kqv", 0.0));
  Json attention = {{"alibi", true}, {"alibi_bias_max", kUsual}};
  if (clip != 0.0) attention["clip_qkv"] = clip;
  config["attn_config"] = std::move(attention);
  return source.SetNumber("attention.layer_norm_epsilon", "layer_norm_epsilon", 1e-5);
}

}  // namespace graft::converter
