// SPDX-License-Identifier: Apache-2.0
// What the settings of a family are read from and written to.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/gguf_parts.h"
#include "converter/gguf/families/gguf_settings.h"
#include "schema/result.h"

namespace graft::converter {

inline constexpr int64_t kMaxFamilySize = int64_t{1} << 24;
inline constexpr int64_t kMaxFamilyExperts = 4096;

/// A family's file, and the configuration that is made of it.
struct FamilySource {
  const GgufParts& parts;
  const GgufSettings& settings;
  nlohmann::ordered_json* config;

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
                           settings.GetIntIn("attention.sliding_window", 0, kMaxFamilySize, 0));
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
    auto types = nlohmann::ordered_json::array();
    for (const int64_t s : slides) types.push_back(s ? "sliding_attention" : "full_attention");
    (*config)["layer_types"] = std::move(types);
    return OkStatus();
  }
  Status SetExperts(const char* hidden_key, const char* hidden_name, bool normalized) const {
    GRAFT_RETURN_IF_ERROR(SetInt("expert_count", "num_experts", kMaxFamilyExperts));
    GRAFT_RETURN_IF_ERROR(SetInt("expert_used_count", "num_experts_per_tok", kMaxFamilyExperts));
    (*config)["norm_topk_prob"] = normalized;
    return SetInt(hidden_key, hidden_name, kMaxFamilySize);
  }
};

/// Adds what Gemma 3n and 4 have of their own.
Status AddGemma3n(const FamilySource& source);
Status AddGemma4(const FamilySource& source);

/// Adds those of ModernBERT.
Status AddModernBert(const FamilySource& source);

/// Adds the settings of a family with states.
Status AddMamba(const FamilySource& source);
Status AddMamba2(const FamilySource& source);
Status AddFalconH1(const FamilySource& source);
Status AddGraniteHybrid(const FamilySource& source);
Status AddQwen35(const FamilySource& source);

/// Puts the settings of an older family in the place of those that gated decoders share.
Status AddFalcon(const FamilySource& source);
Status AddBloom(const FamilySource& source);
Status AddMpt(const FamilySource& source);

}  // namespace graft::converter
