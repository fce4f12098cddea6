// SPDX-License-Identifier: Apache-2.0
// Names of families with mixtures of experts: the tensors of llama.cpp's files, and transformers'.
#pragma once

#include <array>

#include "converter/gguf/families/families.h"
#include "converter/gguf/families/name_parts.h"

namespace graft::converter {

// Llama's attention; each expert by itself, as it was released.
inline constexpr auto kMixtralLayer =
    JoinModules(kNorms, kPairedAttention,
                std::to_array<GgufModule>({
                    {"ffn_gate_inp", "block_sparse_moe.gate"},
                    {"ffn_gate_exps", "block_sparse_moe.experts.{}.w1", GgufChange::kEach},
                    {"ffn_up_exps", "block_sparse_moe.experts.{}.w3", GgufChange::kEach},
                    {"ffn_down_exps", "block_sparse_moe.experts.{}.w2", GgufChange::kEach},
                }));

inline constexpr auto kGraniteExpertsLayer = JoinModules(kNorms, kPairedAttention, kGraniteExperts);

inline constexpr auto kQwenExpertsLayer =
    JoinModules(kNorms, kAttention, kHeadNorms,
                std::to_array<GgufModule>({
                    {"ffn_gate_inp", "mlp.gate"},
                    {"ffn_gate_exps", "mlp.experts.{}.gate_proj", GgufChange::kEach},
                    {"ffn_up_exps", "mlp.experts.{}.up_proj", GgufChange::kEach},
                    {"ffn_down_exps", "mlp.experts.{}.down_proj", GgufChange::kEach},
                    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate", GgufChange::kOneRow},
                    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
                    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
                    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
                }));

inline constexpr auto kGptOssLayer = JoinModules(
    kAttention,
    std::to_array<GgufModule>({
        {"attn_norm", "input_layernorm"},
        {"post_attention_norm", "post_attention_layernorm"},
        {"attn_sinks.weight", "self_attn.sinks"},
        {"ffn_gate_inp", "mlp.router"},
        {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj", GgufChange::kGatesAndUpsInTurn},
        {"ffn_gate_exps.bias", "mlp.experts.gate_up_proj_bias", GgufChange::kGatesAndUpsInTurn},
        {"ffn_down_exps.weight", "mlp.experts.down_proj", GgufChange::kMatrices},
        {"ffn_down_exps.bias", "mlp.experts.down_proj_bias"},
    }));

}  // namespace graft::converter
