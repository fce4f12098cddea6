// SPDX-License-Identifier: Apache-2.0
// Names of families with states: the tensors of llama.cpp's files, and transformers'.
#pragma once

#include <array>

#include "converter/gguf/families/families.h"
#include "converter/gguf/families/name_parts.h"

namespace graft::converter {

inline constexpr GgufModule kMamba[] = {{"token_embd", "backbone.embeddings"},
                                        {"output_norm", "backbone.norm_f"},
                                        {"output", "lm_head"}};
inline constexpr GgufModule kMambaLayer[] = {
    {"attn_norm", "norm"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d", GgufChange::kOneChannel},
    {"ssm_x", "mixer.x_proj"},
    {"ssm_dt", "mixer.dt_proj"},
    {"ssm_a", "mixer.A_log", GgufChange::kRates},
    {"ssm_d", "mixer.D"},
    {"ssm_out", "mixer.out_proj"},
};
inline constexpr GgufModule kMamba2Layer[] = {
    {"attn_norm", "norm"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d", GgufChange::kOneChannel},
    {"ssm_dt.bias", "mixer.dt_bias"},
    {"ssm_a", "mixer.A_log", GgufChange::kHeadRates},
    {"ssm_d", "mixer.D", GgufChange::kVector},
    {"ssm_norm", "mixer.norm", GgufChange::kVector},
    {"ssm_out", "mixer.out_proj"},
};

inline constexpr GgufModule kFalconH1[] = {{"token_embd", "model.embed_tokens"},
                                           {"output_norm", "model.final_layernorm"},
                                           {"output", "lm_head"}};
// A norm has no ending.
inline constexpr auto kFalconH1Layer =
    JoinModules(kAttention, kStateSpace,
                std::to_array<GgufModule>({
                    {"attn_norm", "input_layernorm"},
                    {"ffn_norm", "pre_ff_layernorm.weight"},
                    {"ffn_norm.weight", "pre_ff_layernorm.weight"},
                    {"ffn_gate", "feed_forward.gate_proj"},
                    {"ffn_up", "feed_forward.up_proj"},
                    {"ffn_down", "feed_forward.down_proj"},
                }));

// With experts the MLP beside them is called so, without them it is the layer's.
inline constexpr auto kGraniteHybridLayer =
    JoinModules(kNorms, kPairedAttention, kGraniteExperts, kStateSpace,
                std::to_array<GgufModule>({
                    {"ffn_gate", "shared_mlp.input_linear", GgufChange::kGatesAndUps},
                    {"ffn_down", "shared_mlp.output_linear"},
                }));

inline constexpr auto kQwen35Layer =
    JoinModules(kAttention, kHeadNorms, kGatedMlp,
                std::to_array<GgufModule>({
                    {"attn_norm", "input_layernorm"},
                    {"post_attention_norm", "post_attention_layernorm"},
                    {"attn_qkv", "linear_attn.in_proj_qkv", GgufChange::kTiledBehindKeys},
                    {"attn_gate", "linear_attn.in_proj_z", GgufChange::kTiled},
                    {"ssm_alpha", "linear_attn.in_proj_a", GgufChange::kTiled},
                    {"ssm_beta", "linear_attn.in_proj_b", GgufChange::kTiled},
                    {"ssm_conv1d", "linear_attn.conv1d", GgufChange::kTiledFilters},
                    {"ssm_dt.bias", "linear_attn.dt_bias", GgufChange::kTiled},
                    {"ssm_a", "linear_attn.A_log", GgufChange::kTiledRates},
                    {"ssm_norm", "linear_attn.norm"},
                    {"ssm_out", "linear_attn.out_proj", GgufChange::kTiledColumns},
                }));

}  // namespace graft::converter
