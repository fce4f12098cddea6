// SPDX-License-Identifier: Apache-2.0
// Names of families with mixtures of experts: the tensors of llama.cpp's files, and transformers'.
#pragma once

#include "converter/gguf/families/families.h"

namespace graft::converter {

// Llama's attention; each expert by itself, as it was released.
inline constexpr GgufModule kMixtralLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj", GgufChange::kQueryPairs},
    {"attn_k", "self_attn.k_proj", GgufChange::kKeyPairs},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.experts.{}.w1", GgufChange::kEach},
    {"ffn_up_exps", "block_sparse_moe.experts.{}.w3", GgufChange::kEach},
    {"ffn_down_exps", "block_sparse_moe.experts.{}.w2", GgufChange::kEach},
};

// Granite's attention is Llama's. Rows of an expert's gate are before those of its up.
inline constexpr GgufModule kGraniteExpertsLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj", GgufChange::kQueryPairs},
    {"attn_k", "self_attn.k_proj", GgufChange::kKeyPairs},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate_inp", "block_sparse_moe.router.layer"},
    {"ffn_gate_exps", "block_sparse_moe.input_linear", GgufChange::kGatesAndUps},
    {"ffn_down_exps", "block_sparse_moe.output_linear"},
    {"ffn_gate_shexp", "shared_mlp.input_linear", GgufChange::kGatesAndUps},
    {"ffn_down_shexp", "shared_mlp.output_linear"},
};

inline constexpr GgufModule kQwenExpertsLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_exps", "mlp.experts.{}.gate_proj", GgufChange::kEach},
    {"ffn_up_exps", "mlp.experts.{}.up_proj", GgufChange::kEach},
    {"ffn_down_exps", "mlp.experts.{}.down_proj", GgufChange::kEach},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate", GgufChange::kOneRow},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
};

inline constexpr GgufModule kGptOssLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_sinks.weight", "self_attn.sinks"},
    {"ffn_gate_inp", "mlp.router"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_up_proj", GgufChange::kGatesAndUpsInTurn},
    {"ffn_gate_exps.bias", "mlp.experts.gate_up_proj_bias", GgufChange::kGatesAndUpsInTurn},
    {"ffn_down_exps.weight", "mlp.experts.down_proj", GgufChange::kMatrices},
    {"ffn_down_exps.bias", "mlp.experts.down_proj_bias"},
};

}  // namespace graft::converter
