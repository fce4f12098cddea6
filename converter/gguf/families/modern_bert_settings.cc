// SPDX-License-Identifier: Apache-2.0
// What llama.cpp computes where a file does not say is what ModernBERT was released with.
#include <string>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_source.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualInterval = 3;

// Rows of all tokens are averaged (1), or the first is taken (2).
Status SetClassifier(const FamilySource& source) {
  constexpr const char* kPooling = "classifier.pooling_type";
  GRAFT_ASSIGN_OR_RETURN(const int64_t pooling, source.settings.GetIntIn(kPooling, 0, 4, 2));
  if (pooling != 1 && pooling != 2)
    return source.settings.Fail(kPooling, "is neither the mean nor the first row");
  (*source.config)["classifier_pooling"] = pooling == 1 ? "mean" : "cls";
  (*source.config)["classifier_bias"] = source.HasTensor("cls.bias");
  constexpr const char* kActivation = "classifier.activation";
  if (!source.settings.Has(kActivation)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string_view activation,
                         source.settings.header().GetString(source.settings.Key(kActivation)));
  (*source.config)["classifier_activation"] = std::string(activation);
  return OkStatus();
}

}  // namespace

Status AddModernBert(const FamilySource& source) {
  constexpr const char* kScaling = "rope.scaling.type";
  if (source.settings.Has(kScaling)) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view scaling,
                           source.settings.header().GetString(source.settings.Key(kScaling)));
    if (scaling != "none") return source.settings.Fail(kScaling, "is not \"none\"");
  }
  nlohmann::ordered_json& config = *source.config;
  GRAFT_RETURN_IF_ERROR(source.SetNumber("attention.layer_norm_epsilon", "norm_eps", 1e-5));
  GRAFT_RETURN_IF_ERROR(source.SetNumber("rope.freq_base", "global_rope_theta", 160000.0));
  GRAFT_RETURN_IF_ERROR(source.SetNumber("rope.freq_base_swa", "local_rope_theta", 10000.0));
  GRAFT_ASSIGN_OR_RETURN(config["local_attention"],
                         source.settings.GetIntIn("attention.sliding_window", 1, kMaxFamilySize));
  GRAFT_ASSIGN_OR_RETURN(config["global_attn_every_n_layers"],
                         source.settings.GetIntIn("attention.sliding_window_pattern", 1,
                                                  kMaxFamilySize, kUsualInterval));
  config["norm_bias"] = source.HasTensor("output_norm.bias");
  config["attention_bias"] = source.HasTensor("blk.0.attn_qkv.bias");
  config["mlp_bias"] = source.HasTensor("blk.0.ffn_up.bias");
  constexpr const char* kActivation = "hidden_activation";
  std::string_view activation = "gelu";
  if (source.settings.Has(kActivation)) {
    GRAFT_ASSIGN_OR_RETURN(activation,
                           source.settings.header().GetString(source.settings.Key(kActivation)));
  }
  config["hidden_activation"] = std::string(activation);
  return SetClassifier(source);
}

}  // namespace graft::converter
