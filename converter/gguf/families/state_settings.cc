// SPDX-License-Identifier: Apache-2.0
// Settings of families with states.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_source.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxTaps = 1024;

// The factor that gives `inner` back, whole numbers cut off a product.
double Expansion(int64_t inner, int64_t hidden) {
  const auto width = static_cast<double>(hidden);
  double factor = static_cast<double>(inner) / width;
  while (static_cast<int64_t>(factor * width) < inner)
    factor = std::nextafter(factor, std::numeric_limits<double>::infinity());
  return factor;
}

// Sizes that all state spaces have.
struct SpaceSizes {
  int64_t inner = 0;
  int64_t heads = 0;  // the first Mamba's rank of steps
  int64_t state = 0;
  int64_t kernel = 0;
  double expansion = 0.0;
};

Result<SpaceSizes> ReadSizes(const FamilySource& source) {
  const GgufSettings& settings = source.settings;
  SpaceSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.inner, settings.GetIntIn("ssm.inner_size", 1, kMaxFamilySize));
  GRAFT_ASSIGN_OR_RETURN(sizes.heads, settings.GetIntIn("ssm.time_step_rank", 1, kMaxFamilySize));
  GRAFT_ASSIGN_OR_RETURN(sizes.state, settings.GetIntIn("ssm.state_size", 1, kMaxFamilySize));
  GRAFT_ASSIGN_OR_RETURN(sizes.kernel, settings.GetIntIn("ssm.conv_kernel", 2, kMaxTaps));
  sizes.expansion = Expansion(sizes.inner, (*source.config)["hidden_size"].get<int64_t>());
  return sizes;
}

// Of state spaces with heads, beside others under names of their own or alone under `names`.
struct SpaceNames {
  const char *heads, *head_dim, *groups, *state, *kernel, *conv_bias, *proj_bias, *expand;
};
constexpr SpaceNames kAlone = {"num_heads",   "head_dim",      "n_groups", "state_size",
                               "conv_kernel", "use_conv_bias", "use_bias", "expand"};
constexpr SpaceNames kBeside = {"mamba_n_heads",   "mamba_d_head", "mamba_n_groups",
                                "mamba_d_state",   "mamba_d_conv", "mamba_conv_bias",
                                "mamba_proj_bias", "mamba_expand"};

// `layer`: one that has a state space.
Result<SpaceSizes> SetSpace(const FamilySource& source, const SpaceNames& names, int64_t layer) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(const SpaceSizes sizes, ReadSizes(source));
  if (sizes.inner % sizes.heads != 0)
    return source.settings.Fail("ssm.time_step_rank", "does not divide ssm.inner_size",
                                StatusCode::kCorrupt);
  GRAFT_ASSIGN_OR_RETURN(config[names.groups],
                         source.settings.GetIntIn("ssm.group_count", 1, kMaxHeads, 1));
  config[names.heads] = sizes.heads;
  config[names.head_dim] = sizes.inner / sizes.heads;
  config[names.state] = sizes.state;
  config[names.kernel] = sizes.kernel;
  const std::string block = "blk." + std::to_string(layer);
  config[names.conv_bias] = source.HasTensor(block + ".ssm_conv1d.bias");
  config[names.proj_bias] = source.HasTensor(block + ".ssm_in.bias");
  // Whole numbers are written as such, as transformers wants them.
  if (std::floor(sizes.expansion) == sizes.expansion)
    config[names.expand] = static_cast<int64_t>(sizes.expansion);
  else
    config[names.expand] = sizes.expansion;
  return sizes;
}

Status SetMambaHead(const FamilySource& source) {
  Json& config = *source.config;
  config["hidden_act"] = "silu";
  config["tie_word_embeddings"] = !source.HasTensor("output.weight");
  return source.SetNumber("attention.layer_norm_rms_epsilon", "layer_norm_epsilon", 1e-5);
}

}  // namespace

Status AddMamba(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, source.settings.GetBool("ssm.dt_b_c_rms", false));
  if (normalizes) {
    return source.settings.Fail("ssm.dt_b_c_rms",
                                "is true, as Falcon-Mamba has it, which graft does not convert");
  }
  GRAFT_ASSIGN_OR_RETURN(const SpaceSizes sizes, ReadSizes(source));
  config["state_size"] = sizes.state;
  config["intermediate_size"] = sizes.inner;
  config["conv_kernel"] = sizes.kernel;
  config["time_step_rank"] = sizes.heads;
  config["expand"] = sizes.expansion;
  config["use_bias"] = source.HasTensor("blk.0.ssm_in.bias");
  config["use_conv_bias"] = source.HasTensor("blk.0.ssm_conv1d.bias");
  return SetMambaHead(source);
}

