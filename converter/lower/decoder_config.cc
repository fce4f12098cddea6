// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/decoder_config.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace graft::converter {
namespace {

// The value with which a setting changes nothing. Null and a missing key never do.
enum class Neutral : uint8_t { kFalse, kTrue, kZero, kOne, kNothing };

struct Setting {
  std::string_view key;
  Neutral neutral;
};

// Settings of some decoder in transformers that change its outputs.
constexpr Setting kSettings[] = {
    {"add_cross_attention", Neutral::kFalse},
    {"alibi", Neutral::kFalse},
    {"attention_bias", Neutral::kFalse},
    {"attention_chunk_size", Neutral::kNothing},
    {"attention_multiplier", Neutral::kNothing},
    {"attn_logit_softcapping", Neutral::kNothing},
    {"clip_qkv", Neutral::kNothing},
    {"do_layer_norm_before", Neutral::kTrue},
    {"embedding_multiplier", Neutral::kOne},
    {"enable_bias", Neutral::kTrue},
    {"final_logit_softcapping", Neutral::kNothing},
    {"is_encoder_decoder", Neutral::kFalse},
    {"layer_norm_elementwise_affine", Neutral::kTrue},
    {"logit_scale", Neutral::kOne},
    {"logits_scaling", Neutral::kOne},
    {"mlp_bias", Neutral::kFalse},
    {"multi_query", Neutral::kFalse},
    {"no_rope_layers", Neutral::kNothing},
    {"num_experts", Neutral::kZero},
    {"num_local_experts", Neutral::kZero},
    {"parallel_attn", Neutral::kFalse},
    {"qk_layernorm", Neutral::kFalse},
    {"query_pre_attn_scalar", Neutral::kNothing},
    {"residual_multiplier", Neutral::kOne},
    {"rope_interleaved", Neutral::kFalse},
    {"scale_attn_by_inverse_layer_idx", Neutral::kFalse},
    {"scale_attn_weights", Neutral::kTrue},
    {"sliding_window", Neutral::kNothing},
    {"use_bidirectional_attention", Neutral::kFalse},
    {"use_parallel_residual", Neutral::kFalse},
    {"use_qk_norm", Neutral::kFalse},
    {"use_qkv_bias", Neutral::kFalse},
    {"use_sliding_window", Neutral::kFalse},
    {"word_embed_proj_dim", Neutral::kNothing},
};

bool IsNeutral(const JsonValue& value, Neutral neutral) {
  const auto is_number = [&](double wanted) {
    const auto number = value.AsDouble();
    return number.ok() && *number == wanted;
  };
  const auto is_bool = [&](bool wanted) {
    const auto flag = value.AsBool();
    return flag.ok() && *flag == wanted;
  };
  switch (neutral) {
    case Neutral::kFalse:
      return is_bool(false);
    case Neutral::kTrue:
      return is_bool(true);
    case Neutral::kZero:
      return is_number(0.0);
    case Neutral::kOne:
      return is_number(1.0);
    case Neutral::kNothing:
      break;
  }
  return false;
}

Status Refuse(const JsonValue& config, std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const std::string model, config.GetString("model_type"));
  return config.Find(key).Fail("is " + config.Find(key).Text() +
                                   ", which this version does not compute for models of type " +
                                   model,
                               StatusCode::kUnsupported);
}

}  // namespace

Result<DecoderSizes> ReadDecoderSizes(const JsonValue& config, std::string_view mlp_key) {
  DecoderSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  if (mlp_key.empty()) {
    GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden, config.GetIntIn("intermediate_size", 1, kMaxWidth));
  } else {
    GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden,
                           config.GetIntIn(mlp_key, 1, 4 * kMaxWidth, 4 * sizes.hidden));
  }
  GRAFT_ASSIGN_OR_RETURN(sizes.layers, config.GetIntIn("num_hidden_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(sizes.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  return sizes;
}

Result<AttentionShape> ReadAttentionShape(const JsonValue& config, int64_t hidden,
                                          int64_t usual_head_dim, int64_t usual_kv_heads) {
  AttentionShape attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads, config.GetIntIn("num_attention_heads", 1, kMaxHeads));
  if (usual_kv_heads == 0 || Mentions(config, "num_key_value_heads"))
    usual_kv_heads = attention.heads;
  GRAFT_ASSIGN_OR_RETURN(attention.kv_heads,
                         config.GetIntIn("num_key_value_heads", 1, kMaxHeads, usual_kv_heads));
  if (attention.heads % attention.kv_heads != 0) {
    return config.Find("num_key_value_heads")
        .Fail("is " + std::to_string(attention.kv_heads) + ", which does not divide the " +
              std::to_string(attention.heads) + " attention heads");
  }
  if (Mentions(config, "head_dim") && !config.Has("head_dim")) usual_head_dim = 0;
  if (usual_head_dim == 0) {
    if (!config.Has("head_dim") && hidden % attention.heads != 0) {
      return config.Find("num_attention_heads")
          .Fail("is " + std::to_string(attention.heads) + ", which does not divide hidden_size " +
                std::to_string(hidden) + ", and there is no head_dim");
    }
    usual_head_dim = hidden / attention.heads;
  }
  GRAFT_ASSIGN_OR_RETURN(attention.head_dim,
                         config.GetIntIn("head_dim", 1, kMaxHeadDim, usual_head_dim));
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  return attention;
}

