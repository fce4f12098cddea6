// SPDX-License-Identifier: Apache-2.0
// Settings of Gemma 3n and 4, whose layers differ.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_source.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

// The part of numbers below so many deviations of a normal distribution.
double PartBelow(double deviations) {
  // Written as a float; meant is a number of few digits.
  return std::round(0.5 * std::erfc(-deviations / std::numbers::sqrt2) * 1e6) / 1e6;
}

// A part of each head of full attention rotates: the factors of the rest are huge.
Result<double> RotatedPart(const FamilySource& source, int64_t head_dim) {
  const GgufTensor* factors = source.parts.Find("rope_freqs.weight");
  const bool fits = factors != nullptr && factors->shape.size() == 1 &&
                    factors->shape[0] == head_dim / 2 && head_dim % 2 == 0;
  if (!fits) {
    return Error(StatusCode::kCorrupt,
                 "%s: has no tensor 'rope_freqs.weight' of half as many factors as a head has",
                 source.parts.path().c_str());
  }
  std::vector<double> numbers(static_cast<size_t>(head_dim / 2));
  GRAFT_RETURN_IF_ERROR(source.parts.Read(*factors, numbers));
  const auto rotated =
      std::find_if(numbers.begin(), numbers.end(), [](double f) { return f != 1.0; });
  constexpr double kNone = 1e29;
  if (std::any_of(rotated, numbers.end(), [](double f) { return !(f > kNone); })) {
    return Error(StatusCode::kUnsupported,
                 "%s: the factors of tensor 'rope_freqs.weight' do not leave out the last pairs",
                 source.parts.path().c_str());
  }
  return static_cast<double>(rotated - numbers.begin()) / static_cast<double>(numbers.size());
}

// The layers that share keys and values may have MLPs of twice the width.
Status SetGemma4Widths(const FamilySource& source, int64_t shared) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> widths,
      source.settings.header().GetInts(source.settings.Key("feed_forward_length")));
  config["intermediate_size"] = widths.front();
  config["use_double_wide_mlp"] = widths.back() != widths.front();
  for (size_t i = 0; i < widths.size() && widths.size() > 1; ++i) {
    const bool shares = static_cast<int64_t>(i) >= source.layers() - shared;
    const int64_t expected = widths.front() * (shares && widths.back() != widths.front() ? 2 : 1);
    if (widths[i] == expected) continue;
    return source.settings.Fail("feed_forward_length", "is not that of Gemma 4's layers");
  }
  return OkStatus();
}

Status SetGemma4Heads(const FamilySource& source) {
  Json& config = *source.config;
  constexpr int64_t kMostHeads = 65536;
  config["global_head_dim"] = config["head_dim"];
  GRAFT_RETURN_IF_ERROR(source.SetInt("attention.key_length_swa", "head_dim", kMaxFamilySize));
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> heads,
      source.settings.header().GetInts(source.settings.Key("attention.head_count_kv")));
  if (heads.empty())
    return source.settings.Fail("attention.head_count_kv", "is empty", StatusCode::kCorrupt);
  int64_t full = heads.front(), sliding = heads.front();
  const Json& types = config["layer_types"];
  for (size_t i = 0; i < heads.size() && heads.size() == types.size(); ++i)
    (types[i] == "full_attention" ? full : sliding) = heads[i];
  if (full < 1 || full > kMostHeads || sliding < 1 || sliding > kMostHeads)
    return source.settings.Fail("attention.head_count_kv", "is out of range", StatusCode::kCorrupt);
  config["num_key_value_heads"] = sliding;
  if (full != sliding) config["num_global_key_value_heads"] = full;
  // Full attention may take its keys for values.
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "full_attention") continue;
    config["attention_k_eq_v"] = !source.HasTensor("blk." + std::to_string(i) + ".attn_v.weight");
    break;
  }
  return OkStatus();
}

}  // namespace

Status AddGemma3n(const FamilySource& source) {
  Json& config = *source.config;
  constexpr int64_t kMostStreams = 16;
  GRAFT_RETURN_IF_ERROR(source.SetInt("altup.num_inputs", "altup_num_inputs", kMostStreams));
  GRAFT_ASSIGN_OR_RETURN(config["altup_active_idx"],
                         source.settings.GetIntIn("altup.active_idx", 0, kMostStreams - 1));
  GRAFT_RETURN_IF_ERROR(source.SetInt("embedding_length_per_layer_input",
                                      "hidden_size_per_layer_input", kMaxFamilySize));
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

Status AddGemma4(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_RETURN_IF_ERROR(source.SetWindows());
  if (!config.contains("layer_types"))
    return source.settings.Fail("attention.sliding_window_pattern", "is missing");
  GRAFT_ASSIGN_OR_RETURN(
      const int64_t shared,
      source.settings.GetIntIn("attention.shared_kv_layers", 0, source.layers(), 0));
  config["num_kv_shared_layers"] = shared;
  GRAFT_RETURN_IF_ERROR(SetGemma4Widths(source, shared));
  GRAFT_ASSIGN_OR_RETURN(
      const int64_t embedded,
      source.settings.GetIntIn("embedding_length_per_layer_input", 0, kMaxFamilySize, 0));
  config["hidden_size_per_layer_input"] = embedded;
  const GgufTensor* table = source.parts.Find("per_layer_token_embd.weight");
  if (table != nullptr && !table->shape.empty())
    config["vocab_size_per_layer_input"] = table->shape[0];
  GRAFT_RETURN_IF_ERROR(SetGemma4Heads(source));
  GRAFT_ASSIGN_OR_RETURN(const double part,
                         RotatedPart(source, config["global_head_dim"].get<int64_t>()));
  GRAFT_ASSIGN_OR_RETURN(const double theta, source.settings.GetNumber("rope.freq_base", 1e6));
  GRAFT_ASSIGN_OR_RETURN(const double sliding,
                         source.settings.GetNumber("rope.freq_base_swa", 1e4));
  config["rope_parameters"] = {
      {"full_attention",
       {{"rope_type", "proportional"}, {"rope_theta", theta}, {"partial_rotary_factor", part}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", sliding}}}};
  config.erase("hidden_act");
  config.erase("mlp_bias");
  config["hidden_activation"] = "gelu_pytorch_tanh";
  if (source.settings.Has("final_logit_softcapping"))
    return source.SetNumber("final_logit_softcapping", "final_logit_softcapping", 0.0);
  return OkStatus();
}

}  // namespace graft::converter
