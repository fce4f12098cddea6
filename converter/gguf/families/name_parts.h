// SPDX-License-Identifier: Apache-2.0
// Names that several families share: the tensors of llama.cpp's files, and transformers'.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "converter/gguf/families/families.h"

namespace graft::converter {

/// All modules of `parts`, in their order.
template <size_t... kCounts>
constexpr auto JoinModules(const std::array<GgufModule, kCounts>&... parts) {
  std::array<GgufModule, (kCounts + ...)> all{};
  auto end = all.begin();
  ((end = std::copy(parts.begin(), parts.end(), end)), ...);
  return all;
}

// Before each half of a layer.
inline constexpr auto kNorms = std::to_array<GgufModule>({
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
});

// Before and after each half.
inline constexpr auto kFourNorms = std::to_array<GgufModule>({
    {"attn_norm", "input_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
});

inline constexpr auto kAttention = std::to_array<GgufModule>({
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
});

// The same, with rotary pairs of Llama's kind.
inline constexpr auto kPairedAttention = std::to_array<GgufModule>({
    {"attn_q", "self_attn.q_proj", GgufChange::kQueryPairs},
    {"attn_k", "self_attn.k_proj", GgufChange::kKeyPairs},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
});

inline constexpr auto kHeadNorms = std::to_array<GgufModule>({
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
});

inline constexpr auto kGatedMlp = std::to_array<GgufModule>({
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
});

// Rows of an expert's gate are before those of its up. An MLP that all rows go through is beside
// them.
inline constexpr auto kGraniteExperts = std::to_array<GgufModule>({
    {"ffn_gate_inp", "block_sparse_moe.router.layer"},
    {"ffn_gate_exps", "block_sparse_moe.input_linear", GgufChange::kGatesAndUps},
    {"ffn_down_exps", "block_sparse_moe.output_linear"},
    {"ffn_gate_shexp", "shared_mlp.input_linear", GgufChange::kGatesAndUps},
    {"ffn_down_shexp", "shared_mlp.output_linear"},
});

// Of Mamba 2, beside attention or in its place.
inline constexpr auto kStateSpace = std::to_array<GgufModule>({
    {"ssm_in", "mamba.in_proj"},
    {"ssm_conv1d", "mamba.conv1d", GgufChange::kOneChannel},
    {"ssm_dt.bias", "mamba.dt_bias"},
    {"ssm_a", "mamba.A_log", GgufChange::kHeadRates},
    {"ssm_d", "mamba.D", GgufChange::kVector},
    {"ssm_norm", "mamba.norm", GgufChange::kVector},
    {"ssm_out", "mamba.out_proj"},
});

}  // namespace graft::converter