Result<std::optional<std::vector<bool>>> ReadLayersOfType(const JsonValue& config,
                                                          std::string_view key, int64_t layers,
                                                          std::string_view wanted,
                                                          std::string_view other) {
  if (!config.Has(key)) return std::optional<std::vector<bool>>();
  const JsonValue types = config.Find(key);
  if (!types.IsArray() || types.size() != static_cast<size_t>(layers)) {
    return types.Fail("must list one type for each of the " + std::to_string(layers) + " layers");
  }
  std::vector<bool> of_type;
  for (size_t i = 0; i < types.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view type, types.at(i).AsString());
    if (type != other && type != wanted) {
      return types.at(i).Fail("is " + types.at(i).Text() + "; this version knows " +
                                  std::string(other) + " and " + std::string(wanted),
                              StatusCode::kUnsupported);
    }
    of_type.push_back(type == wanted);
  }
  return std::optional(std::move(of_type));
}

Result<std::optional<std::vector<bool>>> ReadSlidingLayers(const JsonValue& config,
                                                           int64_t layers) {
  return ReadLayersOfType(config, "layer_types", layers, "sliding_attention", "full_attention");
}

Result<std::optional<std::vector<int64_t>>> ReadListedWindows(const JsonValue& config,
                                                              int64_t layers, int64_t window) {
  GRAFT_ASSIGN_OR_RETURN(const auto sliding, ReadSlidingLayers(config, layers));
  if (!sliding) return std::optional<std::vector<int64_t>>();
  std::vector<int64_t> windows;
  for (size_t i = 0; i < sliding->size(); ++i) {
    const bool slides = (*sliding)[i];
    if (slides && window == 0) {
      return config.Find("layer_types")
          .at(i)
          .Fail("is sliding_attention, but there is no sliding_window");
    }
    windows.push_back(slides ? window : 0);
  }
  return std::optional(std::move(windows));
}

bool Mentions(const JsonValue& config, std::string_view key) {
  for (size_t i = 0; i < config.size(); ++i) {
    if (config.key(i) == key) return true;
  }
  return false;
}

Result<int64_t> ReadPadToken(const JsonValue& config, int64_t vocabulary, int64_t usual) {
  int64_t token = Mentions(config, "pad_token_id") ? -1 : usual;
  GRAFT_ASSIGN_OR_RETURN(token, config.GetInt("pad_token_id", token));
  return token >= 0 && token < vocabulary ? token : -1;
}

Result<float> ReadCap(const JsonValue& config, std::string_view key, double usual) {
  if (!config.Has(key) && (usual == 0.0 || Mentions(config, key))) return 0.0f;
  GRAFT_ASSIGN_OR_RETURN(const double cap, ReadPositive(config, key, usual));
  return static_cast<float>(cap);
}

Status ReadTextTask(const JsonValue& config, std::string_view context_key, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(task->context_tokens,
                         config.GetIntIn(context_key, 1, kMaxContext, kUsualContext));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  task->task = Task::kTextGeneration;
  return OkStatus();
}

Status RefuseOtherSettings(const JsonValue& config, std::initializer_list<std::string_view> known) {
  const auto is_known = [&](std::string_view key) {
    return std::find(known.begin(), known.end(), key) != known.end();
  };
  for (const Setting& setting : kSettings) {
    if (is_known(setting.key) || !config.Has(setting.key)) continue;
    if (!IsNeutral(config.Find(setting.key), setting.neutral)) return Refuse(config, setting.key);
  }
  if (!is_known("layer_types") && config.Has("layer_types")) {
    const JsonValue types = config.Find("layer_types");
    for (size_t i = 0; i < types.size(); ++i) {
      if (types.at(i).Text() != "\"full_attention\"") return Refuse(config, "layer_types");
    }
  }
  return OkStatus();
}

}  // namespace graft::converter