Status AddMamba2(const FamilySource& source) {
  const auto sizes = SetSpace(source, kAlone, 0);
  return sizes.ok() ? SetMambaHead(source) : sizes.status();
}

// Its factors have been multiplied into the weights. A norm behind the gate is in the file; one
// before it llama.cpp does not compute.
Status AddFalconH1(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(const SpaceSizes sizes, SetSpace(source, kBeside, 0));
  config["mamba_d_ssm"] = sizes.inner;
  config.erase("mamba_expand");
  config["mamba_rms_norm"] = source.HasTensor("blk.0.ssm_norm.weight");
  config["mamba_norm_before_gate"] = false;
  config["projectors_bias"] = source.HasTensor("blk.0.ssm_out.bias");
  return OkStatus();
}

// Layers with key heads attend, the others have a state space. Positions are told by a rope where
// no layer has one.
Status AddGraniteHybrid(const FamilySource& source) {
  Json& config = *source.config;
  GRAFT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> heads,
      source.settings.header().GetInts(source.settings.Key("attention.head_count_kv")));
  Json types = Json::array();
  int64_t first_space = 0;
  for (int64_t layer = source.layers() - 1; layer >= 0; --layer) {
    const auto at = static_cast<size_t>(layer);
    if (heads.size() > 1 && at >= heads.size()) {
      return source.settings.Fail("attention.head_count_kv", "does not say it of each layer",
                                  StatusCode::kCorrupt);
    }
    const bool attends = !heads.empty() && heads[heads.size() > 1 ? at : 0] > 0;
    types.insert(types.begin(), attends ? "attention" : "mamba");
    if (!attends) first_space = layer;
  }
  const auto sizes = SetSpace(source, kBeside, first_space);
  if (!sizes.ok()) return sizes.status();
  config["layer_types"] = std::move(types);
  GRAFT_ASSIGN_OR_RETURN(const bool has_rope,
                         source.settings.GetBool("rope.scaling.finetuned", true));
  if (has_rope) config["position_embedding_type"] = "rope";
  GRAFT_ASSIGN_OR_RETURN(const int64_t experts,
                         source.settings.GetIntIn("expert_count", 0, kMaxFamilyExperts, 0));
  config["num_local_experts"] = experts;
  GRAFT_ASSIGN_OR_RETURN(config["num_experts_per_tok"],
                         source.settings.GetIntIn("expert_used_count", 0, kMaxFamilyExperts, 0));
  config.erase("mlp_bias");
  return source.SetInt("expert_shared_feed_forward_length", "shared_intermediate_size",
                       kMaxFamilySize);
}

Status AddQwen35(const FamilySource& source) {
  Json& config = *source.config;
  const GgufSettings& settings = source.settings;
  GRAFT_ASSIGN_OR_RETURN(const SpaceSizes sizes, ReadSizes(source));
  if (sizes.inner % sizes.heads != 0)
    return settings.Fail("ssm.time_step_rank", "does not divide ssm.inner_size",
                         StatusCode::kCorrupt);
  GRAFT_RETURN_IF_ERROR(source.SetInt("ssm.group_count", "linear_num_key_heads", kMaxHeads));
  config["linear_num_value_heads"] = sizes.heads;
  config["linear_key_head_dim"] = sizes.state;
  config["linear_value_head_dim"] = sizes.inner / sizes.heads;
  config["linear_conv_kernel_dim"] = sizes.kernel;
  // A quarter of each head where config.json does not say.
  if (!config.contains("partial_rotary_factor")) config["partial_rotary_factor"] = 1.0;
  config.erase("mlp_bias");
  constexpr const char* kListed = "attention.recurrent_layers";
  std::vector<int64_t> listed;
  if (settings.Has(kListed)) {
    GRAFT_ASSIGN_OR_RETURN(listed, settings.header().GetInts(settings.Key(kListed)));
    if (static_cast<int64_t>(listed.size()) < source.layers())
      return settings.Fail(kListed, "does not say it of each layer", StatusCode::kCorrupt);
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval,
                         settings.GetIntIn("full_attention_interval", 1, kMaxFamilySize, 4));
  Json types = Json::array();
  for (int64_t layer = 0; layer < source.layers(); ++layer) {
    const bool recurs =
        listed.empty() ? (layer + 1) % interval != 0 : listed[static_cast<size_t>(layer)] != 0;
    types.push_back(recurs ? "linear_attention" : "full_attention");
  }
  config["layer_types"] = std::move(types);
  return OkStatus();
}

}  // namespace graft::converter
